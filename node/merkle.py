"""Binary Merkle trees over byte strings, as in Certificate Transparency (RFC 6962, 2.1).

A leaf is H(0, content) and a node H(1, left, right), so that no node can pass for a leaf; a
tree of n leaves splits at the greatest power of two below n. Nothing is padded or doubled, so
no two lists of leaves share a root (Bitcoin's CVE-2012-2459).
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from node.errors import InvalidProof
from node.types import Digest

EMPTY_ROOT: Final[Digest] = sha256(b"").digest()


class MerkleTree:
    """All levels of the tree over ``leaves``, built once; ``count`` is how many leaves."""

    __slots__ = ("_levels", "count", "root")

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.count = len(leaves)
        level = [sha256(b"\0" + leaf).digest() for leaf in leaves]
        self._levels = [level]
        while len(level) > 1:
            level = _compute_parents(level)
            self._levels.append(level)
        self.root: Digest = level[0] if level else EMPTY_ROOT

    def prove(self, index: int) -> tuple[Digest, ...]:
        """The audit path of leaf ``index``, from its sibling up: 32 bytes a level."""
        assert 0 <= index < self.count
        path = []
        for level in self._levels:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index >>= 1
        return tuple(path)


def compute_root(leaves: Sequence[bytes]) -> Digest:
    """The root over ``leaves``; EMPTY_ROOT when there are none."""
    if not leaves:
        return EMPTY_ROOT
    level = [sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        level = _compute_parents(level)
    return level[0]


def _compute_parents(level: list[Digest]) -> list[Digest]:
    """A last node without a sibling goes up as it is, which gives the tree of the RFC."""
    pairs = iter(level)
    parents = [
        sha256(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)
    ]
    if len(level) % 2:
        parents.append(level[-1])
    return parents


class PathChecker:
    """Checks many paths to one root: where one meets another, the rest is not hashed again.

    It remembers, of each inner node on a path that held, its digest and the rest of the path;
    from there on another path that has both goes the same way. So it lets pass what
    ``verify_path`` does and nothing else. Memory: one such node for each leaf, some 300 bytes.
    """

    __slots__ = ("_count", "_proven", "_root")

    def __init__(self, root: Digest, count: int) -> None:
        self._root = root
        self._count = count
        self._proven: dict[tuple[int, int], tuple[Digest, tuple[Digest, ...]]] = {}

    def verify(self, leaf: bytes, index: int, path: tuple[Digest, ...]) -> None:
        """As ``verify_path``; a path that fails leaves nothing behind."""
        if not 0 <= index < self._count:
            raise InvalidProof("path: index outside of the tree")
        found = sha256(b"\0" + leaf).digest()
        last = self._count - 1
        at = 0
        passed: dict[tuple[int, int], tuple[Digest, tuple[Digest, ...]]] = {}
        while last:
            if index % 2 or index < last:  # otherwise it has no sibling on this level
                if at == len(path):
                    raise InvalidProof("path: too short")
                other = path[at]
                at += 1
                pair = other + found if index % 2 else found + other
                found = sha256(b"\1" + pair).digest()
            index >>= 1
            last >>= 1
            place, step = (last, index), (found, path[at:])
            if self._proven.get(place) == step:
                break
            passed[place] = step
        else:
            if at != len(path):
                raise InvalidProof("path: too long")
            if found != self._root:
                raise InvalidProof("path: another root")
        self._proven.update(passed)


def verify_path(
    root: Digest, leaf: bytes, index: int, count: int, path: Sequence[Digest]
) -> None:
    """Check that ``leaf`` is number ``index`` of the ``count`` leaves under ``root``.

    Raises InvalidProof with the step that failed (RFC 9162, 2.1.3.2).
    """
    PathChecker(root, count).verify(leaf, index, tuple(path))
