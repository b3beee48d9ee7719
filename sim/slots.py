"""Slots: one transaction of one user each, where some users send a second one.

Slots 0 to users - 1 are the rows' first transactions; those behind them are second ones of the
rows in ``again``, in their order. (Electorate has the same arrangement for ballots.)
"""

import numpy as np

from sim.electorate import Floats, Rows, compute_rows, compute_seconds, draw_units


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
        return compute_rows(slots, self.users, self.again)

    def seconds_of(self, rows: Rows) -> Rows:
        """The second transaction of each row; -1 where there is none."""
        return compute_seconds(rows, self.users, self.again)


def draw_among(key: int, numbers: Rows, weights: Floats) -> Rows:
    """An index into ``weights`` for each number, as likely as its weight."""
    edges = np.cumsum(weights) / weights.sum()
    chosen: Rows = np.searchsorted(edges, draw_units(key, numbers), side="right")
    return np.minimum(chosen, len(weights) - 1)
