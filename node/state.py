"""The chain's state: an immutable map of records under one root, cheap to change by a block.

A tree of radix 16 and depth 4 over the first 16 bits of SHA-256 of the key: 65,536 buckets,
each with its records in order. A block copies the buckets and path nodes that it touches, each
once, and shares all others with the snapshot before it, so that a thousand peers and their
recent heights hold one copy of a record.

Record = size of the key (2 bytes), key, value; leaf = H(record); bucket = H(its leaves in the
order of their records); node = H(its 16 children); what is empty is EMPTY_ROOT at every level.
The root depends on the records alone, never on the order in which they came. Whoever grinds
keys into one bucket pays 65,536 hashes for each and makes that bucket longer, no other.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, TypeAlias

from node.codec import Value, decode, encode
from node.compiling import mypyc_attr
from node.errors import InvalidEncoding, InvalidProof
from node.types import DIGEST_BYTES, Digest

EMPTY_ROOT: Final[Digest] = bytes(DIGEST_BYTES)
PROOF_BYTES_MAX: Final = 1 << 22

_DEPTH: Final = 4
_WIDTH: Final = 16
_SIZE_BYTES: Final = 2
_RECORD: Final = b"veche/record\0"
_BUCKET: Final = b"veche/bucket\0"
_NODE: Final = b"veche/node\0"
_NO_CHILDREN: Final = _NODE + EMPTY_ROOT * _WIDTH
_SIBLINGS_BYTES: Final = DIGEST_BYTES * (_WIDTH - 1)

_Change: TypeAlias = tuple[Digest, bytes, bytes | None]
"""Digest of the key, its size and itself, new record: where to go, to find, to put."""


@mypyc_attr(acyclic=True)
class _Bucket:
    """Records in order, in a list that nobody changes any more, and their leaves side by side.

    An object per record with its digest would cost more memory than the record.
    """

    __slots__ = ("digest", "leaves", "records")

    def __init__(self, leaves: bytes, records: list[bytes]) -> None:
        assert len(leaves) == DIGEST_BYTES * len(records)
        self.leaves = leaves
        self.records = records
        self.digest: Digest = sha256(_BUCKET + leaves).digest()


@mypyc_attr(acyclic=True)
class _Node:
    """16 subtrees, and what is hashed: ``_NODE`` and their digests side by side.

    A bucket stands only below the last level.
    """

    __slots__ = ("children", "digest", "hashed")

    def __init__(self, children: "list[_Node | _Bucket | None]", hashed: bytes) -> None:
        assert len(hashed) == len(_NO_CHILDREN)
        self.children = children
        self.hashed = hashed
        self.digest: Digest = sha256(hashed).digest()


_Place: TypeAlias = _Node | _Bucket | None


@mypyc_attr(allow_interpreted_subclasses=True)
class State:
    """One snapshot. Equal roots mean equal records; two snapshots share what they can."""

    __slots__ = ("_tree", "root")

    def __init__(self, tree: _Node | None) -> None:
        self._tree = tree
        self.root: Digest = EMPTY_ROOT if tree is None else tree.digest

    @staticmethod
    def empty() -> "State":
        """The state without records; its root is EMPTY_ROOT."""
        return EMPTY_STATE

    def get(self, key: bytes) -> bytes | None:
        """The record under ``key``, or None."""
        place = sha256(key).digest()
        high, low = place[0], place[1]
        found: _Node | _Bucket | None = self._tree
        for nibble in (high >> 4, high & 15, low >> 4, low & 15):
            if found is None:
                return None
            found = found.children[nibble]  # type: ignore[union-attr]  # buckets lie below
        if found is None:
            return None
        assert isinstance(found, _Bucket)
        head = len(key).to_bytes(_SIZE_BYTES, "big") + key
        records = found.records
        at = bisect_left(records, head)
        if at < len(records) and records[at].startswith(head):
            return records[at][len(head) :]
        return None

    def with_changes(self, changes: dict[bytes, bytes | None]) -> "State":
        """The snapshot after ``changes``; None removes a record, if it is there."""
        if not changes:
            return self
        entries: list[_Change] = []
        for key, value in changes.items():
            head = len(key).to_bytes(_SIZE_BYTES, "big") + key
            record = None if value is None else head + value
            entries.append((sha256(key).digest(), head, record))
        return State(_change_node(self._tree, 0, entries))

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All records whose key begins with ``prefix``, in the tree's order: for recounts."""
        pending: list[_Node | _Bucket | None] = [self._tree]
        while pending:
            place = pending.pop()
            if isinstance(place, _Node):
                pending.extend(reversed(place.children))
            elif place is not None:
                yield from _list_records(place, prefix)

    def list_changes(self, before: "State") -> Iterator[tuple[int, tuple[bytes, ...]]]:
        """(number of the bucket, its records now) for each that is not as in ``before``.

        Numbers ascend from 0 to 65,535. What the two share is not looked at.
        """
        other = before._tree  # noqa: SLF001  # ours, too
        pending: list[tuple[_Place, _Place, int, int]] = [(self._tree, other, 0, 0)]
        while pending:
            now, old, level, number = pending.pop()
            if now is old or (now and old and now.digest == old.digest):
                continue
            if level == _DEPTH:
                assert not isinstance(now, _Node)
                yield number, tuple(now.records) if now else ()
                continue
            mine, others = _list_children(now), _list_children(old)
            pending.extend(
                (mine[nibble], others[nibble], level + 1, number << 4 | nibble)
                for nibble in reversed(range(_WIDTH))
            )

    def prove(self, key: bytes) -> bytes:
        """What ``verify_record`` needs to check the record under ``key``, or that none is.

        Canonical ``[[siblings of each level from the top], leaves of the bucket, place,
        [records in it from that place on]]``: the record, or the neighbours of its absence.
        """
        siblings: list[Value] = []
        found: _Node | _Bucket | None = self._tree
        for nibble in _compute_path(key):
            if found is None:
                break
            assert isinstance(found, _Node)
            at = len(_NODE) + DIGEST_BYTES * nibble
            siblings.append(found.hashed[len(_NODE) : at] + found.hashed[at + DIGEST_BYTES :])
            found = found.children[nibble]
        if found is None:
            return encode([siblings, b"", 0, []])
        assert isinstance(found, _Bucket)
        records = found.records
        head = len(key).to_bytes(_SIZE_BYTES, "big") + key
        at = bisect_left(records, head)
        if at < len(records) and records[at].startswith(head):
            return encode([siblings, found.leaves, at, tuple(records[at : at + 1])])
        before = max(at - 1, 0)
        return encode([siblings, found.leaves, before, tuple(records[before : at + 1])])


