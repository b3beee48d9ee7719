"""The blocks on disk as a chain's trunk: the recent ones in memory, the others read back.

A year of blocks of five seconds is six million; a node that held their headers alone would
need 15 GB. So a trunk's two columns keep what is not yet durable and the last few blocks,
which peers and proofs ask for, and read whatever is older. Each row carries a checksum,
because SQLite has none for its pages.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from node.block import Block, Header, decode_block
from node.chain import Trunk
from node.crypto import digest
from node.errors import InvalidMessage
from node.host.disk import guard
from node.host.errors import StoreDamaged
from node.host.witness import REMEDY
from node.params import Params

RECENT_BLOCKS = 128
RECENT_BYTES = 64 * 1024 * 1024
CHECKSUM_BYTES = 16

Item = TypeVar("Item")


def compute_checksum(kind: bytes, content: bytes) -> bytes:
    """What is stored beside ``content``, so that a flipped bit is seen."""
    return digest(b"stored " + kind, content)[:CHECKSUM_BYTES]


def compute_block_checksum(height: int, encoded: bytes) -> bytes:
    """The checksum of a block's row."""
    return compute_checksum(b"block", height.to_bytes(8, "big") + encoded)


class Recent(Generic[Item]):
    """One column: ``read`` brings what is not among the items in memory."""

    __slots__ = ("_items", "_length", "_read")

    def __init__(self, length: int, read: Callable[[int], Item]) -> None:
        self._items: dict[int, Item] = {}
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, height: int, /) -> Item:
        assert 0 <= height < self._length
        # one look-up: another thread may be reading while this column drops old items
        item = self._items.get(height)
        return self._read(height) if item is None else item

    def append(self, item: Item, /) -> None:
        """The next height's item; it stays in memory until it is dropped."""
        self._items[self._length] = item
        self._length += 1

    def drop(self, height: int) -> Item | None:
        """From now on ``height`` is read from disk."""
        return self._items.pop(height, None)


class Archive:
    """Stored blocks up to ``durable``, read through a connection of its own.

    ``trunk`` begins with the first ``length`` blocks and grows; whoever makes blocks durable
    calls ``upon_durable``. ``given`` are the blocks that no row holds: genesis, and that of the
    checkpoint from which the store began.
    """

    __slots__ = ("_bytes", "_connection", "_counted", "_encodings", "_given", "_headers",
                 "_kept", "_params", "durable", "trunk")

    def __init__(
        self, connection: sqlite3.Connection, given: Sequence[Block], params: Params,
        length: int, durable: int,
    ) -> None:
        assert 1 <= length <= durable + 1
        self._connection = connection
        self._given = {block.header.height: block for block in given}
        self._params = params
        self.durable = durable
        self._headers = Recent(length, self.read_header)
        self._encodings = Recent(length, self.read_encoded)
        self._kept = self._counted = length
        self._bytes = 0
        self.trunk = Trunk(self._headers, self._encodings)

    def upon_durable(self, height: int) -> None:
        """Blocks up to ``height`` are on disk: only the recent ones stay in memory."""
        assert height >= self.durable
        self.durable = height
        self.forget()

    def forget(self) -> None:
        """Drop what is durable and no longer recent."""
        length = len(self._encodings)
        for height in range(self._counted, length):
            self._bytes += len(self._encodings[height])
        self._counted = length
        while self._kept <= self.durable and self._kept < length and (
            length - self._kept > RECENT_BLOCKS or self._bytes > RECENT_BYTES
        ):
            self._headers.drop(self._kept)
            self._bytes -= len(self._encodings.drop(self._kept) or b"")
            self._kept += 1
        assert self._bytes >= 0

    def read_encoded(self, height: int) -> bytes:
        """The stored block; raises StoreDamaged if it is not the one that was stored."""
        given = self._given.get(height)
        if given is not None:
            return given.encoded
        with guard(None):
            row = self._connection.execute(
                "SELECT encoded, checksum FROM block WHERE height = ?", (height,)
            ).fetchone()
        match row:
            case (bytes(encoded), bytes(checksum)) if (
                checksum == compute_block_checksum(height, encoded)
            ):
                return encoded
        raise StoreDamaged(f"block {height} cannot be read back", REMEDY)

    def read_block(self, height: int) -> Block:
        """As ``read_encoded``, decoded."""
        given = self._given.get(height)
        if given is not None:
            return given
        try:
            block = decode_block(self.read_encoded(height), self._params)
        except InvalidMessage as error:
            raise StoreDamaged(f"block {height}: {error}", REMEDY) from error
        if block.header.height != height:
            raise StoreDamaged(f"block {height} is block {block.header.height}", REMEDY)
        return block

    def read_header(self, height: int) -> Header:
        """The header of the stored block."""
        return self.read_block(height).header

    def read_blocks(self, first: int) -> Iterator[Block]:
        """All stored blocks from ``first`` on, one by one."""
        return (self.read_block(height) for height in range(first, self.durable + 1))
