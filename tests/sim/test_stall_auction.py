"""Whole auctions, their invariants, and crimes that their judge must see."""

import numpy as np
import pytest

from node.services import catalogue
from node.services.auctions import BID, COMMIT, accounts, ascending, sealed, settlement
from node.services.auctions.records import MONEY_KEY
from sim.bidders import RESERVE, STEP, AuctionRules, Bidders
from sim.result import ExitCode, Verdict
from sim.stall_auction import snipe
from tests.sim.stalls import get_broken, make_auction, simulate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def auction():
    return simulate(make_auction())


def test_an_auction_passes_with_all_its_invariants(auction):
    _, result = auction
    assert result.verdict == Verdict.PASSED, (get_broken(result), result.thresholds)
    assert result.subject == "bid"
    assert result.metrics["fairs.money_conserved"] == 1
    names = {outcome.name for outcome in result.invariants}
    assert {"the highest valid bid wins", "money conserved", "losers' money is free"} <= names


def test_who_is_outbid_fails_with_a_reason_and_is_not_lost(auction):
    simulation, result = auction
    metrics = result.metrics
    assert metrics["failed.count"] > 0
    assert set(simulation.people.crowd.failures) <= {"too low", "not enough money", "closed"}
    assert metrics["final.count"] == metrics["accepted.count"] == metrics["offered.count"]
    assert metrics["lost.count"] == metrics["double.count"] == 0


def test_lots_are_sold_extended_and_some_bids_stay_sealed(auction):
    _, result = auction
    assert result.metrics["fairs.sold.count"] == result.metrics["fairs.lots.count"] == 6
    assert result.metrics["fairs.bids.count"] == 300
    assert result.metrics["fairs.paid.sum"] >= 6 * RESERVE
    assert result.metrics["fairs.extensions.count"] > 0
    assert result.metrics["fairs.unrevealed.count"] > 0


def test_the_number_of_workers_changes_nothing(auction):
    _, result = simulate(make_auction(), workers=2)
    assert result.digest == auction[1].digest


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_all_lots_may_be_of_one_form(ratio):
    _, result = simulate(make_auction(users=60, sealed_ratio=ratio, lots="2"))
    assert not get_broken(result)
    assert result.metrics["fairs.sold.count"] == 2


def test_a_relay_that_stands_still_loses_no_bid():
    simulation, result = simulate(make_auction(faults=["pause relays=2 at=09:01 for=2m"]))
    assert not get_broken(result)
    assert simulation.people.crowd.counts["unanswered"] > 0
    assert result.metrics["lost.count"] == result.metrics["auditor.mismatch.count"] == 0


# Crimes.


def assert_caught(result, *names):
    assert result.verdict == Verdict.BROKEN
    assert result.verdict.exit_code == ExitCode.INVARIANT_BROKEN == 110
    assert set(names) <= set(get_broken(result)), get_broken(result)


def test_a_lower_bid_that_wins_is_caught(monkeypatch):
    honest = sealed._rank

    def first_wins(ledger, key, terms, bidder, amount, bid):
        if ledger.get(key) is None:
            honest(ledger, key, terms, bidder, amount, bid)
        else:
            accounts.change_account(ledger, bidder, bid.deposit, -bid.deposit)

    monkeypatch.setattr(sealed, "_rank", first_wins)
    _, result = simulate(make_auction())
    assert_caught(result, "the highest valid bid wins")
    assert result.metrics["auditor.mismatch.count"] > 0


def test_money_that_vanishes_is_caught(monkeypatch):
    honest = settlement._settle_lot

    def pocket(ledger, key, height):
        amount = honest(ledger, key, height)
        return amount and amount - 1

    monkeypatch.setattr(settlement, "_settle_lot", pocket)
    _, result = simulate(make_auction())
    assert_caught(result, "money conserved")
    assert result.metrics["fairs.money_conserved"] == 0


def test_a_losers_money_that_stays_locked_is_caught(monkeypatch):
    honest = ascending.change_account

    def hold(ledger, bidder, free, locked):
        if locked >= 0:
            honest(ledger, bidder, free, locked)

    monkeypatch.setattr(ascending, "change_account", hold)
    _, result = simulate(make_auction())
    assert_caught(result, "losers' money is free")


def test_a_bid_that_takes_no_part_is_caught(monkeypatch):
    honest = catalogue.HANDLERS[BID]

    def forget_some(ledger, call):
        if call.sender[0] > 64:
            honest(ledger, call)

    monkeypatch.setitem(catalogue.HANDLERS, BID, forget_some)
    _, result = simulate(make_auction())
    assert_caught(result, "nothing lost")


def test_commitments_that_bind_nobody_are_caught(monkeypatch):
    monkeypatch.setitem(catalogue.HANDLERS, COMMIT, lambda ledger, call: None)
    _, result = simulate(make_auction(users=60))
    assert_caught(result, "the highest valid bid wins")


def test_credits_from_nowhere_are_caught(monkeypatch):
    honest = accounts.process_credit_accounts

    def give(ledger, call):
        honest(ledger, call)
        key = accounts.ACCOUNT_KEY + call.payload[0][:32]
        free, locked = accounts.ACCOUNT.unpack(ledger.get(key))
        ledger.put(key, accounts.ACCOUNT.pack(free + 1, locked))
        assert ledger.get(MONEY_KEY) is not None

    monkeypatch.setitem(catalogue.HANDLERS, 60, give)
    _, result = simulate(make_auction(users=60))
    assert_caught(result, "money conserved", "losers' money is free")


# Traits.


def test_nobody_bids_more_than_they_have():
    bidders = Bidders(
        AuctionRules(seed=1, users=5_000, chain_id=bytes(8), lots=10, sealed_ratio=0.5)
    )
    rows = np.arange(5_000)
    amounts, deposits = bidders.sealed_amounts_of(rows), bidders.deposits_of(rows)
    assert (amounts >= RESERVE).all()
    assert (amounts <= deposits).all()
    assert (deposits <= bidders.credits_of(rows)).all()
    assert (amounts % STEP == 0).all()
    assert set(bidders.lots_of(rows).tolist()) == set(range(10))
    assert 0.4 < bidders.is_sealed(rows).mean() < 0.6


def test_snipers_wait_for_the_last_minute():
    clicks = np.arange(10_000, dtype=np.int64)
    closes_ns = 3_600_000_000_000
    moved = snipe(clicks, closes_ns, np.random.Generator(np.random.PCG64(1)))
    late = moved >= closes_ns - 60_000_000_000
    assert 150 < late.sum() < 250
    assert (np.diff(moved) >= 0).all()