EMPTY_STATE: Final = State(None)


def build_state(buckets: Iterable[tuple[int, tuple[bytes, ...]]]) -> State:
    """The state of which these are the buckets that hold records: ``list_changes``' inverse.

    Its root tells whether that is so: a record in a wrong place gives another root.
    """
    level: dict[int, _Node | _Bucket] = {}
    for number, records in buckets:
        assert records, "an empty bucket does not stand in the tree"
        leaves = b"".join([sha256(_RECORD + record).digest() for record in records])
        level[number] = _Bucket(leaves, list(records))
    for _ in range(_DEPTH):
        parents: dict[int, list[_Place]] = {}
        for number, child in level.items():
            parents.setdefault(number >> 4, [None] * _WIDTH)[number & 15] = child
        level = {
            number: _Node(children, _NODE + b"".join([
                EMPTY_ROOT if child is None else child.digest for child in children
            ]))
            for number, children in parents.items()
        }
    tree = level.get(0)
    assert not isinstance(tree, _Bucket)
    return State(tree)


def _list_children(place: "_Place") -> "list[_Place]":
    assert not isinstance(place, _Bucket)
    return [None] * _WIDTH if place is None else place.children


def _compute_path(key: bytes) -> tuple[int, int, int, int]:
    high, low = sha256(key).digest()[:2]
    return high >> 4, high & 15, low >> 4, low & 15


