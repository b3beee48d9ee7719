"""A season from its creation to its waiting lists, and each reason for a refusal."""

import pytest

from node.errors import Refused
from node.receipt import BAD_PAYLOAD
from node.services import fairs
from node.services.fairs.applications import find_pool
from node.services.fairs.pools import balance_slot, move_slot
from node.services.fairs.records import (
    ALLOCATING,
    CREATED,
    FARMER,
    FARMERS,
    FINISHED,
    FIRMS,
    INDIVIDUAL,
    INDIVIDUAL_AS_TRADER,
    INDIVIDUALS,
    LEGAL_ENTITY,
    MEAT,
    REFUSED,
    SOLE_TRADER,
    VEGETABLES,
    WITHDRAWN,
    Slot,
)
from node.state import verify_record
from tests.node.services.market import AFTER_NS, CLOSES_NS, OPENS_NS, Market, name_key

NONE = (0, 0, 0)


def make_open_market(*rows, sites=3, periods=2):
    market = Market()
    assert market.create_season(sites=sites, periods=periods) == "ok"
    for row in rows:
        assert market.add_row(*row) == "ok"
    assert market.open_window() == "ok"
    return market


def finish(market):
    assert market.move() == "ok"
    while fairs.get_season(market.ledger, 1).phase != FINISHED:
        phase = fairs.get_season(market.ledger, 1).phase
        step = market.allocate if phase == ALLOCATING else market.move
        if step() != "ok":
            assert market.finish() == "ok"


def list_holders(market, site=0, period=0):
    places = fairs.get_site_places(market.ledger, 1, site)[period]
    return [
        holder and holder.applicant
        for holder in (
            fairs.get_holder(market.ledger, 1, site, period, place) for place in range(places)
        )
    ]


@pytest.mark.parametrize(
    ("kind", "trade", "pool"),
    [
        (INDIVIDUAL, VEGETABLES, INDIVIDUALS), (FARMER, VEGETABLES, FARMERS),
        (FARMER, MEAT, FIRMS), (SOLE_TRADER, VEGETABLES, FIRMS),
        (LEGAL_ENTITY, MEAT, FIRMS), (INDIVIDUAL_AS_TRADER, VEGETABLES, FIRMS),
    ],
)
def test_kind_and_trade_tell_the_pool(kind, trade, pool):
    assert find_pool(kind, trade) == pool


def test_individuals_sell_nothing_but_vegetables():
    with pytest.raises(Refused, match="vegetables only"):
        find_pool(INDIVIDUAL, MEAT)


def test_places_of_a_site_are_numbered_across_its_trades():
    market = make_open_market(
        (0, VEGETABLES, [(2, 1, 1), (1, 0, 0)]), (0, MEAT, [(0, 0, 3), NONE])
    )
    assert fairs.get_site_places(market.ledger, 1, 0) == (7, 1)
    assert fairs.get_site_places(market.ledger, 1, 1) == ()
    assert [slot.base for slot in fairs.get_row(market.ledger, 1, 0, MEAT)] == [4, 1]
    assert fairs.get_row(market.ledger, 1, 1, MEAT) == ()


def test_an_application_is_kept_with_its_time_and_number():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), (1, 0, 0)]))
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0, 1]) == "ok"
    [(pool, number)] = fairs.get_applications(market.ledger, 1, name_key("anna"))
    application = fairs.get_application(market.ledger, 1, pool, number)
    assert (application.applicant, application.status) == (name_key("anna"), CREATED)
    assert (application.wanted, application.filed_ns) == (0b11, 1_500)
    assert application.sequence == (1 << 20) + market.index
    assert fairs.get_application(market.ledger, 1, pool, number + 1) is None
    assert fairs.get_applications(market.ledger, 1, name_key("nobody")) == ()
    assert fairs.get_season(market.ledger, 2) is None


