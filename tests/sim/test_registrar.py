"""The election office: from registration to the result, whatever fails on the way."""

from dataclasses import replace

import numpy as np
import pytest

from node.receipt import NONCE_GAP, OK
from node.services.election import (
    ADD_VOTER_KEYS,
    ISSUE_BALLOTS,
    get_counters,
    get_failures,
    get_result,
    get_voter_status,
)
from node.services.election.records import CLOSED, ISSUED, OPEN
from node.services.identity import is_locked
from node.transaction import decode_transaction
from sim.desk import Desk, Job
from sim.errors import ConfigurationError
from sim.registrar import OfficeConfig, Stage
from tests.sim.fake_city import MIDNIGHT_NS, SECOND_NS, FakeCity, derive, make_day


@pytest.fixture(scope="module")
def day():
    """A day on which nothing goes wrong."""
    day = make_day(users=330)
    day.run()
    return day


def list_sent(day, kind):
    decoded = [
        (at_ns, decode_transaction(encoded, 1 << 20))
        for at_ns, _, client, encoded in day.city.submitted if client < 0
    ]
    return [(at_ns, transaction) for at_ns, transaction in decoded if transaction.kind == kind]


def test_all_are_registered_and_services_locked_before_the_opening(day):
    fresh = make_day(users=330)
    fresh.run_until(59)
    standing = get_counters(fresh.city.state, 1)
    assert (standing.phase, standing.registered) == (OPEN, 330)
    assert is_locked(fresh.city.state)
    assert fresh.office.stage == Stage.SERVE
    assert day.office.began_ns[Stage.SERVE] < day.config.open_ns


def test_the_voting_is_final_with_everything_accounted_for(day):
    counters = get_result(day.city.state, 1).counters
    assert counters.pending == 0
    assert counters.issued == 330
    assert counters.keys == day.office.given.sum() > 380
    assert counters.failures == 0
    assert not get_failures(day.city.state, 1)
    assert not day.office.failures
    assert get_voter_status(day.city.state, 1, 7) == ISSUED


def test_batches_hold_at_most_a_hundred_and_wait_at_most_two_seconds(day):
    keys = list_sent(day, ADD_VOTER_KEYS)
    sizes = [len(transaction.payload[2]) for _, transaction in keys]
    assert sum(sizes) == day.office.given.sum()
    assert max(sizes) <= 100
    waits_ns = day.voters.columns.ballot_ns - day.voters.columns.asked_ns
    assert waits_ns.max() < 9.5 * SECOND_NS  # two for the batch, a block, and to be told


