"""A chain's column whose blocks between genesis and some height nobody here has."""

from typing import Generic, TypeVar

Item = TypeVar("Item")


class Tail(Generic[Item]):
    """Genesis' item, that at ``height``, and all that are appended after it."""

    __slots__ = ("_genesis", "_height", "_items")

    def __init__(self, genesis: Item, item: Item, height: int) -> None:
        assert height >= 1
        self._genesis = genesis
        self._height = height
        self._items = [item]

    def __len__(self) -> int:
        return self._height + len(self._items)

    def __getitem__(self, height: int, /) -> Item:
        if height == 0:
            return self._genesis
        assert self._height <= height < len(self), "nobody asks for what is not here"
        return self._items[height - self._height]

    def append(self, item: Item, /) -> None:
        """The next height's item."""
        self._items.append(item)
