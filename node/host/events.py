"""A node's events as lines of JSON, for whoever drives or watches it from outside.

A line: ``{"at_ns": realtime, "monotonic_ns": ..., "event": "BlockFinal", "height": 7, ...}``;
bytes are hex. The first line of each start is "Listening". A line that cannot be written ends
the node with DiskFull.
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from node.events import Event
from node.host.errors import DiskFull, SettingsError
from node.types import Now


class EventLog:
    """Adds lines to a file, each at once. Raises SettingsError if it cannot be opened."""

    __slots__ = ("_file",)

    def __init__(self, path: Path) -> None:
        try:
            # one write a line, so that whoever reads along never sees half of one for long
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise SettingsError(
                "events", str(path), f"{error.strerror}: name a file that can be written"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def tell(self, now: Now, event: Event) -> None:
        """An event of the node."""
        fields = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in zip(event._fields, event, strict=True)
        }
        self.write(now, type(event).__name__, fields)

    def write(self, now: Now, name: str, fields: dict[str, object]) -> None:
        """Any line."""
        line = {"at_ns": now.realtime_ns, "monotonic_ns": now.monotonic_ns, "event": name}
        try:
            self._file.write(json.dumps(line | fields).encode() + b"\n")
        except OSError as error:
            raise DiskFull(
                f"the log of events: {error.strerror}", "make room, or name no such file"
            ) from error
