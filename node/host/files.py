"""Reading files that people write: with a limit, and with errors that name the file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from node.host.errors import SettingsError

FILE_BYTES_MAX = 1024 * 1024

Content = TypeVar("Content")


def load_file(
    path: Path, field: str, remedy: str, decode: Callable[[bytes], Content]
) -> Content:
    """What ``decode`` makes of the file's bytes.

    Raises SettingsError: for ``field``, with ``remedy``, if it cannot be read; and whatever
    ``decode`` raises of that kind, with the file's name.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(field, str(path), f"{error.strerror}: {remedy}") from error
    if len(data) > FILE_BYTES_MAX:
        raise SettingsError(
            field, str(path), f"it has more than {FILE_BYTES_MAX:,} bytes: {remedy}"
        )
    try:
        return decode(data)
    except SettingsError as error:
        raise error.within(path) from error
