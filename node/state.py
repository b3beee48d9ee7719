"""The chain's state: an immutable map of records under one root, cheap to change by a block.

A tree of radix 16 and depth 4 over the first 16 bits of SHA-256 of the key: 65,536 buckets,
each with its records in order. A block copies the path nodes that it touches and of a bucket
the few records around each change, and shares all else with the snapshot before it, so that a
thousand peers and their recent heights hold one copy of a record.

Record = size of the key (2 bytes), key, value; leaf = H(record); bucket = H(its leaves in the
order of their records); node = H(its 16 children); what is empty is EMPTY_ROOT at every level.
The root depends on the records alone, never on the order in which they came. Whoever grinds
keys into one bucket pays 65,536 hashes for each and makes that bucket longer, no other.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, TypeAlias

from node.bucket import (
    BUCKET_HASH,
    KEY_HASH,
    SIZE_BYTES,
    Bucket,
    Change,
    build_bucket,
    change_bucket,
)
from node.codec import Value, decode, encode
from node.compiling import mypyc_attr
from node.errors import InvalidEncoding, InvalidProof
from node.hashing import Hash, hash_after
from node.run import hash_record
from node.types import DIGEST_BYTES, Digest

EMPTY_ROOT: Final[Digest] = bytes(DIGEST_BYTES)
PROOF_BYTES_MAX: Final = 1 << 22

_DEPTH: Final = 4
_WIDTH: Final = 16
_NODE_HASH: Final[Hash] = sha256(b"veche/node\0")
_NO_CHILDREN: Final = EMPTY_ROOT * _WIDTH
_SIBLINGS_BYTES: Final = DIGEST_BYTES * (_WIDTH - 1)


@mypyc_attr(acyclic=True)
class _Node:
    """16 subtrees, and what is hashed: their digests side by side. Nobody changes either.

    A bucket stands only below the last level.
    """

    __slots__ = ("children", "digest", "hashed")

    def __init__(self, children: "list[_Place]", hashed: bytearray) -> None:
        assert len(hashed) == len(_NO_CHILDREN)
        self.children: tuple[_Place, ...] = tuple(children)
        self.hashed = hashed
        self.digest: Digest = hash_after(_NODE_HASH, hashed)


_Place: TypeAlias = _Node | Bucket | None


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
        place = hash_after(KEY_HASH, key)
        found: _Node | Bucket | None = self._tree
        for level in range(_DEPTH):
            if found is None:
                return None
            assert isinstance(found, _Node)
            found = found.children[_get_nibble(place, level)]
        if found is None:
            return None
        assert isinstance(found, Bucket)
        head = len(key).to_bytes(SIZE_BYTES, "big") + key
        record = found.find(place, head)
        return None if record is None else record[len(head) :]

    def with_changes(self, changes: dict[bytes, bytes | None]) -> "State":
        """The snapshot after ``changes``; None removes a record, if it is there."""
        if not changes:
            return self
        placed: dict[Digest, Change] = {}
        for key, value in changes.items():
            head = len(key).to_bytes(SIZE_BYTES, "big") + key
            record = None if value is None else head + value
            placed[hash_after(KEY_HASH, key)] = head, record
        assert len(placed) == len(changes)
        return State(_change_node(self._tree, 0, sorted(placed), 0, len(placed), placed))

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All records whose key begins with ``prefix``, in the tree's order: for recounts."""
        pending: list[_Node | Bucket | None] = [self._tree]
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
                yield number, tuple(now.list_records()) if now else ()
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
        place = hash_after(KEY_HASH, key)
        found: _Node | Bucket | None = self._tree
        for level in range(_DEPTH):
            if found is None:
                break
            assert isinstance(found, _Node)
            nibble = _get_nibble(place, level)
            at = DIGEST_BYTES * nibble
            siblings.append(bytes(found.hashed[:at] + found.hashed[at + DIGEST_BYTES :]))
            found = found.children[nibble]
        if found is None:
            return encode([siblings, b"", 0, []])
        assert isinstance(found, Bucket)
        leaves, records = found.join_leaves(), found.list_records()
        head = len(key).to_bytes(SIZE_BYTES, "big") + key
        at = bisect_left(records, head)
        if at < len(records) and records[at].startswith(head):
            return encode([siblings, leaves, at, tuple(records[at : at + 1])])
        before = max(at - 1, 0)
        return encode([siblings, leaves, before, tuple(records[before : at + 1])])


