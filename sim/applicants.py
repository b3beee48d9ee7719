"""Applicants for stalls: who they are and what they want, by the run's seed and their row.

A row is an applicant in order of the first click, a slot one application (sim.slots). Shares of
kinds of applicant and of stalls follow the 70 % for individuals of 2016; the rest of them, how
popular sites and weekends are, and who applies twice, is assumed.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from node.crypto import digest
from node.services import fairs
from node.services.fairs.records import (
    FARMER,
    FARMERS,
    FIRMS,
    FISH,
    FOODSTUFFS,
    INDIVIDUAL,
    INDIVIDUAL_AS_TRADER,
    INDIVIDUALS,
    LEGAL_ENTITY,
    MEAT,
    PERIODS_MAX,
    SITE_PLACES_MAX,
    SOLE_TRADER,
    TRADES,
    VEGETABLES,
)
from sim.electorate import Floats, Mask, Rows, draw_mask, draw_units
from sim.errors import ConfigurationError, require_whole
from sim.signing import (
    KEYS,
    KeyPair,
    make_key_pair,
    pack_frame,
    sign_transaction,
    unpack_request,
)
from sim.slots import Slots, draw_among
from sim.workers import Factory, Maker

AGAIN_RATIO = 0.1
"""Of applicants, who files a second application once the first is confirmed."""

KINDS = np.array((INDIVIDUAL, SOLE_TRADER, LEGAL_ENTITY, INDIVIDUAL_AS_TRADER, FARMER))
_KIND_SHARES = np.array((0.70, 0.12, 0.08, 0.03, 0.07))
_STALL_SHARES = {
    (VEGETABLES, INDIVIDUALS): 0.70, (VEGETABLES, FARMERS): 0.10, (VEGETABLES, FIRMS): 0.04,
    (MEAT, FIRMS): 0.06, (FISH, FIRMS): 0.04, (FOODSTUFFS, FIRMS): 0.06,
}
_FARMER_TRADES = np.array((0.70, 0.10, 0.05, 0.15))
_FIRM_TRADES = np.array((0.20, 0.30, 0.20, 0.30))
_LENGTHS = np.array((1, 2, 4, PERIODS_MAX))
_LENGTH_SHARES = np.array((0.5, 0.25, 0.15, 0.10))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonRules:
    """All that applications are made of; worker processes get this and nothing else.

    ``places`` stalls stand on ``sites`` sites on each of ``periods`` weekends.
    """

    seed: int
    users: int
    chain_id: bytes
    sites: int
    periods: int
    places: int
    season: int = 1

    def __post_init__(self) -> None:
        require_whole("periods", self.periods, 1, PERIODS_MAX)
        if self.places > self.sites * SITE_PLACES_MAX:
            raise ConfigurationError(
                "places", self.places, f"at most {SITE_PLACES_MAX} for each of the sites"
            )

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes that belong to this run and ``purpose``."""
        return digest(b"season/" + purpose, self.seed.to_bytes(8, "big"))

    def derive_key(self, purpose: bytes) -> int:
        """A key for keyed hashes."""
        return int.from_bytes(self.derive(purpose)[:8], "big")

    def count_stalls(self) -> dict[tuple[int, int], list[int]]:
        """How many stalls there are at each site, by (trade, pool); ``places`` together.

        Shares are met in all by largest remainders, and each is spread evenly over the sites.
        """
        exact = {key: self.places * share for key, share in _STALL_SHARES.items()}
        whole = {key: int(count) for key, count in exact.items()}
        rest = sorted(exact, key=lambda key: whole[key] - exact[key])
        for key in rest[: self.places - sum(whole.values())]:
            whole[key] += 1
        stalls = {key: [0] * self.sites for key in exact}
        placed = 0
        for key, count in whole.items():
            for _ in range(count):
                stalls[key][placed % self.sites] += 1
                placed += 1
        assert placed == self.places
        return stalls


