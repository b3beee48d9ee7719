"""Both forms of auction, their money, and each reason for a refusal."""

import pytest

from node.receipt import BAD_PAYLOAD
from node.services import auctions
from node.state import verify_record
from tests.node.services.market import Market, name_key


def make_market(**auction):
    market = Market()
    assert market.credit(anna=1_000, boris=1_000, clara=1_000) == "ok"
    assert market.create_ascending(**auction) == "ok"
    assert market.create_sealed() == "ok"
    return market


# money


def test_credits_add_up_and_a_key_may_stand_twice_in_a_batch():
    market = Market()
    payload = auctions.make_credit_accounts([name_key("anna")] * 2, [3, 4])
    assert market.send(auctions.CREDIT_ACCOUNTS, payload) == "ok"
    assert market.get_account("anna") == (7, 0)
    assert auctions.get_money(market.ledger) == (7, 0)
    assert market.get_account("boris") == (0, 0)


def test_all_money_together_stays_exact():
    market = Market()
    assert market.credit(anna=2**53 - 2) == "ok"
    assert market.credit(boris=2) == "too much money"
    assert market.credit(boris=1) == "ok"


# ascending


def test_who_is_outbid_has_the_money_back_at_once():
    market = make_market()
    assert market.bid("anna", 100) == "ok"
    assert market.get_account("anna") == (900, 100)
    assert market.bid("boris", 110) == "ok"
    assert market.get_account("anna") == (1_000, 0)
    assert market.get_account("boris") == (890, 110)
    assert market.get_leader() == (name_key("boris"), 110)


def test_a_leader_may_raise_with_money_that_is_locked_already():
    market = make_market()
    assert market.bid("anna", 600) == "ok"
    assert market.bid("anna", 1_000) == "ok"
    assert market.get_account("anna") == (0, 1_000)


def test_of_equal_bids_the_earlier_stands():
    market = make_market()
    assert market.bid("anna", 200) == "ok"
    assert market.bid("boris", 200) == "too low"
    assert market.get_leader() == (name_key("anna"), 200)


def test_a_late_bid_moves_the_close_a_bounded_number_of_times():
    market = make_market()
    closes = []
    for height, amount in ((16, 100), (17, 110), (18, 120), (18, 130), (20, 140), (22, 150)):
        assert market.bid("anna", amount, height=height) == "ok"
        closes.append(auctions.get_lot(market.ledger, 1, 0).closes)
    assert closes == [20, 20, 21, 21, 23, 23]
    assert market.bid("boris", 160, height=23) == "closed"
    assert market.bid("boris", 100, lot=1, height=19) == "ok"


def test_winners_pay_the_city_when_their_lots_are_settled():
    market = make_market()
    assert market.bid("anna", 100) == "ok"
    assert market.bid("boris", 300, lot=2) == "ok"
    assert market.settle(1, 2, height=20) == "ok"
    assert auctions.get_settled(market.ledger, 1) == 2
    assert auctions.get_money(market.ledger) == (3_000, 100)
    assert market.settle(1, height=20) == "ok"
    assert auctions.get_money(market.ledger) == (3_000, 400)
    assert market.get_account("boris") == (700, 0)
    assert auctions.get_lot(market.ledger, 1, 2).is_settled
    assert auctions.get_lot(market.ledger, 1, 1) is None
    assert market.settle(1) == "already settled"


def test_an_extended_lot_makes_the_settlement_wait():
    market = make_market()
    assert market.bid("anna", 100, lot=1, height=19) == "ok"
    assert market.settle(1, height=19) == "not closed"
    assert market.settle(1, height=20) == "ok"
    assert auctions.get_settled(market.ledger, 1) == 1
    assert market.settle(1, height=21) == "not closed"
    assert market.settle(1, height=22) == "ok"
    assert auctions.get_settled(market.ledger, 1) == 3


def test_who_won_a_lot_is_provable_from_the_state_root():
    market = make_market()
    assert market.bid("anna", 100) == "ok"
    assert market.settle(1) == "ok"
    state = market.make_state()
    key = auctions.make_lot_key(1, 0)
    record = state.get(key)
    verify_record(state.root, key, record, state.prove(key))
    assert auctions.unpack_lot(record).leader == name_key("anna")


