"""The independent judge of a season of fairs: from what applicants sent and were told.

It reads applications and places from the chain one by one and trusts no sum of the chain's own.
Who should have got what it reckons for itself (sim.allocation) from the order of the receipts;
the chain is asked for the order only of applications whose receipts nobody saw.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.services import fairs
from node.services.fairs.records import CREATED, INDIVIDUAL, POOLS
from sim.allocation import Filed, Stall, allocate, find_pool_of
from sim.applicants import Applicants
from sim.cityface import Records
from sim.crowd import CrowdColumns
from sim.electorate import Rows
from sim.result import InvariantOutcome
from sim.voter_columns import State

Place = tuple[int, int, int]
"""(site, weekend, number)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FairsAudit:
    """What the judge found; all counts but the first four should be 0.

    ``lost`` were told final and are not in the chain, ``doubled`` stand there twice; ``double``
    are places held twice and second places of one holder on one weekend that the rule excludes;
    ``over`` are places beyond a quota; ``mismatches`` is where the chain's outcome is not the
    judge's: wishes granted or waiting, and places in the order.
    """

    applications: int
    granted: int
    waiting: int
    places: dict[Place, fairs.Holder]
    lost: int
    doubled: int
    double: int
    over: int
    mismatches: int

    def describe(self) -> tuple[InvariantOutcome, ...]:
        """The invariants that this audit judges."""
        return (
            InvariantOutcome(
                name="nothing lost", passed=self.lost == 0,
                detail=f"{self.lost} applications told final are not in the chain",
            ),
            InvariantOutcome(
                name="nothing counted twice", passed=self.doubled == 0,
                detail=f"{self.doubled} applications stand in the chain twice",
            ),
            InvariantOutcome(
                name="one holder a place, one place a weekend", passed=self.double == 0,
                detail=f"{self.granted:,} places given, {self.double} of them twice or to a "
                "holder whom the rule excludes",
            ),
            InvariantOutcome(
                name="quotas", passed=self.over == 0,
                detail=f"{self.over} places given beyond a quota",
            ),
            InvariantOutcome(
                name="recount", passed=self.mismatches == 0,
                detail=f"{self.applications:,} applications allocated again from their "
                f"receipts' order, {self.mismatches} differences",
            ),
        )


@dataclass(slots=True)
class _Registered:
    """What the chain holds of the slots' applications, slot by slot."""

    found: dict[int, fairs.Application]
    slots: dict[tuple[int, int], int]  # by (pool, number)
    doubled: int = 0
    strange: int = 0


