"""Snapshots of the state on disk, written a little with each block.

A state of a million and a half voters has 65,536 buckets of some kilobytes, and the blocks of
ten minutes touch half of them. Written with every block they would cost more than the blocks;
written at once every hundred blocks they would stop all validators at the same height for a
second. So from time to time the state of one height is chosen, which costs nothing as it is
immutable, and its buckets that changed since the last snapshot are written with the blocks
after it, in their transactions. When all are there the snapshot's mark is, and not before.

A row's key is its bucket's number and the height at which it was chosen; the snapshot at a
height is, of each bucket, the last row up to it. Rows that an interrupted snapshot left behind
are true at their height, hence harmless.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from node.chain import Chain
from node.snapshot import Mark, encode_bucket
from node.state import State

SCHEMA = "CREATE TABLE bucket (key INTEGER PRIMARY KEY, records BLOB NOT NULL)"
_HEIGHT_BITS = 40
_HEIGHT_MASK = (1 << _HEIGHT_BITS) - 1


@dataclass(slots=True)
class _Pending:
    """A chosen state, what of it must be written, and how much of that is."""

    mark: Mark
    state: State
    changes: list[tuple[int, tuple[bytes, ...]]]
    written: int = 0


class SnapshotWriter:
    """Decides when a state is chosen and paces its writing.

    A state is chosen after so many blocks or bytes of blocks, for that is what a start replays,
    and is written within half of that again.
    """

    __slots__ = ("_blocks", "_blocks_max", "_bytes", "_bytes_max", "_height", "_pending",
                 "_state")

    def __init__(self, blocks_max: int, bytes_max: int, height: int, state: State) -> None:
        """``state`` is that of the last whole snapshot, at ``height``; 0 if there is none."""
        assert blocks_max >= 1
        assert bytes_max >= 1
        self._blocks_max = blocks_max
        self._bytes_max = bytes_max
        self._height = height
        self._state = state
        self._pending: _Pending | None = None
        self._blocks = 0
        self._bytes = 0

    def count(self, blocks: int, size_bytes: int) -> None:
        """So many more blocks stand upon the state that was chosen last."""
        self._blocks += blocks
        self._bytes += size_bytes

    def upon_blocks(self, connection: sqlite3.Connection, chain: Chain) -> Mark | None:
        """Write what is due with the chain's last blocks; the mark of what is whole now."""
        share = max(self._blocks / self._blocks_max, self._bytes / self._bytes_max)
        pending = self._pending
        if pending is None:
            if share >= 1:
                self._choose(chain)
            return None
        changes = pending.changes
        # 1 more than the share, so that rounding never makes it late
        due = min(len(changes), int(len(changes) * 2 * share) + 1)
        self._write(connection, pending.mark.height, changes[pending.written : due])
        pending.written = due
        if due < len(changes):
            return None
        self._height, self._state = pending.mark.height, pending.state
        self._pending = None
        return pending.mark

    def _choose(self, chain: Chain) -> None:
        head = chain.head
        assert chain.state.root == head.state_root
        changes = list(chain.state.list_changes(self._state))
        mark = Mark(head.height, head.digest, chain.authorities)
        self._pending = _Pending(mark, chain.state, changes)
        self._blocks = self._bytes = 0

    def _write(
        self, connection: sqlite3.Connection, height: int,
        changes: list[tuple[int, tuple[bytes, ...]]],
    ) -> None:
        firsts = [number << _HEIGHT_BITS for number, _ in changes]
        # Of the rows up to the last snapshot only the last counts, until the next is whole.
        connection.executemany(
            "DELETE FROM bucket WHERE key >= ? AND key <"
            " (SELECT max(key) FROM bucket WHERE key BETWEEN ? AND ?)",
            [(first, first, first | self._height) for first in firsts],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO bucket VALUES (?, ?)",
            [(first | height, encode_bucket(records))
             for first, (_, records) in zip(firsts, changes, strict=True)],
        )


def read_buckets(connection: sqlite3.Connection, height: int) -> Iterator[tuple[int, bytes]]:
    """The buckets of the snapshot at ``height``; their root tells whether they are whole."""
    number, last = -1, b""
    rows = connection.execute("SELECT key, records FROM bucket ORDER BY key")
    for key, records in rows:
        if type(key) is not int or type(records) is not bytes or key & _HEIGHT_MASK > height:
            continue
        if key >> _HEIGHT_BITS != number and number >= 0:
            yield number, last
        number, last = key >> _HEIGHT_BITS, records
    if number >= 0:
        yield number, last
