"""The independent judge of an election: counts from what voters meant and were told.

It never asks the chain for its own tally to make the expectation: for each voter it knows the
ballot that should count, and the chain must agree, district by district and choice by choice.
Where a voter sent a ballot and never learnt its end, either outcome is right.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.services.election import Result, get_result, list_ballots
from node.services.election.records import ADDED, DECRYPTED
from node.state import State
from node.types import KEY_BYTES
from sim.electorate import Electorate, Rows
from sim.result import InvariantOutcome
from sim.voter_columns import Told

_ABSENT: Final = 255
"""In place of a key's status: the chain has never had it."""


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
    told: Told, electorate: Electorate, keys: NDArray[np.uint8], state: State, voting: int,
) -> Audit:
    """Hold a final state to what voters were told; ``keys`` are the one-time keys by slot."""
    result = get_result(state, voting)
    status, choice = _read_fates(keys, state, voting)
    voted = told.slot >= 0
    slots = told.slot[voted]
    missing = (status[slots] == _ABSENT) | (status[slots] == ADDED)
    lost = int(missing.sum())
    # before the tally a ballot is only stored, and a doubted later one may have replaced it
    if result is not None:
        certain = (told.unsure_slot < 0)[voted]
        wrong = (status[slots] != DECRYPTED) | (choice[slots] != told.choice[voted])
        lost += int((certain & wrong & ~missing).sum())
    again = electorate.revote_slots_of(np.arange(electorate.users, dtype=np.int64))
    first = np.flatnonzero(again >= 0)
    both = (status[first] == DECRYPTED) & (status[again[first]] == DECRYPTED)
    doubled = int(both.sum())
    counted = spoiled = None
    mismatches = 0
    if result is not None:
        spoiled = sum(tally[0] for tally in result.tallies)
        counted = sum(map(sum, result.tallies)) - spoiled
        mismatches = count_mismatches(told, electorate, result)
    return Audit(
        lost=lost, doubled=doubled, mismatches=mismatches, counted=counted, spoiled=spoiled
    )


def _read_fates(
    keys: NDArray[np.uint8], state: State, voting: int
) -> tuple[NDArray[np.uint8], Rows]:
    """By slot: what has become of its key, or _ABSENT, and its choice.

    One walk through the state: to ask for each of a million keys takes twice as long.
    """
    joined = keys.tobytes()
    slot_of = {
        joined[slot * KEY_BYTES : (slot + 1) * KEY_BYTES]: slot for slot in range(len(keys))
    }
    status, choice = np.full(len(keys), _ABSENT, np.uint8), np.zeros(len(keys), np.int64)
    for key, ballot in list_ballots(state, voting):
        slot = slot_of.get(key)
        if slot is not None:
            status[slot], choice[slot] = ballot.status, ballot.choice
    return status, choice


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