def _list_records(bucket: _Bucket, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    for record in bucket.records:
        if record.startswith(prefix, _SIZE_BYTES):
            end = _SIZE_BYTES + int.from_bytes(record[:_SIZE_BYTES], "big")
            if end >= _SIZE_BYTES + len(prefix):
                yield record[_SIZE_BYTES:end], record[end:]


def _change_node(node: _Node | None, level: int, entries: list[_Change]) -> _Node | None:
    assert entries
    children: list[_Node | _Bucket | None]
    children = [None] * _WIDTH if node is None else node.children.copy()
    hashed = bytearray(_NO_CHILDREN if node is None else node.hashed)
    for nibble, group in _group(level, entries):
        child = children[nibble]
        changed: _Node | _Bucket | None
        if level == _DEPTH - 1:
            assert not isinstance(child, _Node)
            changed = _change_bucket(child, group)
        else:
            assert not isinstance(child, _Bucket)
            changed = _change_node(child, level + 1, group)
        children[nibble] = changed
        at = len(_NODE) + DIGEST_BYTES * nibble
        hashed[at : at + DIGEST_BYTES] = EMPTY_ROOT if changed is None else changed.digest
    return None if hashed == _NO_CHILDREN else _Node(children, bytes(hashed))


def _group(level: int, entries: list[_Change]) -> Iterable[tuple[int, list[_Change]]]:
    byte, shift = level >> 1, 0 if level & 1 else 4
    if len(entries) == 1:  # three of four calls in a large state
        return ((entries[0][0][byte] >> shift & 15, entries),)
    groups: dict[int, list[_Change]] = {}
    for entry in entries:
        nibble = entry[0][byte] >> shift & 15
        if nibble in groups:
            groups[nibble].append(entry)
        else:
            groups[nibble] = [entry]
    return groups.items()


def _change_bucket(bucket: _Bucket | None, entries: list[_Change]) -> _Bucket | None:
    leaves: bytes = b""
    records: list[bytes] = []
    if bucket is not None:
        # copied once: each copy counts one reference more in each record
        leaves, records = bucket.leaves, bucket.records.copy()
    for _, head, record in entries:
        at = after = bisect_left(records, head)
        if at < len(records) and records[at].startswith(head):
            after = at + 1
        before, rest = leaves[: at * DIGEST_BYTES], leaves[after * DIGEST_BYTES :]
        if record is None:
            leaves = before + rest
            del records[at:after]
        else:
            leaves = b"".join((before, sha256(_RECORD + record).digest(), rest))
            records[at:after] = [record]
    return _Bucket(leaves, records) if records else None


def verify_record(root: Digest, key: bytes, value: bytes | None, proof: bytes) -> None:
    """Check that under ``root`` the record of ``key`` is ``value``, or absent if it is None.

    Raises InvalidProof with the step that failed.
    """
    if len(key) >= 1 << 8 * _SIZE_BYTES:
        raise InvalidProof("state: key too long")
    siblings, leaves, at, records = _decode_proof(proof)
    for record in records:
        begin = DIGEST_BYTES * at
        if leaves[begin : begin + DIGEST_BYTES] != sha256(_RECORD + record).digest():
            raise InvalidProof("state: record outside of its bucket")
        at += 1
    head = len(key).to_bytes(_SIZE_BYTES, "big") + key
    if value is None:
        _verify_absence(head, at, len(leaves) // DIGEST_BYTES, records)
    elif records != [head + value]:
        raise InvalidProof("state: another record")
    found = sha256(_BUCKET + leaves).digest() if leaves else EMPTY_ROOT
    for nibble, others in reversed(list(zip(_compute_path(key), siblings, strict=False))):
        begin = DIGEST_BYTES * nibble
        found = sha256(_NODE + others[:begin] + found + others[begin:]).digest()
    if found != root:
        raise InvalidProof("state: another root")


def _verify_absence(head: bytes, after: int, count: int, records: list[bytes]) -> None:
    """Records stand in order, so the missing one would stand between shown neighbours."""
    if any(record.startswith(head) for record in records):
        raise InvalidProof("state: the record exists")
    is_first = after == len(records)
    is_last = after == count
    if not records and count == 0:
        return
    if len(records) == 1:
        only = records[0]
        if (is_first and head < only) or (is_last and only < head):
            return
    if len(records) == 2 and records[0] < head < records[1]:
        return
    raise InvalidProof("state: not the neighbours")


def _decode_proof(proof: bytes) -> tuple[list[bytes], bytes, int, list[bytes]]:
    try:
        fields = decode(proof, PROOF_BYTES_MAX, 16)
    except InvalidEncoding as error:
        raise InvalidProof(f"state: {error}") from error
    if not isinstance(fields, list) or len(fields) != 4:
        raise InvalidProof("state: proof is not [siblings, leaves, place, records]")
    levels, leaves, at, items = fields
    # asked before the name is narrowed: compiled, True would be a number after that
    is_whole = type(at) is int
    if not (
        isinstance(levels, list) and isinstance(leaves, bytes) and isinstance(at, int)
        and isinstance(items, list)
        and (len(levels) == _DEPTH or (len(levels) < _DEPTH and not leaves))
    ):
        raise InvalidProof("state: proof is not [siblings, leaves, place, records]")
    siblings = [level for level in levels if type(level) is bytes]
    records = [item for item in items if type(item) is bytes]
    if len(siblings) != len(levels) or len(records) != len(items) or not is_whole:
        raise InvalidProof("state: siblings or records of the wrong type")
    if len(leaves) % DIGEST_BYTES or any(len(x) != _SIBLINGS_BYTES for x in siblings):
        raise InvalidProof("state: siblings or leaves of the wrong size")
    if not 0 <= at <= len(leaves) // DIGEST_BYTES:
        raise InvalidProof("state: place outside of the bucket")
    return siblings, leaves, at, records