def test_a_rush_fills_batches_of_a_hundred():
    day = make_day(users=250, arrivals_s=np.full(250, 70.0), revote_ratio=0)
    day.run_until(75)
    sizes = [len(tx.payload[1]) // 8 for _, tx in list_sent(day, ISSUE_BALLOTS)]
    assert sizes == [100, 100, 50]


def test_voters_and_keys_of_a_batch_stand_in_different_orders():
    day = make_day(users=100, arrivals_s=np.full(100, 70.0), revote_ratio=0)
    day.run_until(75)
    (_, issue), (_, add) = list_sent(day, ISSUE_BALLOTS) + list_sent(day, ADD_VOTER_KEYS)
    voters = np.frombuffer(issue.payload[1], ">u8").astype(np.int64)
    rows = {day.ballots.keys[row].tobytes(): row for row in range(100)}
    added = [rows[add.payload[1][at : at + 32]] for at in range(0, 3_200, 32)]
    issued = day.electorate.rows_of_voters(voters).tolist()
    assert sorted(issued) == sorted(added) == list(range(100))
    assert issued != sorted(issued)
    assert sum(left == right for left, right in zip(issued, added, strict=True)) < 10


def test_no_box_is_opened_again_that_a_worker_has_opened(day):
    assert day.city.opened_by_chain == 0
    assert len(day.city.opened) == get_result(day.city.state, 1).counters.decrypted


def test_a_relays_crash_stops_the_service_only_until_the_desk_turns():
    day = make_day(users=80, length_s=600, arrivals_s=np.linspace(61, 200, 80))
    day.run_until(90)
    chief = day.office._desks[0]
    dead = chief.relay
    day.city.down.add(dead)
    day.run()
    assert chief.turns == 1
    assert chief.relay != dead
    assert get_result(day.city.state, 1).counters.issued == 80
    assert day.office.is_done


def test_a_relay_that_never_reports_gives_duplicates_and_nothing_twice():
    day = make_day(users=80, length_s=900, arrivals_s=np.linspace(61, 200, 80))
    day.run_until(90)
    day.city.mute.add(day.office._desks[0].relay)
    day.run()
    assert "duplicate" in {status for some in day.city.statuses.values() for status in some}
    counters = get_result(day.city.state, 1).counters
    assert (counters.issued, counters.failures) == (80, 0)
    assert counters.keys == day.office.given.sum()


def test_ballots_of_which_no_relay_told_are_found_in_the_chain_and_opened():
    day = make_day(users=60, length_s=60, arrivals_s=np.linspace(61, 119, 60))
    day.run_until(80)
    home = day.office._desks[0].relay
    day.city.mute.update({0, 1, 2, 3} - {home})
    day.run_until(200)
    day.city.mute.clear()
    while not day.office.is_done:
        day.run_until((day.city.kernel.now_ns - MIDNIGHT_NS) / SECOND_NS + 10)
        assert day.city.kernel.now_ns < MIDNIGHT_NS + 900 * SECOND_NS
    assert get_result(day.city.state, 1).counters.pending == 0


@pytest.mark.parametrize("missing", [1, 2])
def test_any_three_of_five_holders_are_enough(missing):
    day = make_day(users=20, holders_missing=missing)
    day.run()
    assert day.office.is_done


def test_with_three_holders_missing_the_votes_stay_sealed():
    day = make_day(users=20, holders_missing=3)
    day.run()
    assert day.office.is_stuck
    assert day.office.stage == Stage.SHARES
    standing = get_counters(day.city.state, 1)
    assert (standing.phase, standing.decrypted) == (CLOSED, 0)


def test_a_wrong_claim_about_a_box_is_refused_until_the_office_gives_up():
    day = make_day(users=20, revote_ratio=0)
    day.city.remember_opened = lambda box, plain: None
    day.run_until(300)
    slot = day.voters.get_stored()[0]
    day.ballots.open()
    day.ballots.plains[slot, 1] = day.ballots.plains[slot, 1] % 4 + 1
    day.run()
    assert day.office.is_stuck
    assert not day.office.is_done
    assert get_result(day.city.state, 1) is None
    assert {failure.reason for failure in get_failures(day.city.state, 1)} == {"mismatch"}
    assert day.office.failures["finalize", "ballots undecrypted"] > 1


def make_desk(city: FakeCity, window: int = 4) -> Desk:
    city.office = city.voters = None
    return Desk(city, derive("desk", 1), client=-1, relay=0, window=window,
                patience_ns=10 * SECOND_NS)


def give(desk: Desk, count: int, done: list[tuple[int, str]]) -> None:
    for number in range(count):
        desk.give(Job(13, [], lambda status, _, n=number: done.append((n, status)), 0))


def list_nonces(city: FakeCity) -> list[int]:
    return [decode_transaction(encoded, 1_000).nonce for *_, encoded in city.submitted]


def list_items(city: FakeCity, statuses: dict[int, str]):
    decoded = [decode_transaction(encoded, 1_000) for *_, encoded in city.submitted]
    return [(tx.id, statuses[tx.nonce], 0) for tx in decoded if tx.nonce in statuses]


def test_a_desk_keeps_to_its_window_and_its_order():
    city, done = FakeCity(), []
    desk = make_desk(city)
    give(desk, 7, done)
    assert list_nonces(city) == [1, 2, 3, 4]
    assert not desk.has_room
    desk.upon_final(1, list_items(city, {1: OK, 2: "refused"}))
    assert done == [(0, OK), (1, "refused")]
    assert list_nonces(city) == [1, 2, 3, 4, 5, 6]
    times = [at_ns for at_ns, *_ in city.submitted]
    assert times == sorted(times)


def test_what_a_desk_signs_is_asked_to_be_checked_ahead_once():
    city = FakeCity()
    give(make_desk(city), 3, [])
    submitted = [decode_transaction(encoded, 1_000).id for *_, encoded in city.submitted]
    assert city.asked == submitted
    assert len(submitted) == 3


def test_what_came_before_its_nonce_is_sent_again_in_order():
    city, done = FakeCity(), []
    desk = make_desk(city)
    give(desk, 3, done)
    desk.upon_final(1, list_items(city, {2: NONCE_GAP, 3: NONCE_GAP}))
    assert done == []
    desk.upon_tick(city.kernel.now_ns)
    assert list_nonces(city) == [1, 2, 3, 2, 3]
    desk.upon_final(2, list_items(city, {1: OK, 2: OK, 3: OK}))
    assert done == [(0, OK), (1, OK), (2, OK)]
    assert desk.resent == 2


def test_a_desk_that_waits_too_long_sends_everything_to_the_next_relay():
    city, done = FakeCity(), []
    desk = make_desk(city)
    give(desk, 2, done)
    now_ns = city.kernel.now_ns
    desk.upon_tick(now_ns + 9 * SECOND_NS)
    assert desk.turns == 0
    desk.upon_tick(now_ns + 11 * SECOND_NS)
    assert (desk.turns, desk.relay) == (1, 1)
    assert [relay for _, relay, *_ in city.submitted] == [0, 0, 1, 1]


def test_a_refused_transaction_is_sent_again_and_counted_once():
    city, done = FakeCity(), []
    desk = make_desk(city)
    give(desk, 1, done)
    name = list_items(city, {1: OK})[0][0]
    desk.upon_reply(1, name, "busy")
    desk.upon_tick(city.kernel.now_ns)
    assert list_nonces(city) == [1, 1]
    desk.upon_final(2, list_items(city, {1: OK}))
    assert done == [(0, OK)]
    assert desk.load == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("close_ns", 0), ("threshold", 6), ("holders_missing", 6), ("window", 0)],
)
def test_terms_out_of_range_are_refused(field, value):
    config = OfficeConfig(open_ns=10, close_ns=20)
    with pytest.raises(ConfigurationError, match=field):
        replace(config, **{field: value})