def test_a_bid_is_refused_with_a_reason():
    market = make_market()
    assert market.bid("anna", 100, auction=7) == "unknown auction"
    assert market.bid("anna", 100, auction=2) == "another form"
    assert market.bid("anna", 100, lot=3) == "no such lot"
    assert market.bid("anna", 100, height=9) == "not open"
    assert market.bid("anna", 100, height=20) == "closed"
    assert market.bid("anna", 99) == "below reserve"
    assert market.bid("anna", 1_001) == "not enough money"
    assert market.bid("nobody", 100) == "not enough money"
    assert market.bid("anna", 100) == "ok"
    assert market.bid("boris", 109) == "too low"
    assert market.bid("anna", 109) == "too low"
    assert market.bid("anna", 1_000, lot=1) == "not enough money"


# sealed


def test_the_highest_sealed_bid_wins_and_pays_its_own_amount():
    market = make_market()
    for name, amount in (("anna", 200), ("boris", 500), ("clara", 300)):
        assert market.commit(name, amount, 600) == "ok"
    assert market.reveal("anna", 200) == "ok"
    assert market.get_account("anna") == (800, 200)
    assert market.reveal("boris", 500) == "ok"
    assert market.reveal("clara", 300) == "ok"
    assert market.get_account("anna") == market.get_account("clara") == (1_000, 0)
    assert market.get_account("boris") == (500, 500)
    assert auctions.get_lot(market.ledger, 2, 0).bids == 3
    assert market.settle(2, height=29) == "not closed"
    assert market.settle(2, height=30) == "ok"
    assert auctions.get_money(market.ledger).city == 500


@pytest.mark.parametrize("order", [("anna", "boris"), ("boris", "anna")])
def test_of_equal_sealed_bids_the_earlier_commitment_wins(order):
    market = make_market()
    assert market.commit("anna", 200, 300) == "ok"
    assert market.commit("boris", 200, 300) == "ok"
    for name in order:
        assert market.reveal(name, 200) == "ok"
    assert market.get_leader(auction=2) == (name_key("anna"), 200)
    assert market.get_account("boris") == (1_000, 0)


def test_an_unrevealed_bid_forfeits_nothing():
    market = make_market()
    assert market.commit("anna", 200, 300) == "ok"
    assert market.commit("boris", 200, 300) == "ok"
    assert auctions.get_sealed_bid(market.ledger, 2, 0, name_key("anna")).deposit == 300
    assert market.return_deposits("anna", height=29) == "not closed"
    assert market.return_deposits("anna", "clara") == "not committed"
    assert market.return_deposits("anna", "anna") == "not committed"
    assert market.get_account("anna") == (700, 300)
    assert market.return_deposits("anna", "boris") == "ok"
    assert market.get_account("anna") == (1_000, 0)
    assert market.return_deposits("anna") == "not committed"
    assert auctions.get_sealed_bid(market.ledger, 2, 0, name_key("anna")) is None


def test_a_commitment_is_refused_with_a_reason():
    market = make_market()
    assert market.commit("anna", 100, 100, auction=7) == "unknown auction"
    assert market.commit("anna", 100, 100, auction=1) == "another form"
    assert market.commit("anna", 100, 100, lot=3) == "no such lot"
    assert market.commit("anna", 100, 100, height=9) == "not open"
    assert market.commit("anna", 100, 100, height=20) == "closed"
    assert market.commit("anna", 100, 99) == "below reserve"
    assert market.commit("anna", 100, 1_001) == "not enough money"
    assert market.commit("anna", 100, 100) == "ok"
    assert market.commit("anna", 200, 200) == "already committed"


def test_a_reveal_is_refused_with_a_reason():
    market = make_market()
    assert market.commit("anna", 200, 300) == "ok"
    assert market.reveal("anna", 200, auction=7) == "unknown auction"
    assert market.reveal("anna", 200, auction=1) == "another form"
    assert market.reveal("anna", 200, lot=3) == "no such lot"
    assert market.reveal("anna", 200, height=19) == "not open"
    assert market.reveal("anna", 200, height=30) == "closed"
    assert market.reveal("boris", 200) == "not committed"
    assert market.reveal("anna", 200, lot=1) == "not committed"
    assert market.reveal("anna", 201) == "wrong opening"
    assert market.reveal("anna", 200, salt="boris") == "wrong opening"
    assert market.reveal("anna", 200) == "ok"
    assert market.reveal("anna", 200) == "not committed"
    assert market.commit("boris", 50, 300, height=11) == "ok"
    assert market.reveal("boris", 50) == "below reserve"
    assert market.commit("clara", 301, 300, height=11) == "ok"
    assert market.reveal("clara", 301) == "above deposit"


