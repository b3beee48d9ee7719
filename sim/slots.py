"""Slots: one transaction of one user each, where some users send a second one.

Slots 0 to users - 1 are the rows' first transactions; those behind them are second ones of the
rows in ``again``, in their order. (Electorate has the same arrangement for ballots.)
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim.electorate import Mask, Rows, mix64

Floats: TypeAlias = NDArray[np.float64]

UNIT_BITS = 53


class Slots:
    """Which row a slot belongs to, and which slot is a row's second."""

    __slots__ = ("again", "count", "users")

    def __init__(self, users: int, again: Rows) -> None:
        assert users > 0
        assert not len(again) or int(again[-1]) < users
        self.users = users
        self.again = again
        self.count = users + len(again)

    def rows_of(self, slots: Rows) -> Rows:
        """The user behind each transaction."""
        if not len(slots) or int(slots.max()) < self.users:
            return slots
        rows = slots.copy()
        second = slots >= self.users
        rows[second] = self.again[slots[second] - self.users]
        return rows

    def seconds_of(self, rows: Rows) -> Rows:
        """The second transaction of each row; -1 where there is none."""
        if not len(self.again):
            return np.full(len(rows), -1, np.int64)
        at = np.searchsorted(self.again, rows)
        found = self.again[np.minimum(at, len(self.again) - 1)] == rows
        slots: Rows = np.where(found, at + self.users, -1)
        return slots


def draw_units(key: int, numbers: Rows) -> Floats:
    """A number in [0, 1) for each number, by a keyed hash: the same in every process."""
    units: Floats = (mix64(key, numbers) >> np.uint64(64 - UNIT_BITS)) / 2.0**UNIT_BITS
    assert not len(units) or float(units.max()) < 1
    return units


def draw_among(key: int, numbers: Rows, weights: Floats) -> Rows:
    """An index into ``weights`` for each number, as likely as its weight."""
    edges = np.cumsum(weights) / weights.sum()
    chosen: Rows = np.searchsorted(edges, draw_units(key, numbers), side="right")
    return np.minimum(chosen, len(weights) - 1)


def draw_mask(key: int, numbers: Rows, ratio: float) -> Mask:
    """Which numbers belong to a share of ``ratio``."""
    chosen: Mask = draw_units(key, numbers) < ratio
    return chosen