def test_first_come_first_served_and_the_rest_wait_in_order():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), (1, 0, 0)]))
    for name in ("anna", "boris", "clara"):
        assert market.apply(name, 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    finish(market)
    assert list_holders(market) == [name_key("anna")]
    assert fairs.get_waiting(market.ledger, 1, 0, VEGETABLES, 0, INDIVIDUALS) == (1, 2)
    season = fairs.get_season(market.ledger, 1)
    assert (season.granted, season.waiting) == (1, 2)


def test_an_individual_gets_one_place_per_weekend_anywhere():
    quotas = [(2, 0, 0), (2, 0, 0)]
    market = make_open_market((0, VEGETABLES, quotas), (1, VEGETABLES, quotas))
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    assert market.apply("anna", 1, VEGETABLES, INDIVIDUAL, [0, 1]) == "ok"
    finish(market)
    second = fairs.get_application(market.ledger, 1, INDIVIDUALS, 1)
    assert (second.granted, second.rejected) == (0b10, 0b01)
    assert list_holders(market, site=1) == [None, None]


def test_a_firm_gets_a_second_place_only_after_all_had_one_and_never_at_one_site():
    quotas = [(0, 0, 1), NONE]
    market = make_open_market(
        (0, MEAT, quotas), (1, MEAT, quotas), (2, MEAT, [(0, 0, 3), NONE])
    )
    for site in (0, 1, 2, 2):
        assert market.apply("firm", site, MEAT, LEGAL_ENTITY, [0]) == "ok"
    assert market.apply("late", 1, MEAT, LEGAL_ENTITY, [0]) == "ok"
    finish(market)
    assert list_holders(market, site=0) == [name_key("firm")]
    assert list_holders(market, site=1) == [name_key("late")]
    assert list_holders(market, site=2) == [name_key("firm"), None, None]
    assert fairs.get_application(market.ledger, 1, FIRMS, 3).rejected == 1


def test_a_farmer_who_is_a_firm_for_meat_has_no_two_places_at_one_site():
    market = make_open_market(
        (0, VEGETABLES, [(0, 1, 0), NONE]), (0, MEAT, [(0, 0, 1), NONE])
    )
    assert market.apply("farmer", 0, VEGETABLES, FARMER, [0]) == "ok"
    assert market.apply("farmer", 0, MEAT, FARMER, [0]) == "ok"
    finish(market)
    assert list_holders(market) == [name_key("farmer"), None]
    assert fairs.get_application(market.ledger, 1, FIRMS, 0).rejected == 1


def test_places_that_nobody_applied_for_go_to_individuals_first():
    market = make_open_market((0, VEGETABLES, [(0, 2, 2), NONE]))
    assert market.apply("firm", 0, VEGETABLES, SOLE_TRADER, [0]) == "ok"
    for name in ("anna", "boris", "clara"):
        assert market.apply(name, 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    finish(market)
    names = ("anna", "boris", "clara", "firm")
    assert list_holders(market) == [name_key(name) for name in names]


def test_balancing_keeps_what_farmers_and_firms_applied_for():
    slot = Slot(1, 5, 6, 0, 0, 0, 0, 0)
    assert balance_slot(slot, 2, 9).free == (4, 2, 6)


def test_places_move_at_most_twice_into_each_pool():
    slot = Slot(0, 0, 1, 0, 0, 0, 0, 0)
    path = []
    while True:
        moved = move_slot(slot)
        if moved == slot:
            break
        slot = moved
        path.append(slot.free.index(1))
    assert path == [INDIVIDUALS, FARMERS, INDIVIDUALS, FARMERS, FIRMS]
    assert slot[5:] == (2, 2, 1)


def test_moved_places_reach_who_waits_in_another_pool():
    market = make_open_market((0, VEGETABLES, [(3, 0, 0), NONE]))
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    assert market.apply("farmer", 0, VEGETABLES, FARMER, [0]) == "ok"
    assert market.apply("firm", 0, VEGETABLES, SOLE_TRADER, [0]) == "ok"
    finish(market)
    assert list_holders(market) == [name_key(name) for name in ("anna", "farmer", "firm")]
    assert fairs.get_season(market.ledger, 1).waiting == 0


def test_withdrawn_and_refused_applications_get_nothing_and_are_not_counted():
    market = make_open_market((0, VEGETABLES, [(0, 0, 2), NONE]))
    for name in ("gone", "bad", "good"):
        assert market.apply(name, 0, VEGETABLES, SOLE_TRADER, [0]) == "ok"
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    payload = fairs.make_withdraw(1, FIRMS, 0)
    assert market.send(fairs.WITHDRAW, payload, name_key("gone")) == "ok"
    assert market.send(fairs.REFUSE, fairs.make_refuse(1, FIRMS, 1)) == "ok"
    finish(market)
    assert list_holders(market) == [name_key("anna"), name_key("good")]
    statuses = [fairs.get_application(market.ledger, 1, FIRMS, n).status for n in range(3)]
    assert statuses == [WITHDRAWN, REFUSED, CREATED]
    assert fairs.get_season(market.ledger, 1).waiting == 0


def test_who_holds_a_stall_is_provable_from_the_state_root():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), NONE]))
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    finish(market)
    state = market.make_state()
    key = fairs.make_place_key(1, 0, 0, 0)
    record = state.get(key)
    verify_record(state.root, key, record, state.prove(key))
    holder = fairs.unpack_holder(record)
    assert (holder.applicant, holder.trade) == (name_key("anna"), VEGETABLES)
    assert fairs.get_holder(state, 1, 0, 0, 0) == holder


