"""Bidders for stalls: what they want and can pay, by the run's seed and their row alone.

A row is a bidder in order of the first click. Lots are numbered through: those below
``sealed_lots`` are sealed-bid, the others ascending. A slot is a bid or a commitment, and
behind the rows' first slots stand the reveals of those who open their sealed bid. All sums,
and how popular lots are, are assumed; amounts are kopecks.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from node.codec import Value
from node.crypto import digest
from node.services import auctions
from sim.applicants import make_key_of
from sim.electorate import Floats, Mask, Rows, draw_mask, draw_units
from sim.signing import KEYS, pack_frame, sign_transaction, unpack_request
from sim.slots import Slots, draw_among
from sim.workers import Factory, Maker

ASCENDING, SEALED = 1, 2
"""The numbers of the two auctions."""

RESERVE = 500_000
STEP = 10_000
DEPOSIT_UNIT = 1_000_000
CREDIT_MIN, CREDIT_MAX = 2_000_000, 20_000_000
REVEAL_RATIO = 0.98
"""Of sealed bids; the others' devices die, or they think better of it (assumed)."""

_RAISES = np.array((1, 2, 3, 5, 10))
_RAISE_SHARES = np.array((0.5, 0.25, 0.12, 0.06, 0.07))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuctionRules:
    """All that bids are made of; worker processes get this and nothing else."""

    seed: int
    users: int
    chain_id: bytes
    lots: int
    sealed_ratio: float

    @property
    def sealed_lots(self) -> int:
        """How many lots are sealed-bid."""
        return round(self.lots * self.sealed_ratio)

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes that belong to this run and ``purpose``."""
        return digest(b"auction/" + purpose, self.seed.to_bytes(8, "big"))

    def derive_key(self, purpose: bytes) -> int:
        """A key for keyed hashes."""
        return int.from_bytes(self.derive(purpose)[:8], "big")


class Bidders:
    """Traits of all rows, computed when asked."""

    __slots__ = ("_keys", "_popularity", "rules", "slots")

    def __init__(self, rules: AuctionRules) -> None:
        self.rules = rules
        purposes = ("lot", "popular", "credit", "share", "raise", "reveal", "moment")
        self._keys = {name: rules.derive_key(name.encode()) for name in purposes}
        # Some lots are wanted three times as much as others.
        self._popularity = 1.0 + 2.0 * draw_units(self._keys["popular"], np.arange(rules.lots))
        rows = np.arange(rules.users, dtype=np.int64)
        opens = self.is_sealed(rows) & draw_mask(self._keys["reveal"], rows, REVEAL_RATIO)
        self.slots = Slots(rules.users, rows[opens])

    def lots_of(self, rows: Rows) -> Rows:
        """The lot of each bidder, numbered through both auctions."""
        return draw_among(self._keys["lot"], rows, self._popularity)

    def is_sealed(self, rows: Rows) -> Mask:
        """Whose lot is sealed-bid."""
        sealed: Mask = self.lots_of(rows) < self.rules.sealed_lots
        return sealed

    def credits_of(self, rows: Rows) -> Rows:
        """What each bidder pays in beforehand."""
        span = (CREDIT_MAX - CREDIT_MIN) // STEP
        drawn = (draw_units(self._keys["credit"], rows) * span).astype(np.int64)
        return CREDIT_MIN + STEP * drawn

    def raises_of(self, rows: Rows) -> Rows:
        """By how many steps an open bid is above the price that was seen."""
        raises: Rows = _RAISES[draw_among(self._keys["raise"], rows, _RAISE_SHARES)]
        return raises

    def sealed_amounts_of(self, rows: Rows) -> Rows:
        """What a sealed bid says, in whole steps: no more than the bidder has."""
        room = (self.credits_of(rows) - RESERVE) // STEP
        drawn = (draw_units(self._keys["share"], rows) * (room + 1)).astype(np.int64)
        return RESERVE + STEP * np.minimum(drawn, room)

    def deposits_of(self, rows: Rows) -> Rows:
        """What is locked behind a sealed bid: rounded up, so that it tells little."""
        rounded = -(-self.sealed_amounts_of(rows) // DEPOSIT_UNIT) * DEPOSIT_UNIT
        return np.minimum(rounded, self.credits_of(rows))

    def moments_of(self, rows: Rows) -> Floats:
        """When within the time for it, from 0 to 1, a sealed bid is opened."""
        return draw_units(self._keys["moment"], rows)


def make_bid_maker(rules: AuctionRules) -> Maker:
    """Makes keys, and signed bids, commitments and reveals (sim.signing)."""
    bidders = Bidders(rules)
    secret, salt = rules.derive(b"keys"), rules.derive(b"salt")

    def make(request: bytes) -> bytes:
        operation, slots, amounts = unpack_request(request)
        if operation == KEYS:
            return b"".join(make_key_of(secret, row)[0] for row in slots.tolist())
        rows = bidders.slots.rows_of(slots)
        keys, ids, transactions = [], [], []
        columns = (
            slots, rows, bidders.lots_of(rows), amounts, bidders.sealed_amounts_of(rows),
            bidders.deposits_of(rows),
        )
        for slot, row, lot, amount, hidden, deposit in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            pair = make_key_of(secret, row)
            own_salt = digest(b"salt", salt + row.to_bytes(8, "big"))
            payload: list[Value]
            if slot >= rules.users:
                kind = auctions.REVEAL
                payload = auctions.make_reveal(SEALED, lot, hidden, own_salt)
            elif lot < rules.sealed_lots:
                kind = auctions.COMMIT
                bound = auctions.compute_commitment(SEALED, lot, hidden, own_salt, pair[0])
                payload = auctions.make_commit(SEALED, lot, bound, deposit)
            else:
                kind = auctions.BID
                payload = auctions.make_bid(ASCENDING, lot - rules.sealed_lots, amount)
            nonce = 1 + (slot >= rules.users)
            transaction_id, encoded = sign_transaction(
                pair, rules.chain_id, kind, nonce, payload
            )
            keys.append(pair[0])
            ids.append(transaction_id)
            transactions.append(encoded)
        return pack_frame(keys, ids, transactions)

    return make


def get_bid_factory(rules: AuctionRules) -> Factory:
    """For worker processes."""
    return partial(make_bid_maker, rules)
