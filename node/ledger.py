"""What one transaction may read and write: records over a snapshot, kept or dropped whole."""

from typing import Final, Protocol, TypeAlias

from node.codec import Value, decode, encode
from node.state import State

RECORD_BYTES_MAX: Final = 1 << 20

Changes: TypeAlias = dict[bytes, bytes | None]


class Readable(Protocol):
    """Anything that holds records: a Ledger, a State."""

    def get(self, key: bytes, /) -> bytes | None: ...


class Ledger:
    """Reads fall through to the snapshot; writes collect until ``keep`` or ``drop``.

    Keys are byte strings that begin with the service's own prefix (``b"election/"``). Values
    are bytes; ``get_value`` and ``put_value`` encode canonically.
    """

    __slots__ = ("_block", "_read", "_snapshot", "_transaction")

    def __init__(self, snapshot: State) -> None:
        self._snapshot = snapshot
        self._block: Changes = {}
        self._read: Changes = {}
        self._transaction: Changes = {}

    def get(self, key: bytes) -> bytes | None:
        """The record under ``key`` as this transaction sees it."""
        if key in self._transaction:
            return self._transaction[key]
        if key in self._block:
            return self._block[key]
        # many transactions of a block look at the same few records
        if key in self._read:
            return self._read[key]
        record = self._read[key] = self._snapshot.get(key)
        return record

    def put(self, key: bytes, value: bytes) -> None:
        """Write one record of at most RECORD_BYTES_MAX bytes."""
        assert len(value) <= RECORD_BYTES_MAX, len(value)
        self._transaction[key] = value

    def delete(self, key: bytes) -> None:
        """Remove one record; removing what is not there changes nothing."""
        self._transaction[key] = None

    def get_value(self, key: bytes) -> Value:
        """The decoded record, or None."""
        record = self.get(key)
        return None if record is None else decode(record, RECORD_BYTES_MAX)

    def put_value(self, key: bytes, value: Value) -> None:
        """Write the canonical encoding of ``value``."""
        self.put(key, encode(value))

    def keep(self) -> int:
        """Make the transaction's writes part of the block; returns how many records."""
        written = len(self._transaction)
        if written:
            self._block.update(self._transaction)
            self._transaction = {}
        return written

    def drop(self) -> None:
        """Forget the transaction's writes."""
        self._transaction = {}

    def get_changes(self) -> Changes:
        """All that was kept since the snapshot."""
        assert not self._transaction
        return self._block