def test_a_season_without_sites_or_applications_still_ends():
    market = make_open_market()
    finish(market)
    assert fairs.get_season(market.ledger, 1).granted == 0


def test_the_city_size_fits_the_limits():
    market = Market()
    assert market.create_season(sites=100, periods=13) == "ok"
    rows = [(site, VEGETABLES, [(19, 4, 4)] * 13) for site in range(100)]
    assert market.send(fairs.ADD_SITES, fairs.make_add_sites(1, rows)) == "ok"
    assert market.open_window() == "ok"
    total = sum(sum(fairs.get_site_places(market.ledger, 1, site)) for site in range(100))
    assert total == 2_700 * 13


BAD = [
    (fairs.CREATE_SEASON, [1, 3]), (fairs.CREATE_SEASON, [1, 0, 2]),
    (fairs.CREATE_SEASON, [True, 3, 2]), (fairs.CREATE_SEASON, [1, 3, 33]),
    (fairs.ADD_SITES, [1, []]), (fairs.ADD_SITES, [1, [[0, 1]]]),
    (fairs.ADD_SITES, [1, [[0, 1, bytes(11)]]]), (fairs.ADD_SITES, [1, [[3, 1, bytes(12)]]]),
    (fairs.ADD_SITES, [1, [[0, 5, bytes(12)]]]), (fairs.ADD_SITES, [1, [None] * 501]),
    (fairs.OPEN_WINDOW, [1, 5, 5]), (fairs.OPEN_WINDOW, [1, 0, 1 << 62]),
    (fairs.APPLY, [1, 0, 1, 0]), (fairs.APPLY, [1, 0, 1, 0, 0]),
    (fairs.APPLY, [1, 0, 0, 0, 1]), (fairs.APPLY, [1, 0, 1, 5, 1]),
    (fairs.WITHDRAW, [1, 3, 0]), (fairs.REFUSE, [1, 0]),
    (fairs.ALLOCATE_BATCH, [1, 501]), (fairs.MOVE_POOLS, [1, 0]),
    (fairs.FINISH_SEASON, [1, b"1"]),
]


@pytest.mark.parametrize(("kind", "payload"), BAD)
def test_a_payload_of_the_wrong_shape_is_refused(kind, payload):
    market = Market()
    assert market.create_season() == "ok"
    assert market.send(kind, payload) == BAD_PAYLOAD


def test_only_the_registrar_administers():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), NONE]))
    stranger = name_key("stranger")
    assert market.create_season(season=2, sender=stranger) == "not allowed"
    assert market.add_row(1, MEAT, [NONE, NONE], sender=stranger) == "not allowed"
    assert market.open_window(sender=stranger) == "not allowed"
    assert market.move(sender=stranger) == "not allowed"
    assert market.allocate(sender=stranger) == "not allowed"
    assert market.finish(sender=stranger) == "not allowed"
    payload = fairs.make_refuse(1, INDIVIDUALS, 0)
    assert market.send(fairs.REFUSE, payload, stranger) == "not allowed"