class FairsAuditor:
    """Judges one season. Slow: reads every application and every place once."""

    def __init__(
        self, applicants: Applicants, columns: CrowdColumns, keys: NDArray[np.uint8],
        records: Records,
    ) -> None:
        self._applicants = applicants
        self._columns = columns
        self._keys = keys
        self._records = records
        slots = np.arange(applicants.slots.count, dtype=np.int64)
        self._rows = applicants.slots.rows_of(slots).tolist()
        traits = (
            applicants.sites_of(slots), applicants.trades_of(slots),
            applicants.kinds_of(applicants.slots.rows_of(slots)), applicants.masks_of(slots),
        )
        self._wants = list(zip(*(column.tolist() for column in traits), strict=True))

    def audit(self) -> FairsAudit:
        """Hold the chain to what its applicants sent and were told."""
        registered = self._read_applications()
        told = np.flatnonzero(self._columns.state == State.FINAL).tolist()
        lost = sum(slot not in registered.found for slot in told)
        granted = {
            (slot, period) for slot, application in registered.found.items()
            for period in self._list_periods(application.granted)
        }
        places = self._read_places()
        stalls = self._list_stalls()
        disorder, filed = self._order(registered)
        verdict = allocate(filed, stalls)
        mismatches = registered.strange + disorder + len(verdict.granted ^ granted)
        mismatches += self._compare_waiting(registered, verdict.waiting)
        return FairsAudit(
            applications=len(registered.found), granted=len(granted),
            waiting=sum(map(len, verdict.waiting.values())), places=places, lost=lost,
            doubled=registered.doubled,
            double=self._count_double(registered, granted, places),
            over=self._count_over(granted, places, stalls), mismatches=mismatches,
        )

    def list_wishes(self) -> tuple[Rows, Rows]:
        """(stall's number, slot) of every (application, weekend) whose place in the chain is
        known: those of one stall compete.
        """
        rules = self._applicants.rules
        slots = np.flatnonzero((self._columns.status == 1) & (self._columns.sequence >= 0))
        masks = self._applicants.masks_of(slots)
        stalls = self._applicants.sites_of(slots) * 8 + self._applicants.trades_of(slots)
        groups, chosen = [], []
        for period in range(rules.periods):
            wants = (masks >> period & 1).astype(np.bool_)
            groups.append(stalls[wants] * rules.periods + period)
            chosen.append(slots[wants])
        return np.concatenate(groups), np.concatenate(chosen)

    def _list_periods(self, mask: int) -> list[int]:
        periods = range(self._applicants.rules.periods)
        return [period for period in periods if mask >> period & 1]

    def _read_applications(self) -> _Registered:
        season = self._applicants.rules.season
        sent = np.flatnonzero(self._columns.tries > 0).tolist()
        owned: defaultdict[bytes, list[int]] = defaultdict(list)
        for slot in sent:
            owned[self._keys[self._rows[slot]].tobytes()].append(slot)
        registered = _Registered({}, {})
        for pool in POOLS:
            for number in range(fairs.get_filed(self._records, season, pool)):
                application = fairs.get_application(self._records, season, pool, number)
                assert application is not None
                same = [
                    slot for slot in owned.get(application.applicant, ())
                    if self._is_own(slot, application, pool)
                ]
                fresh = [slot for slot in same if slot not in registered.found]
                registered.strange += not same
                registered.doubled += bool(same) and not fresh
                if fresh:
                    registered.found[fresh[0]] = application
                    registered.slots[pool, number] = fresh[0]
        return registered

    def _is_own(self, slot: int, application: fairs.Application, pool: int) -> bool:
        site, trade, kind, mask = self._wants[slot]
        return (
            (application.site, application.trade, application.kind, application.wanted)
            == (site, trade, kind, mask)
            and pool == find_pool_of(kind, trade) and application.status == CREATED
        )

    def _read_places(self) -> dict[Place, fairs.Holder]:
        rules = self._applicants.rules
        places = {}
        for site in range(rules.sites):
            # As many as there should be and some more: none may hold what is not there.
            offered = sum(counts[site] for counts in self._applicants.stalls.values())
            for period in range(rules.periods):
                for number in range(offered + 8):
                    holder = fairs.get_holder(
                        self._records, rules.season, site, period, number
                    )
                    if holder is not None:
                        places[site, period, number] = holder
        return places

    def _list_stalls(self) -> dict[Stall, list[int]]:
        stalls: dict[Stall, list[int]] = {}
        for (trade, pool), counts in self._applicants.stalls.items():
            for site, count in enumerate(counts):
                for period in range(self._applicants.rules.periods):
                    stalls.setdefault((site, trade, period), [0, 0, 0])[pool] += count
        return stalls

    def _order(self, registered: _Registered) -> tuple[int, list[Filed]]:
        """How many stand elsewhere than their receipts say; all in the order of receipts."""
        disorder = 0
        order = []
        for slot, application in registered.found.items():
            sequence = int(self._columns.sequence[slot])
            # no receipt heard: then the chain's own word is all there is
            disorder += 0 <= sequence != application.sequence
            order.append((application.sequence if sequence < 0 else sequence, slot))
        filed = []
        for _, slot in sorted(order):
            site, trade, kind, mask = self._wants[slot]
            filed.append(Filed(
                slot, self._rows[slot], site, trade, find_pool_of(kind, trade),
                tuple(self._list_periods(mask)),
            ))
        return disorder, filed

    def _compare_waiting(
        self, registered: _Registered, waiting: dict[tuple[Stall, int], list[int]]
    ) -> int:
        season = self._applicants.rules.season
        differences = 0
        for site, trade, period in self._list_stalls():
            for pool in POOLS:
                numbers = fairs.get_waiting(
                    self._records, season, site, trade, period, pool
                )
                listed = [registered.slots.get((pool, number), -1) for number in numbers]
                wanted = waiting.get(((site, trade, period), pool), [])
                differences += listed != wanted
        return differences

    def _count_double(
        self, registered: _Registered, granted: set[tuple[int, int]],
        places: dict[Place, fairs.Holder],
    ) -> int:
        """Wishes granted without a place of their own, places without their wish, and second
        places on one weekend: of an individual anywhere, of others at the same site.
        """
        held: Counter[tuple[int, int]] = Counter()
        strange = 0
        for (site, period, _), holder in places.items():
            slot = registered.slots.get((holder.pool, holder.number), -1)
            if slot < 0 or self._wants[slot][0] != site:
                strange += 1
                continue
            same = self._keys[self._rows[slot]].tobytes() == holder.applicant
            strange += not same or (slot, period) not in granted
            held[slot, period] += 1
        double = strange + sum(abs(held[wish] - 1) for wish in granted)
        visits: Counter[tuple[int, int, int]] = Counter()
        for slot, period in granted:
            site, _, kind, _ = self._wants[slot]
            visits[self._rows[slot], period, -1 if kind == INDIVIDUAL else site] += 1
        return double + sum(count - 1 for count in visits.values())

    def _count_over(
        self, granted: set[tuple[int, int]], places: dict[Place, fairs.Holder],
        stalls: dict[Stall, list[int]],
    ) -> int:
        used: Counter[Stall] = Counter()
        for slot, period in granted:
            site, trade = self._wants[slot][:2]
            used[site, trade, period] += 1
        over = sum(
            max(0, count - sum(stalls.get(stall, ()))) for stall, count in used.items()
        )
        rules = self._applicants.rules
        return over + max(0, len(places) - rules.places * rules.periods)