def test_a_copied_commitment_is_of_no_use_to_the_copier():
    market = make_market()
    assert market.commit("anna", 200, 300) == "ok"
    stolen = auctions.get_sealed_bid(market.ledger, 2, 0, name_key("anna")).commitment
    payload = auctions.make_commit(2, 0, stolen, 300)
    assert market.send(auctions.COMMIT, payload, name_key("boris"), height=11) == "ok"
    assert market.reveal("boris", 200, salt="anna") == "wrong opening"


# administration


def test_an_auction_is_announced_once_by_the_registrar_and_beforehand():
    market = Market()
    stranger = name_key("stranger")
    ascending = auctions.make_create_ascending(
        1, lots=1, opens=10, closes=20, reserve=1, step=1, extension=0, extensions_max=0
    )
    sealed = auctions.make_create_sealed(
        1, lots=1, opens=10, closes=20, reveal_closes=30, reserve=1
    )
    credit = auctions.make_credit_accounts([stranger], [5])
    assert market.send(auctions.CREATE_ASCENDING, ascending, stranger) == "not allowed"
    assert market.send(auctions.CREATE_SEALED, sealed, stranger) == "not allowed"
    assert market.send(auctions.CREDIT_ACCOUNTS, credit, stranger) == "not allowed"
    assert market.send(auctions.CREATE_ASCENDING, ascending, height=10) == "in the past"
    assert market.send(auctions.CREATE_SEALED, sealed, height=10) == "in the past"
    assert market.send(auctions.CREATE_ASCENDING, ascending, height=9) == "ok"
    assert market.send(auctions.CREATE_ASCENDING, ascending) == "auction known"
    assert market.send(auctions.CREATE_SEALED, sealed) == "auction known"
    assert auctions.get_terms(market.ledger, 1).opens == 10
    assert market.settle(7) == "unknown auction"


def test_deposits_are_returned_only_where_there_can_be_any():
    market = make_market()
    assert market.return_deposits("anna", auction=7) == "unknown auction"
    assert market.return_deposits("anna", auction=1) == "another form"
    assert market.return_deposits("anna", lot=3) == "no such lot"


BAD = [
    (auctions.CREDIT_ACCOUNTS, [b"", b""]), (auctions.CREDIT_ACCOUNTS, [bytes(32), bytes(8)]),
    (auctions.CREDIT_ACCOUNTS, [bytes(31), bytes(7) + b"\1"]),
    (auctions.CREDIT_ACCOUNTS, [bytes(32), bytes(8) + b"\1"]),
    (auctions.CREDIT_ACCOUNTS, [bytes(32 * 501), (bytes(7) + b"\1") * 501]),
    (auctions.CREDIT_ACCOUNTS, [bytes(32), b"\xff" * 8]), (auctions.CREDIT_ACCOUNTS, []),
    (auctions.CREATE_ASCENDING, [9, 0, 10, 20, 1, 1, 0, 0]),
    (auctions.CREATE_ASCENDING, [9, 1, 20, 20, 1, 1, 0, 0]),
    (auctions.CREATE_ASCENDING, [9, 1, 10, 20, 0, 1, 0, 0]),
    (auctions.CREATE_ASCENDING, [9, 1, 10, 20, 1, 0, 0, 0]),
    (auctions.CREATE_ASCENDING, [9, 1, 10, 20, 1, 1, 1 << 16, 0]),
    (auctions.CREATE_SEALED, [9, 1, 10, 20, 20, 1]), (auctions.CREATE_SEALED, [9]),
    (auctions.BID, [1, 0]), (auctions.BID, [1, 0, 0]), (auctions.BID, [1, 0, 2**53]),
    (auctions.BID, [1, 0, True]), (auctions.BID, [1, -1, 100]),
    (auctions.COMMIT, [2, 0, bytes(31), 100]), (auctions.COMMIT, [2, 0, bytes(32), 0]),
    (auctions.REVEAL, [2, 0, 100, bytes(31)]), (auctions.REVEAL, [2, 0, "100", bytes(32)]),
    (auctions.RETURN_DEPOSITS, [2, 0, b""]), (auctions.RETURN_DEPOSITS, [2, 0, bytes(33)]),
    (auctions.RETURN_DEPOSITS, [2, 0, bytes(32 * 501)]),
    (auctions.SETTLE_LOTS, [1, 0]), (auctions.SETTLE_LOTS, [1, 501]),
]


@pytest.mark.parametrize(("kind", "payload"), BAD)
def test_a_payload_of_the_wrong_shape_is_refused(kind, payload):
    assert make_market().send(kind, payload, height=9) == BAD_PAYLOAD
