"""The independent judge of the auctions: every bid again, from receipts, by its own book.

It knows what each bidder sent and had, and takes from receipts only the order of the bids. Its
own book says which of them are valid, who leads, and whose money is where; the chain must say
the same, to the kopeck. Lots with a bid whose receipt nobody saw are not judged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.execution import SEQUENCE_PER_BLOCK, get_nonce
from node.services import auctions
from node.state import State as Records
from sim.auction_office import EXTENSION_BLOCKS, EXTENSIONS_MAX, Heights
from sim.bidders import ASCENDING, RESERVE, SEALED, STEP, Bidders
from sim.crowd import CrowdColumns
from sim.electorate import Rows
from sim.result import InvariantOutcome
from sim.voter_columns import State

_OK = 1


class _Lot:
    """Who leads, by the judge's book; ``rank`` orders sealed bids: amount, then earliness."""

    __slots__ = ("amount", "bids", "closes", "extensions", "leader", "rank")

    def __init__(self, closes: int) -> None:
        self.leader = -1
        self.amount = 0
        self.rank = (0, 0)
        self.bids = 0
        self.closes = closes
        self.extensions = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuctionAudit:
    """What the judge found. ``lost`` were told final and did not count, ``doubled`` counted
    twice; ``statuses`` are receipts that the judge's book contradicts, ``winners`` lots with
    another winner, price or close, ``accounts`` bidders whose money is not where it should be.
    """

    bids: int
    sold: int
    paid: int
    extensions: int
    unrevealed: int
    lost: int
    doubled: int
    statuses: int
    winners: int
    accounts: int
    is_conserved: bool
    doubtful: int

    @property
    def mismatches(self) -> int:
        """All that is not as the judge says."""
        return self.statuses + self.winners + self.accounts

    def describe(self) -> tuple[InvariantOutcome, ...]:
        """The invariants that this audit judges."""
        return (
            InvariantOutcome(
                name="nothing lost", passed=self.lost == 0,
                detail=f"{self.lost} bids told final did not take part",
            ),
            InvariantOutcome(
                name="nothing counted twice", passed=self.doubled == 0,
                detail=f"{self.doubled} bids took part more than once",
            ),
            InvariantOutcome(
                name="the highest valid bid wins", passed=not self.winners + self.statuses,
                detail=f"{self.sold:,} lots sold, {self.winners} to another winner than the "
                f"judge's; {self.statuses} receipts contradict its book; "
                f"{self.doubtful} lots not judged",
            ),
            InvariantOutcome(
                name="money conserved", passed=self.is_conserved,
                detail=f"winners paid {self.paid / 100:,.2f}; what was credited is there",
            ),
            InvariantOutcome(
                name="losers' money is free", passed=self.accounts == 0,
                detail=f"{self.accounts} accounts are not what the judge's book says",
            ),
        )


