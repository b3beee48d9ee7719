"""Who should get which place: the judge's own reckoning of the rule, from orders of filing.

Written from the rule's text and not from the chain's code, and in another way: everything is
kept per single wish (application, weekend), nothing in batches or masks.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from node.services.fairs.records import (
    FARMER,
    FARMERS,
    FIRMS,
    INDIVIDUAL,
    INDIVIDUALS,
    VEGETABLES,
)

Stall: TypeAlias = tuple[int, int, int]
"""(site, trade, weekend): where places compete."""

MOVES_PER_POOL_MAX = 2


class Filed(NamedTuple):
    """An application as the judge knows it; lists of them are in order of filing."""

    slot: int
    row: int
    site: int
    trade: int
    pool: int
    periods: tuple[int, ...]


class Verdict(NamedTuple):
    """What the rule gives: wishes (slot, weekend) that get a place, and those that wait."""

    granted: set[tuple[int, int]]
    waiting: dict[tuple[Stall, int], list[int]]  # slots by (stall, pool), first come first


def find_pool_of(kind: int, trade: int) -> int:
    """In which pool one competes: farmers have their own, for vegetables only."""
    if kind == INDIVIDUAL:
        return INDIVIDUALS
    return FARMERS if kind == FARMER and trade == VEGETABLES else FIRMS


class _Reckoning:
    def __init__(self, filed: Iterable[Filed], stalls: Mapping[Stall, list[int]]) -> None:
        self.free = {stall: list(counts) for stall, counts in stalls.items()}
        self.moved = {stall: [0, 0, 0] for stall in stalls}
        self.wishes: dict[int, list[tuple[Filed, int]]] = {
            INDIVIDUALS: [], FARMERS: [], FIRMS: []
        }
        for one in filed:
            self.wishes[one.pool] += [(one, period) for period in one.periods]
        self.sites: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self.granted: set[tuple[int, int]] = set()

    def give(self, pool: int, *, only_first: bool, one_in_all: bool) -> None:
        """Go over a pool's wishes in order; those granted or excluded leave it."""
        left = []
        for one, period in self.wishes[pool]:
            own = self.sites[one.row, period]
            excluded = bool(own) if one_in_all else not only_first and one.site in own
            if excluded:
                continue
            places = self.free[one.site, one.trade, period]
            if places[pool] and not (own and only_first):
                places[pool] -= 1
                own.append(one.site)
                self.granted.add((one.slot, period))
                continue
            left.append((one, period))
        self.wishes[pool] = left

    def balance(self) -> None:
        """What farmers and firms do not want of the vegetables' places, individuals get."""
        wanted: defaultdict[tuple[Stall, int], int] = defaultdict(int)
        for pool in (FARMERS, FIRMS):
            for one, period in self.wishes[pool]:
                wanted[(one.site, one.trade, period), pool] += 1
        for stall, places in self.free.items():
            if stall[1] == VEGETABLES:
                for pool in (FARMERS, FIRMS):
                    spare = max(0, places[pool] - wanted[stall, pool])
                    places[pool] -= spare
                    places[INDIVIDUALS] += spare

    def move(self) -> bool:
        """Move all free places of one pool of each stall to another; whether any moved."""
        targets = {
            FIRMS: (INDIVIDUALS, FARMERS), INDIVIDUALS: (FARMERS, FIRMS),
            FARMERS: (INDIVIDUALS, FIRMS),
        }
        any_moved = False
        for stall, places in self.free.items():
            if stall[1] != VEGETABLES:
                continue
            moved = self.moved[stall]
            chosen = next((
                (source, target) for source in targets for target in targets[source]
                if places[source] and moved[target] < MOVES_PER_POOL_MAX
            ), None)
            if chosen is not None:
                source, target = chosen
                places[target], places[source] = places[target] + places[source], 0
                moved[target] += 1
                any_moved = True
        return any_moved


def allocate(filed: Iterable[Filed], stalls: Mapping[Stall, list[int]]) -> Verdict:
    """Who should get a place; ``stalls`` are the quotas of (individuals, farmers, firms)."""
    reckoning = _Reckoning(filed, stalls)
    reckoning.balance()
    reckoning.give(INDIVIDUALS, only_first=False, one_in_all=True)
    for pool in (FARMERS, FIRMS):
        for only_first in (True, False):
            reckoning.give(pool, only_first=only_first, one_in_all=False)
    while reckoning.move():
        reckoning.give(INDIVIDUALS, only_first=False, one_in_all=True)
        for pool in (FARMERS, FIRMS):
            reckoning.give(pool, only_first=False, one_in_all=False)
    waiting: defaultdict[tuple[Stall, int], list[int]] = defaultdict(list)
    for pool, wishes in reckoning.wishes.items():
        for one, period in wishes:
            waiting[(one.site, one.trade, period), pool].append(one.slot)
    return Verdict(reckoning.granted, dict(waiting))
