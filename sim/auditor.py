"""The independent judge of an election: counts from what voters meant and were told.

It never asks the chain for its own tally to make the expectation: for each voter it knows the
ballot that should count, and the chain must agree, district by district and choice by choice.
Where a voter sent a ballot and never learnt its end, either outcome is right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.services.election import Result, get_ballot, get_result
from node.services.election.records import ADDED, DECRYPTED
from sim.cityface import Records
from sim.electorate import Electorate, Rows
from sim.result import InvariantOutcome
from sim.voter_columns import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the judge found. ``mismatches`` counts ballots that the tally has wrong.

    ``lost`` were told to be final and are not in the chain, ``doubled`` count twice for one
    voter; ``counted`` and ``spoiled`` are the published result's, None before there is one.
    """

    lost: int
    doubled: int
    mismatches: int
    counted: int | None
    spoiled: int | None

    def describe(self) -> tuple[InvariantOutcome, ...]:
        """The invariants that this audit judges."""
        return (
            InvariantOutcome(
                name="nothing lost", passed=self.lost == 0,
                detail=f"{self.lost} ballots told final are not in the chain",
            ),
            InvariantOutcome(
                name="nothing counted twice", passed=self.doubled == 0,
                detail=f"{self.doubled} voters count more than once",
            ),
            InvariantOutcome(
                name="recount", passed=self.mismatches == 0,
                detail="no result was published" if self.counted is None else
                f"{self.counted:,} ballots counted, {self.mismatches} differ from intents",
            ),
        )


def audit_election(
    told: Told, electorate: Electorate, keys: NDArray[np.uint8], records: Records, voting: int,
) -> Audit:
    """Hold a final state to what voters were told. Slow: reads each voter's record once."""
    result = get_result(records, voting)
    lost = doubled = 0
    again = electorate.revote_slots_of(np.arange(electorate.users, dtype=np.int64))
    certain = (told.unsure_slot < 0).tolist()
    wanted = zip(told.slot.tolist(), told.choice.tolist(), certain, strict=True)
    for slot, choice, is_certain in wanted:
        if slot < 0:
            continue
        ballot = get_ballot(records, voting, keys[slot].tobytes())
        if ballot is None or ballot.status == ADDED:
            lost += 1
        # before the tally a ballot is only stored, and a doubted later one may have replaced it
        elif result is not None and is_certain:
            lost += ballot.status != DECRYPTED or ballot.choice != choice
    for row in np.flatnonzero(again >= 0).tolist():
        first = get_ballot(records, voting, keys[row].tobytes())
        second = get_ballot(records, voting, keys[int(again[row])].tobytes())
        if first is not None and second is not None:
            doubled += first.status == DECRYPTED and second.status == DECRYPTED
    counted = spoiled = None
    mismatches = 0
    if result is not None:
        spoiled = sum(tally[0] for tally in result.tallies)
        counted = sum(map(sum, result.tallies)) - spoiled
        mismatches = count_mismatches(told, electorate, result)
    return Audit(
        lost=lost, doubled=doubled, mismatches=mismatches, counted=counted, spoiled=spoiled
    )


def count_mismatches(told: Told, electorate: Electorate, result: Result) -> int:
    """Ballots by which the published tally is outside of what voters' intents allow."""
    rules = electorate.rules
    width = rules.choices + 1
    cells = rules.districts * width
    sure = told.unsure_slot < 0

    def tabulate(choice: Rows, mask: NDArray[np.bool_]) -> Rows:
        cell = (told.district[mask] - 1) * width + choice[mask]
        return np.bincount(cell, minlength=cells)

    least = tabulate(told.choice, sure & (told.slot >= 0))
    doubtful = ~sure
    most = least + tabulate(told.unsure_choice, doubtful)
    most += tabulate(told.choice, doubtful & (told.slot >= 0))
    actual = np.array([count for tally in result.tallies for count in tally])
    under, over = np.maximum(least - actual, 0), np.maximum(actual - most, 0)
    # Who saw a first ballot final and doubts the second counts once, in one cell or the other.
    counted, certain = int(actual.sum()), int(least.sum())
    owed = int((doubtful & (told.slot >= 0)).sum())
    short = max(0, certain + owed - counted)
    return max(int(under.sum() + over.sum()), short)
