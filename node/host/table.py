"""Reading tables of a file that a person wrote: types are checked, unknown names refused."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TypeVar

from node.host.errors import SettingsError

Kind = TypeVar("Kind", bool, int, str)

_KINDS = {bool: "true or false", int: "a whole number", str: "a text"}


class Table:
    """A table at ``place`` of a file ("" is the file), with all the names it may have."""

    __slots__ = ("_place", "_values")

    def __init__(self, value: object, place: str, names: tuple[str, ...]) -> None:
        """Raises SettingsError for what is no table, or for an unknown name."""
        self._place = place
        if not isinstance(value, dict):
            raise SettingsError(place, value, "give a table")
        self._values: dict[str, object] = value
        for name in value:
            if name not in names:
                raise SettingsError(self.name(name), value[name], suggest(name, names))

    def name(self, field: str) -> str:
        """The field as an error names it."""
        return f"{self._place}.{field}" if self._place else field

    def get(self, field: str) -> object:
        """The value as it stands there, or None."""
        return self._values.get(field)

    def take(self, field: str, kind: type[Kind], default: Kind) -> Kind:
        """The value of exactly this kind. Raises SettingsError."""
        return self.require(field, kind) if field in self._values else default

    def require(self, field: str, kind: type[Kind]) -> Kind:
        """As ``take``, but it must be there."""
        if field not in self._values:
            raise SettingsError(self.name(field), None, "it is missing")
        value = self._values[field]
        # a bool is an int to isinstance
        if type(value) is kind:
            return value
        raise SettingsError(self.name(field), value, f"give {_KINDS[kind]}")

    def take_number(self, field: str, default: float) -> float:
        """A number, whole or not. Raises SettingsError."""
        value = self._values.get(field, default)
        if isinstance(value, int | float) and type(value) is not bool:
            return value
        raise SettingsError(self.name(field), value, "give a number")

    def list(self, field: str, count_max: int) -> list[object]:
        """The list at ``field``, empty if it is not there. Raises SettingsError."""
        value = self._values.get(field, [])
        if not isinstance(value, list) or len(value) > count_max:
            raise SettingsError(self.name(field), value, f"give a list of up to {count_max}")
        return value


def suggest(name: str, names: Sequence[str]) -> str:
    """What to write instead of a name that there is not."""
    close = get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"the names are {', '.join(names)}"
