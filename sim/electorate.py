"""Who the voters are: traits that follow from the run's seed and a voter's row alone.

A row is a voter in order of arrival; a slot is one ballot of one voter. Slots 0 to users - 1
are the rows' first ballots; those behind them are second ballots of the rows in ``revoters``.
Main and worker processes compute the same traits, and so does the auditor, who thus knows what
everyone intended without asking the chain.
"""

from dataclasses import dataclass
from hashlib import sha256
from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.crypto import derive_box_public, digest
from sim.errors import require_number, require_whole

Rows: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]

SMALL_INTEGER_MAX = 127
"""Largest number of one byte in msgpack: with it every ballot's transaction has one size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BallotRules:
    """All that ballots are made of; worker processes get this and nothing else.

    Abandonment 1.6 to 2.2 % and re-votes 3.3 to 3.9 %: Moscow 2020 and 2021, Estonia 2023.
    """

    seed: int
    users: int
    chain_id: bytes
    voting: int = 1
    districts: int = 15
    choices: int = 10
    abandon_ratio: float = 0.02
    revote_ratio: float = 0.039

    def __post_init__(self) -> None:
        for name in ("voting", "districts"):
            require_whole(name, getattr(self, name), 1, SMALL_INTEGER_MAX)
        require_whole("choices", self.choices, 2, 255)
        require_whole("users", self.users, 1, 2**31 - 1)
        for name in ("abandon_ratio", "revote_ratio"):
            require_number(name, getattr(self, name), 0, 1)

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes that belong to this run and ``purpose``."""
        return digest(b"run/" + purpose, self.seed.to_bytes(8, "big"))

    @property
    def election_secret(self) -> bytes:
        """The key that opens the boxes; in the city only its shares exist before the close."""
        return self.derive(b"election")

    @property
    def election_public(self) -> bytes:
        """The key for which ballots are sealed."""
        return derive_box_public(self.election_secret)


class Electorate:
    """Traits of all rows and slots, computed when asked."""

    __slots__ = ("_abandon", "_choice", "_district", "_secret", "_shift", "_stride",
                 "_unstride", "revoters", "rules", "slots", "users")

    def __init__(self, rules: BallotRules) -> None:
        self.rules = rules
        self.users = users = rules.users
        self._abandon = _to_integer(rules.derive(b"abandon"))
        self._choice = _to_integer(rules.derive(b"choice"))
        self._district = _to_integer(rules.derive(b"district"))
        self._secret = rules.derive(b"group")
        rows = np.arange(users, dtype=np.int64)
        chosen = draw_mask(_to_integer(rules.derive(b"revote")), rows, rules.revote_ratio)
        self.revoters: Rows = rows[chosen & ~self.abandons(rows)]
        self.slots = users + len(self.revoters)
        # Near the golden ratio, steps spread evenly; without a common factor, over everyone.
        stride = 1 + (users * 618) // 1000
        while gcd(stride, users) != 1:
            stride += 1
        assert gcd(stride, users) == 1
        self._stride = stride
        self._unstride = pow(stride, -1, users) if users > 1 else 0
        self._shift = _to_integer(rules.derive(b"voters")) % users

    def rows_of(self, slots: Rows) -> Rows:
        """The voter behind each ballot."""
        return compute_rows(slots, self.users, self.revoters)

    def revote_slots_of(self, rows: Rows) -> Rows:
        """The second ballot of each row; -1 where there is none."""
        return compute_seconds(rows, self.users, self.revoters)

    def abandons(self, rows: Rows) -> Mask:
        """Who takes a ballot and never casts it."""
        return draw_mask(self._abandon, rows, self.rules.abandon_ratio)

    def districts_of(self, rows: Rows) -> Rows:
        """Districts, from 1 up."""
        mixed = mix64(self._district, rows) % np.uint64(self.rules.districts)
        return mixed.astype(np.int64) + 1

    def choices_of(self, slots: Rows) -> Rows:
        """What each ballot says, from 1 up."""
        assert not len(slots) or int(slots.max()) < self.slots
        mixed = mix64(self._choice, slots) % np.uint64(self.rules.choices)
        return mixed.astype(np.int64) + 1

    def voters_of(self, rows: Rows) -> Rows:
        """Numbers in the register; neighbours in the queue are not neighbours in it."""
        return (rows * self._stride + self._shift) % self.users

    def rows_of_voters(self, voters: Rows) -> Rows:
        """The inverse of ``voters_of``."""
        return (voters - self._shift) % self.users * self._unstride % self.users

    def get_group_secret(self, row: int) -> bytes:
        """What joins a voter's ballots, revealed for re-voters after the close."""
        assert 0 <= row < self.users
        return sha256(self._secret + row.to_bytes(8, "big")).digest()


def mix64(key: int, numbers: Rows) -> NDArray[np.uint64]:
    """A keyed 64-bit hash of each number: the finaliser of SplitMix64 (Steele et al., 2014)."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(key)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def draw_units(key: int, numbers: Rows) -> Floats:
    """A number in [0, 1) for each number, by a keyed hash: the same in every process."""
    # the upper 53 bits are a number that a float holds exactly
    units: Floats = (mix64(key, numbers) >> np.uint64(11)) / 2.0**53
    assert not len(units) or float(units.max()) < 1
    return units


def draw_mask(key: int, numbers: Rows, ratio: float) -> Mask:
    """Which numbers belong to a share of ``ratio``."""
    assert 0 <= ratio <= 1
    chosen: Mask = draw_units(key, numbers) < ratio
    return chosen


def compute_rows(slots: Rows, users: int, again: Rows) -> Rows:
    """Whose each slot is, if the slots behind ``users`` are second ones of ``again``."""
    if not len(slots) or int(slots.max()) < users:
        return slots
    rows = slots.copy()
    second = slots >= users
    rows[second] = again[slots[second] - users]
    return rows


def compute_seconds(rows: Rows, users: int, again: Rows) -> Rows:
    """The second slot of each row, -1 where there is none; ``again`` is sorted."""
    if not len(again):
        return np.full(len(rows), -1, np.int64)
    at = np.searchsorted(again, rows)
    found = again[np.minimum(at, len(again) - 1)] == rows
    slots: Rows = np.where(found, at + users, -1)
    return slots


def _to_integer(key: bytes) -> int:
    return int.from_bytes(key[:8], "big")
