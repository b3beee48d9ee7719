"""What the nodes tell, read from their files of events as they grow."""

import json
from pathlib import Path
from typing import NamedTuple, TypeAlias

from node import events
from node.events import Event

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

CHUNK_BYTES = 1 << 20
_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (
        events.BlockProposed, events.BlockFinal, events.RoundChanged, events.BundlePublished,
        events.InputRefused, events.SyncStarted, events.ConflictSeen,
    )
}
_BYTES = {"digest", "mine", "other"}


class Told(NamedTuple):
    """One line: when, by the node's realtime clock, what, and its fields."""

    at_ns: int
    name: str
    fields: dict[str, Json]


class Follower:
    """Reads one file of events from its beginning; ``read`` gives what is new."""

    __slots__ = ("_offset", "_path", "_rest")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def read(self) -> list[Told]:
        """Whole lines that came since the last call; half of one waits for the other half."""
        told: list[Told] = []
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                while data := file.read(CHUNK_BYTES):
                    self._offset += len(data)
                    *lines, self._rest = (self._rest + data).split(b"\n")
                    told += [_decode(line) for line in lines]
        except FileNotFoundError:  # it has not been started yet
            return []
        return told


def _decode(line: bytes) -> Told:
    fields: dict[str, Json] = json.loads(line)
    at_ns, name = fields.pop("at_ns"), fields.pop("event")
    assert isinstance(at_ns, int)
    assert isinstance(name, str)
    del fields["monotonic_ns"]
    return Told(at_ns, name, fields)


def decode_event(told: Told) -> Event | None:
    """The node's event, None for a line that is the host's own."""
    kind = _KINDS.get(told.name)
    if kind is None:
        return None
    values = [
        bytes.fromhex(str(told.fields[name])) if name in _BYTES else told.fields[name]
        for name in kind._fields
    ]
    return kind(*values)  # type: ignore[arg-type]  # as the node wrote them
