"""A bucket of the state's tree: records in order, and the digest that commits to them.

Record = size of the key (2 bytes), key, value; bucket = H(the leaves of its records in order).
A change copies the run in which the record stands and shares the others with the bucket before
it. A tag for each record, two bytes of its place, leads a search past all others; whoever
grinds keys with one tag into one bucket pays 2**32 hashes for each and slows their search only.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from node.compiling import mypyc_attr
from node.hashing import Hash, hash_after
from node.run import (
    RUN_MAX,
    build_run,
    count_below,
    get_leaves,
    get_record,
    has_head,
    list_records,
    replace_records,
    split_run,
)
from node.types import Digest

SIZE_BYTES: Final = 2
KEY_HASH: Final[Hash] = sha256()
"""Gives a key's place: its first two bytes number the bucket."""

BUCKET_HASH: Final[Hash] = sha256(b"veche/bucket\0")

Change: TypeAlias = tuple[bytes, bytes | None]
"""Head of a record (its key with the size before it) and what is to be the record, or None."""

_RUN_BUILT: Final = RUN_MAX * 3 // 4  # a full run would split at its first new record
_TAG_BYTES: Final = 2
_TAG_AT: Final = 2  # what stands before it in the place is the same in the whole bucket
_TAGS_BYTES: Final = _TAG_BYTES * RUN_MAX


@mypyc_attr(acyclic=True)
class Bucket:
    """Runs in order, and the tags of each as if it were full. Nobody changes any of it."""

    __slots__ = ("digest", "runs", "tags")

    def __init__(self, runs: list[bytes], tags: bytes) -> None:
        assert len(tags) == _TAGS_BYTES * len(runs)
        self.runs = tuple(runs)
        self.tags = tags
        hashed = BUCKET_HASH.copy()
        # not joined: of more than 2 kB at once hashlib lets go of the interpreter, in vain
        for run in runs:
            hashed.update(get_leaves(run))
        self.digest: Digest = hashed.digest()

    def join_leaves(self) -> bytes:
        """The leaves of all records, side by side."""
        return b"".join([get_leaves(run) for run in self.runs])

    def list_records(self) -> list[bytes]:
        """All records, in order."""
        return [record for run in self.runs for record in list_records(run)]

    def find(self, place: Digest, head: bytes) -> bytes | None:
        """The record that begins with ``head``; ``place`` is its key's digest."""
        at = _search(self.runs, self.tags, place, head)
        return None if at < 0 else get_record(self.runs[at // RUN_MAX], at % RUN_MAX)


def change_bucket(
    bucket: Bucket | None, places: list[Digest], changes: dict[Digest, Change]
) -> Bucket | None:
    """The bucket after the changes at these places; None if no record is left."""
    runs: list[bytes] = []
    tags: bytes = b""
    if bucket is not None:
        runs, tags = list(bucket.runs), bucket.tags
    for place in places:
        head, record = changes[place]
        at = _search(tuple(runs), tags, place, head)
        if at >= 0:
            number, slot = at // RUN_MAX, at % RUN_MAX
            runs[number] = replace_records(runs[number], slot, 1, record)
            if record is None:
                tags = _remove_tag(runs, tags, number, slot)
        elif record is not None:
            tags = _insert(runs, tags, place, head, record)
    return Bucket(runs, tags) if runs else None


def build_bucket(records: Sequence[bytes]) -> Bucket:
    """The bucket of these records, which stand in order if they are those of a bucket."""
    runs: list[bytes] = []
    tags: list[bytes] = []
    for begin in range(0, len(records), _RUN_BUILT):
        some = records[begin : begin + _RUN_BUILT]
        runs.append(build_run(some))
        tags.append(_pad(b"".join([_compute_tag(record) for record in some])))
    return Bucket(runs, b"".join(tags))


def _search(runs: tuple[bytes, ...], tags: bytes, place: Digest, head: bytes) -> int:
    """The number of the run times RUN_MAX and the place in it, or -1."""
    tag = _get_tag(place)
    begin = tags.find(tag)
    while begin >= 0:
        at = begin // _TAG_BYTES
        # others have the tag by chance, or it is found across two, or beyond the run's end
        if begin % _TAG_BYTES == 0 and has_head(runs[at // RUN_MAX], at % RUN_MAX, head):
            return at
        begin = tags.find(tag, begin + 1)
    return -1


def _insert(
    runs: list[bytes], tags: bytes, place: Digest, head: bytes, record: bytes
) -> bytes:
    if not runs:
        runs.append(build_run([record]))
        return _pad(_get_tag(place))
    number = _search_run(runs, head)
    run = runs[number]
    slot = count_below(run, head)
    run = replace_records(run, slot, 0, record)
    first = _TAGS_BYTES * number
    middle, end = first + _TAG_BYTES * slot, first + _TAGS_BYTES
    if run[0] <= RUN_MAX:
        runs[number] = run
        return b"".join((
            tags[:middle], _get_tag(place), tags[middle : end - _TAG_BYTES], tags[end:]
        ))
    half = run[0] // 2
    runs[number : number + 1] = split_run(run, half)
    both = b"".join((tags[first:middle], _get_tag(place), tags[middle:end]))
    return b"".join((
        tags[:first], _pad(both[: _TAG_BYTES * half]), _pad(both[_TAG_BYTES * half :]),
        tags[end:],
    ))


def _remove_tag(runs: list[bytes], tags: bytes, number: int, slot: int) -> bytes:
    first = _TAGS_BYTES * number
    middle, end = first + _TAG_BYTES * slot, first + _TAGS_BYTES
    if runs[number][0] == 0:
        del runs[number]
        return tags[:first] + tags[end:]
    rest = tags[middle + _TAG_BYTES : end] + bytes(_TAG_BYTES)
    return b"".join((tags[:middle], rest, tags[end:]))


def _search_run(runs: list[bytes], head: bytes) -> int:
    """The number of the last run that begins below ``head``, or of the first."""
    assert runs
    low, high = 0, len(runs) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if get_record(runs[middle], 0) < head:
            low = middle
        else:
            high = middle - 1
    return low


def _get_tag(place: Digest) -> bytes:
    return place[_TAG_AT : _TAG_AT + _TAG_BYTES]


def _compute_tag(record: bytes) -> bytes:
    size = int.from_bytes(record[:SIZE_BYTES], "big")
    return _get_tag(hash_after(KEY_HASH, record[SIZE_BYTES : SIZE_BYTES + size]))


def _pad(tags: bytes) -> bytes:
    assert len(tags) <= _TAGS_BYTES
    return tags.ljust(_TAGS_BYTES, b"\0")