class AuctionAuditor:
    """Judges both auctions. ``amounts`` are what open bids said, row by row."""

    def __init__(
        self, bidders: Bidders, columns: CrowdColumns, keys: NDArray[np.uint8], amounts: Rows,
        heights: Heights, records: Records,
    ) -> None:
        self._bidders = bidders
        self._columns = columns
        self._keys = keys
        self._heights = heights
        self._records = records
        rules = bidders.rules
        self._users, self._sealed_lots = rules.users, rules.sealed_lots
        rows = np.arange(rules.users, dtype=np.int64)
        sealed = bidders.is_sealed(rows)
        self._lot_of = bidders.lots_of(rows)
        self._amounts = np.where(sealed, bidders.sealed_amounts_of(rows), amounts)
        self._deposits = bidders.deposits_of(rows)
        self._credits = bidders.credits_of(rows)
        lots = range(rules.lots)
        self._lots = [
            _Lot(heights.reveal_closes if lot < rules.sealed_lots else heights.closes)
            for lot in lots
        ]
        self._free: list[int] = self._credits.tolist()
        self._commits: dict[int, int] = {}  # rows' places in the chain, until revealed
        unsure = np.flatnonzero((columns.tries > 0) & (columns.status == 0))
        self._doubtful = set(self._lot_of[bidders.slots.rows_of(unsure)].tolist())

    def audit(self) -> AuctionAudit:
        """Hold the chain to what bidders sent and were told."""
        statuses = self._replay()
        unrevealed = len(self._commits)
        for row in self._commits:
            self._free[row] += int(self._deposits[row])
        winners = lost = doubled = paid = sold = extensions = 0
        told = self._count_told()
        for number, lot in enumerate(self._lots):
            record = self._get_lot(number)
            if number in self._doubtful:
                continue
            winners += not self._is_as_reckoned(lot, record)
            bids = 0 if record is None else record.bids
            lost += max(0, int(told[number]) - bids)
            doubled += max(0, bids - int(told[number]))
            sold += lot.leader >= 0
            paid += lot.amount
            extensions += lot.extensions
        accounts, is_conserved = self._compare_money(paid)
        return AuctionAudit(
            bids=int((self._columns.sequence[: self._users] >= 0).sum()), sold=sold, paid=paid,
            extensions=extensions, unrevealed=unrevealed, lost=lost + self._count_unheard(),
            doubled=doubled, statuses=statuses, winners=winners, accounts=accounts,
            is_conserved=is_conserved, doubtful=len(self._doubtful),
        )

    # The judge's book.

    def _replay(self) -> int:
        """Enter all bids in the order of the chain; how many receipts the book contradicts."""
        # The order is the chain's, for only it decides ties; what follows from it is not.
        columns, users = self._columns, self._users
        known = np.flatnonzero(columns.sequence >= 0)
        known = known[np.argsort(columns.sequence[known], kind="stable")]
        rows = self._bidders.slots.rows_of(known)
        taken = columns.status[known] == _OK
        contradicted = 0
        for slot, row, number, sequence, was_taken in zip(
            known.tolist(), rows.tolist(), self._lot_of[rows].tolist(),
            columns.sequence[known].tolist(), taken.tolist(), strict=True,
        ):
            height = sequence // SEQUENCE_PER_BLOCK
            if slot >= users:
                is_valid = self._reveal(row, number, height)
            elif number < self._sealed_lots:
                is_valid = self._commit(row, sequence, height)
            else:
                is_valid = self._bid(row, self._lots[number], height)
            contradicted += is_valid != was_taken and number not in self._doubtful
        return contradicted

    def _bid(self, row: int, lot: _Lot, height: int) -> bool:
        amount = int(self._amounts[row])
        least = RESERVE if lot.leader < 0 else lot.amount + STEP
        if not self._heights.opens <= height < lot.closes:
            return False
        if amount < least or self._free[row] < amount:
            return False
        if lot.leader >= 0:
            self._free[lot.leader] += lot.amount
        self._free[row] -= amount
        lot.leader, lot.amount = row, amount
        lot.bids += 1
        if lot.closes - height < EXTENSION_BLOCKS and lot.extensions < EXTENSIONS_MAX:
            lot.closes = height + EXTENSION_BLOCKS
            lot.extensions += 1
        return True

    def _commit(self, row: int, sequence: int, height: int) -> bool:
        deposit = int(self._deposits[row])
        if not self._heights.opens <= height < self._heights.closes:
            return False
        if self._free[row] < deposit:
            return False
        self._free[row] -= deposit
        self._commits[row] = sequence
        return True

    def _reveal(self, row: int, number: int, height: int) -> bool:
        if not self._heights.closes <= height < self._heights.reveal_closes:
            return False
        committed = self._commits.pop(row, None)
        if committed is None:
            return False
        lot = self._lots[number]
        amount = int(self._amounts[row])
        lot.bids += 1
        self._free[row] += int(self._deposits[row])
        rank = (amount, -committed)
        if lot.leader < 0 or rank > lot.rank:
            if lot.leader >= 0:
                self._free[lot.leader] += lot.amount
            self._free[row] -= amount
            lot.leader, lot.amount, lot.rank = row, amount, rank
        return True

    # The chain's.

    def _get_lot(self, number: int) -> auctions.Lot | None:
        if number < self._sealed_lots:
            return auctions.get_lot(self._records, SEALED, number)
        return auctions.get_lot(self._records, ASCENDING, number - self._sealed_lots)

    def _is_as_reckoned(self, lot: _Lot, record: auctions.Lot | None) -> bool:
        if record is None:
            return lot.leader < 0
        return lot.leader >= 0 and (
            (record.leader, record.amount, record.closes, record.extensions, record.is_settled)
            == (self._keys[lot.leader].tobytes(), lot.amount, lot.closes, lot.extensions, 1)
        )

    def _count_told(self) -> Rows:
        """By lot, the bids and reveals that have an "ok" in the chain's receipts."""
        columns = self._columns
        slots = np.flatnonzero(columns.status == _OK)
        rows = self._bidders.slots.rows_of(slots)
        lots = self._lot_of[rows]
        counting = (slots >= self._users) | (lots >= self._sealed_lots)
        return np.bincount(lots[counting], minlength=len(self._lots))

    def _count_unheard(self) -> int:
        """Transactions told final beyond those of their sender that the chain executed."""
        slots = np.flatnonzero(self._columns.state == State.FINAL)
        told = np.bincount(self._bidders.slots.rows_of(slots), minlength=self._users)
        return sum(
            max(0, count - get_nonce(self._records, self._keys[row].tobytes()))
            for row, count in enumerate(told.tolist()) if count
        )

    def _compare_money(self, paid: int) -> tuple[int, bool]:
        """Accounts that are not what the book says, and whether all money is there."""
        total = wrong = 0
        lots = self._lot_of.tolist()
        for row, free in enumerate(self._free):
            account = auctions.get_account(self._records, self._keys[row].tobytes())
            total += account.free + account.locked
            if lots[row] not in self._doubtful:
                wrong += account != (free, 0)
        money = auctions.get_money(self._records)
        is_conserved = total + money.city == money.credited == int(self._credits.sum())
        if not self._doubtful:
            is_conserved &= money.city == paid
        return wrong, is_conserved