EMPTY_STATE: Final = State(None)


def build_state(buckets: Iterable[tuple[int, tuple[bytes, ...]]]) -> State:
    """The state of which these are the buckets that hold records: ``list_changes``' inverse.

    Its root tells whether that is so: a record in a wrong place gives another root.
    """
    level: dict[int, _Node | Bucket] = {}
    for number, records in buckets:
        assert records, "an empty bucket does not stand in the tree"
        level[number] = build_bucket(records)
    for _ in range(_DEPTH):
        parents: dict[int, list[_Place]] = {}
        for number, child in level.items():
            parents.setdefault(number >> 4, [None] * _WIDTH)[number & 15] = child
        level = {
            number: _Node(children, bytearray(b"".join([
                EMPTY_ROOT if child is None else child.digest for child in children
            ])))
            for number, children in parents.items()
        }
    tree = level.get(0)
    assert not isinstance(tree, Bucket)
    return State(tree)


def _list_children(place: "_Place") -> "list[_Place]":
    assert not isinstance(place, Bucket)
    return [None] * _WIDTH if place is None else list(place.children)


def _get_nibble(place: Digest, level: int) -> int:
    byte = place[level >> 1]
    return byte & 15 if level & 1 else byte >> 4


def _list_records(bucket: Bucket, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    for record in bucket.list_records():
        if record.startswith(prefix, SIZE_BYTES):
            end = SIZE_BYTES + int.from_bytes(record[:SIZE_BYTES], "big")
            if end >= SIZE_BYTES + len(prefix):
                yield record[SIZE_BYTES:end], record[end:]


def _change_node(
    node: _Node | None, level: int, places: list[Digest], begin: int, end: int,
    changes: dict[Digest, Change],
) -> _Node | None:
    """The subtree after the changes at ``places[begin:end]``, which stand in order."""
    assert begin < end
    children: list[_Place] = [None] * _WIDTH if node is None else list(node.children)
    hashed = bytearray(_NO_CHILDREN if node is None else node.hashed)
    while begin < end:
        nibble = _get_nibble(places[begin], level)
        after = begin + 1
        while after < end and _get_nibble(places[after], level) == nibble:
            after += 1
        child = children[nibble]
        changed: _Place
        if level == _DEPTH - 1:
            assert not isinstance(child, _Node)
            changed = change_bucket(child, places[begin:after], changes)
        else:
            assert not isinstance(child, Bucket)
            changed = _change_node(child, level + 1, places, begin, after, changes)
        children[nibble] = changed
        at = DIGEST_BYTES * nibble
        hashed[at : at + DIGEST_BYTES] = EMPTY_ROOT if changed is None else changed.digest
        begin = after
    return None if hashed == _NO_CHILDREN else _Node(children, hashed)


def verify_record(root: Digest, key: bytes, value: bytes | None, proof: bytes) -> None:
    """Check that under ``root`` the record of ``key`` is ``value``, or absent if it is None.

    Raises InvalidProof with the step that failed.
    """
    if len(key) >= 1 << 8 * SIZE_BYTES:
        raise InvalidProof("state: key too long")
    siblings, leaves, at, records = _decode_proof(proof)
    for record in records:
        begin = DIGEST_BYTES * at
        if leaves[begin : begin + DIGEST_BYTES] != hash_record(record):
            raise InvalidProof("state: record outside of its bucket")
        at += 1
    head = len(key).to_bytes(SIZE_BYTES, "big") + key
    if value is None:
        _verify_absence(head, at, len(leaves) // DIGEST_BYTES, records)
    elif records != [head + value]:
        raise InvalidProof("state: another record")
    found = hash_after(BUCKET_HASH, leaves) if leaves else EMPTY_ROOT
    place = hash_after(KEY_HASH, key)
    for level, others in reversed(list(enumerate(siblings))):
        begin = DIGEST_BYTES * _get_nibble(place, level)
        found = hash_after(_NODE_HASH, others[:begin] + found + others[begin:])
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