def test_what_prepares_a_season_is_refused_with_a_reason():
    market = Market()
    quotas = [(1, 0, 0), NONE]
    assert market.add_row(0, VEGETABLES, quotas) == "unknown season"
    assert market.open_window() == "unknown season"
    assert market.create_season() == "ok"
    assert market.create_season() == "season known"
    assert market.add_row(0, MEAT, quotas) == "vegetables only"
    assert market.add_row(0, MEAT, [(0, 1, 0), NONE]) == "vegetables only"
    assert market.add_row(0, VEGETABLES, [(9_000, 1_001, 0), NONE]) == "too many places"
    assert market.add_row(0, VEGETABLES, quotas) == "ok"
    assert market.add_row(0, VEGETABLES, quotas) == "row known"
    twice = fairs.make_add_sites(1, [(1, MEAT, [NONE, NONE])] * 2)
    assert market.send(fairs.ADD_SITES, twice) == "row known"
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "not open"
    assert market.move() == "not open"
    withdraw = fairs.make_withdraw(1, INDIVIDUALS, 0)
    assert market.send(fairs.WITHDRAW, withdraw, name_key("anna")) == "not open"
    assert market.open_window() == "ok"
    assert market.open_window() == "window set"
    assert market.add_row(1, VEGETABLES, quotas) == "window set"


def test_an_application_is_refused_with_a_reason():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), NONE]), (1, MEAT, [NONE, NONE]))
    anna = ("anna", 0, VEGETABLES, INDIVIDUAL, [0])
    assert market.apply(*anna, season=2) == "unknown season"
    assert market.apply(*anna, time_ns=OPENS_NS - 1) == "not open"
    assert market.apply(*anna, time_ns=OPENS_NS) == "ok"
    assert market.apply(*anna, time_ns=CLOSES_NS - 1) == "ok"
    assert market.apply(*anna, time_ns=CLOSES_NS) == "late"
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [2]) == "no such period"
    assert market.apply("anna", 1, MEAT, INDIVIDUAL, [0]) == "vegetables only"
    assert market.apply("anna", 2, VEGETABLES, INDIVIDUAL, [0]) == "no such place"
    assert market.apply("firm", 0, MEAT, SOLE_TRADER, [0]) == "no such place"
    assert market.apply("anna", 0, VEGETABLES, FARMER, [0]) == "another applicant kind"
    assert market.move() == "ok"
    assert market.apply(*anna) == "late"


def test_an_applicant_files_a_bounded_number_of_applications():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), NONE]))
    for _ in range(fairs.APPLICATIONS_MAX):
        assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "too many applications"
    assert market.apply("boris", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"


def test_a_withdrawal_or_refusal_is_refused_with_a_reason():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), NONE]))
    for name in ("anna", "boris", "clara"):
        assert market.apply(name, 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"

    def withdraw(name, number, season=1):
        payload = fairs.make_withdraw(season, INDIVIDUALS, number)
        return market.send(fairs.WITHDRAW, payload, name_key(name))

    def refuse(number, season=1):
        payload = fairs.make_refuse(season, INDIVIDUALS, number)
        return market.send(fairs.REFUSE, payload)

    assert withdraw("anna", 0, season=2) == refuse(0, season=2) == "unknown season"
    assert withdraw("anna", 9) == refuse(9) == "unknown application"
    assert withdraw("anna", 1) == "not yours"
    assert withdraw("anna", 0) == "ok"
    assert withdraw("anna", 0) == refuse(0) == "already withdrawn"
    assert refuse(1) == "ok"
    assert withdraw("boris", 1) == refuse(1) == "already refused"
    assert market.move() == "ok"
    assert withdraw("clara", 2) == refuse(2) == "late"


def test_the_steps_of_an_allocation_come_in_their_order():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), NONE]))
    for step in (fairs.MOVE_POOLS, fairs.ALLOCATE_BATCH, fairs.FINISH_SEASON):
        assert market.send(step, [2, 1]) == "unknown season"
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    assert market.move(time_ns=AFTER_NS - 1) == "window open"
    assert market.allocate() == "not allocating"
    assert market.finish() == "allocation not over"
    assert market.move(2) == "ok"
    assert market.allocate() == "not allocating"
    assert market.move(2) == "ok"
    assert market.move() == "not moving"
    assert market.allocate() == "ok"
    assert market.allocate() == "not allocating"
    assert market.move() == "ok"
    assert market.allocate() == "not allocating"
    assert market.finish() == "ok"


def test_a_finished_season_is_finished():
    market = make_open_market((0, VEGETABLES, [(1, 0, 0), NONE]))
    assert market.apply("anna", 0, VEGETABLES, INDIVIDUAL, [0]) == "ok"
    finish(market)
    assert market.finish() == "already finished"
    assert market.allocate() == "not allocating"
    assert market.move() == "not moving"