class Applicants:
    """Traits of all rows and slots, computed when asked."""

    __slots__ = ("_keys", "_popularity", "rules", "slots", "stalls")

    def __init__(self, rules: SeasonRules) -> None:
        self.rules = rules
        purposes = ("kind", "trade", "site", "first", "length", "again", "popular")
        self._keys = {name: rules.derive_key(name.encode()) for name in purposes}
        rows = np.arange(rules.users, dtype=np.int64)
        self.slots = Slots(rules.users, rows[draw_mask(self._keys["again"], rows, AGAIN_RATIO)])
        self.stalls = rules.count_stalls()
        ranks = np.argsort(
            np.argsort(draw_units(self._keys["popular"], np.arange(rules.sites)))
        )
        # Zipf's law, a little flatter: a few sites have most of those who want in (assumed).
        self._popularity: Floats = (1.0 + ranks.astype(np.float64)) ** -0.8

    def kinds_of(self, rows: Rows) -> Rows:
        """Kinds of applicant, as the city numbers them."""
        kinds: Rows = KINDS[draw_among(self._keys["kind"], rows, _KIND_SHARES)]
        return kinds

    def trades_of(self, slots: Rows) -> Rows:
        """What each application wants to sell; never what no stall is for."""
        kinds = self.kinds_of(self.slots.rows_of(slots))
        # With few places, shares round to nothing for some trades: nobody can want these.
        offered = np.array([self.has_trade(trade).any() for trade in TRADES])
        offered[0] = True
        key = self._keys["trade"]
        farmers = draw_among(key, slots, _FARMER_TRADES * offered) + 1
        firms = draw_among(key, slots, _FIRM_TRADES * offered) + 1
        trades = np.where(kinds == FARMER, farmers, firms)
        return np.where(kinds == INDIVIDUAL, VEGETABLES, trades)

    def sites_of(self, slots: Rows) -> Rows:
        """The site of each application; one that has stalls of the trade."""
        trades = self.trades_of(slots)
        sites = np.zeros(len(slots), np.int64)
        for trade in TRADES:
            wanted = trades == trade
            if wanted.any():
                weights = self._popularity * self.has_trade(trade)
                sites[wanted] = draw_among(self._keys["site"], slots[wanted], weights)
        return sites

    def masks_of(self, slots: Rows) -> Rows:
        """The weekends of each application, as bits."""
        periods = self.rules.periods
        early: Floats = 1.0 / (1.0 + 0.1 * np.arange(periods, dtype=np.float64))
        first = draw_among(self._keys["first"], slots, early)
        length = _LENGTHS[draw_among(self._keys["length"], slots, _LENGTH_SHARES)]
        length = np.minimum(length, periods - first)
        masks: Rows = ((np.int64(1) << length) - 1) << first
        return masks

    def has_trade(self, trade: int) -> Mask:
        """At which sites there are stalls of a trade."""
        counts = [stalls for (sold, _), stalls in self.stalls.items() if sold == trade]
        has: Mask = np.array(counts).sum(axis=0) > 0
        return has


def make_key_of(secret: bytes, row: int) -> KeyPair:
    """The key pair of a row, from a secret of the run."""
    return make_key_pair(digest(b"user key", secret + row.to_bytes(8, "big")))


def make_application_maker(rules: SeasonRules) -> Maker:
    """Makes signed applications (sim.signing)."""
    applicants = Applicants(rules)
    secret = rules.derive(b"keys")

    def make(request: bytes) -> bytes:
        operation, slots, _ = unpack_request(request)
        assert operation != KEYS
        rows = applicants.slots.rows_of(slots)
        keys, ids, transactions = [], [], []
        columns = (
            rows, slots, applicants.sites_of(slots), applicants.trades_of(slots),
            applicants.kinds_of(rows), applicants.masks_of(slots),
        )
        for row, slot, site, trade, kind, mask in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            pair = make_key_of(secret, row)
            periods = [period for period in range(rules.periods) if mask >> period & 1]
            nonce = 1 + (slot >= rules.users)
            payload = fairs.make_apply(rules.season, site, trade, kind, periods)
            transaction_id, encoded = sign_transaction(
                pair, rules.chain_id, fairs.APPLY, nonce, payload
            )
            keys.append(pair[0])
            ids.append(transaction_id)
            transactions.append(encoded)
        return pack_frame(keys, ids, transactions)

    return make


def get_application_factory(rules: SeasonRules) -> Factory:
    """For worker processes."""
    return partial(make_application_maker, rules)
