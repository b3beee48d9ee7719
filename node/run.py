"""A run of a bucket's records as one string: their count, sizes, leaves, and themselves.

Leaf = H(record). A run is at most 16 records, so that a change copies little; it is a string
because an object for each record would have to be counted, wherever in the memory it lies, by
each copy and again when the copy goes.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from node.hashing import Hash, hash_after
from node.types import DIGEST_BYTES, Digest

RUN_MAX: Final = 16
RECORD_BYTES_MAX: Final = (1 << 24) - 1

_RECORD_HASH: Final[Hash] = sha256(b"veche/record\0")
_SIZE_BYTES: Final = 3
_SIZES_AT: Final = 1  # after the count
_ENTRY_BYTES: Final = _SIZE_BYTES + DIGEST_BYTES
_COUNTS: Final = [bytes((count,)) for count in range(RUN_MAX + 2)]


def hash_record(record: bytes) -> Digest:
    """The record's leaf."""
    return hash_after(_RECORD_HASH, record)


def build_run(records: Sequence[bytes]) -> bytes:
    """The run of these records, one more than RUN_MAX at most."""
    assert len(records) <= RUN_MAX + 1
    return b"".join([
        _COUNTS[len(records)],
        *[len(record).to_bytes(_SIZE_BYTES, "big") for record in records],
        *[hash_record(record) for record in records],
        *records,
    ])


def get_leaves(run: bytes) -> bytes:
    """The leaves, side by side."""
    begin = _SIZES_AT + _SIZE_BYTES * run[0]
    return run[begin : begin + DIGEST_BYTES * run[0]]


def get_record(run: bytes, slot: int) -> bytes:
    """The record in this place."""
    begin = _find(run, slot)
    return run[begin : begin + _get_size(run, slot)]


def list_records(run: bytes) -> list[bytes]:
    """All records, in order."""
    return [get_record(run, slot) for slot in range(run[0])]


def has_head(run: bytes, slot: int, head: bytes) -> bool:
    """Whether there is a record in this place and it begins with ``head``."""
    if slot >= run[0]:
        return False
    begin = _find(run, slot)
    return run[begin : begin + len(head)] == head


def count_below(run: bytes, head: bytes) -> int:
    """How many records stand before ``head`` in order."""
    begin = _find(run, 0)
    for slot in range(run[0]):
        end = begin + _get_size(run, slot)
        if run[begin : min(begin + len(head), end)] >= head:
            return slot
        begin = end
    return run[0]


def replace_records(run: bytes, slot: int, removed: int, record: bytes | None) -> bytes:
    """The run with ``record``, if any, in the place of ``removed`` records from ``slot`` on."""
    count, after = run[0], slot + removed
    assert removed in (0, 1)
    assert after <= count <= RUN_MAX + 1
    size, leaf, added = b"", b"", 0
    if record is None:
        record = b""
    else:
        size, leaf, added = len(record).to_bytes(_SIZE_BYTES, "big"), hash_record(record), 1
    leaves = _SIZES_AT + _SIZE_BYTES * count
    begin = _find(run, slot)
    end = begin + _get_size(run, slot) if removed else begin
    return b"".join((
        _COUNTS[count - removed + added],
        run[_SIZES_AT : _SIZES_AT + _SIZE_BYTES * slot], size,
        run[_SIZES_AT + _SIZE_BYTES * after : leaves + DIGEST_BYTES * slot], leaf,
        run[leaves + DIGEST_BYTES * after : begin], record,
        run[end:],
    ))


def split_run(run: bytes, slot: int) -> tuple[bytes, bytes]:
    """The records before ``slot``, and those from it on."""
    count = run[0]
    assert 0 <= slot <= count
    sizes, leaves = _SIZES_AT + _SIZE_BYTES * slot, _SIZES_AT + _SIZE_BYTES * count
    middle, records, begin = leaves + DIGEST_BYTES * slot, _find(run, 0), _find(run, slot)
    before = (run[_SIZES_AT:sizes], run[leaves:middle], run[records:begin])
    after = (run[sizes:leaves], run[middle:records], run[begin:])
    return _COUNTS[slot] + b"".join(before), _COUNTS[count - slot] + b"".join(after)


def _get_size(run: bytes, slot: int) -> int:
    at = _SIZES_AT + _SIZE_BYTES * slot
    return run[at] << 16 | run[at + 1] << 8 | run[at + 2]


def _find(run: bytes, slot: int) -> int:
    """Where in the string the record begins."""
    begin = _SIZES_AT + _ENTRY_BYTES * run[0]
    for before in range(slot):
        begin += _get_size(run, before)
    return begin
