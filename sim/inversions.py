"""How far the order of the chain is from the order of the clicks, among those who compete."""

from typing import NamedTuple

import numpy as np

from sim.electorate import Rows


class Inversions(NamedTuple):
    """``pairs`` of competitors, and ``inverted`` of them: clicked first, stands behind."""

    inverted: int
    pairs: int

    @property
    def ratio(self) -> float:
        """Inverted pairs over all."""
        return self.inverted / self.pairs if self.pairs else 0.0


def count_inversions(groups: Rows, clicks: Rows, sequences: Rows) -> Inversions:
    """Competitors are entries with the same group; of equal clicks none was first."""
    if not len(groups):
        return Inversions(0, 0)
    assert len(groups) == len(clicks) == len(sequences)
    order = np.lexsort((sequences, groups))
    groups, clicks = groups[order], clicks[order]
    # Ranked by group first, entries of two groups never look inverted.
    ranks = np.empty(len(order), np.int64)
    ranks[np.lexsort((np.arange(len(order)), clicks, groups))] = np.arange(len(order))
    _, sizes = np.unique(groups, return_counts=True)
    pairs = int((sizes * (sizes - 1) // 2).sum())
    inverted = _count_descents(ranks)
    assert inverted <= pairs
    return Inversions(inverted, pairs)


def _count_descents(ranks: Rows) -> int:
    """Pairs of a permutation that stand in descending order, bit by bit from the highest.

    Two ranks differ first in one bit: among those equal above it, each 0 counts the 1s before.
    """
    total = 0
    for bit in reversed(range(len(ranks).bit_length())):
        ones = ranks >> bit & 1
        prefixes = ranks >> (bit + 1)
        before = np.cumsum(ones) - ones
        starts = np.searchsorted(prefixes, prefixes)
        total += int((before - before[starts])[ones == 0].sum())
        ranks = ranks[np.argsort(ranks >> bit, kind="stable")]
    return total
