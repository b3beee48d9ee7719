"""Voters' sessions against a city of one chain: every way that a session can go."""

from itertools import pairwise

import numpy as np
import pytest

from node.services.election import get_counters, get_result
from sim.door import Door
from sim.errors import ConfigurationError
from sim.voter_columns import State, compute_told
from sim.voters import Habits
from tests.sim.fake_city import MIDNIGHT_NS, SECOND_NS, check_signature, make_day


def quick(**changes) -> Habits:
    plain = {
        "read_median_ns": 10 * SECOND_NS, "revote_median_ns": 61 * SECOND_NS,
        "revote_sigma": 0.01,
    }
    return Habits(**plain | changes)


@pytest.fixture(scope="module")
def day():
    """A day on which nothing goes wrong."""
    proven = []

    def verify(relay, height, ids):
        proven.extend(ids)
        return len(ids)

    day = make_day(verify=verify)
    day.proven = proven
    day.run()
    return day


def count_told(day) -> list[list[int]]:
    told = compute_told(day.voters.columns, day.electorate)
    rules = day.electorate.rules
    tally = np.zeros((rules.districts, rules.choices + 1), int)
    known = told.slot >= 0
    np.add.at(tally, (told.district[known] - 1, told.choice[known]), 1)
    return tally.tolist()


def test_the_result_is_what_voters_intended_and_were_told(day):
    result = get_result(day.city.state, 1)
    assert [list(counts) for counts in result.tallies] == count_told(day)
    counts = day.voters.counts
    assert result.counters.stored == counts["final"] == counts["sent"]
    assert result.counters.superseded == counts["revotes"] > 5


def test_everyone_ends_and_nobody_is_left_in_doubt(day):
    states = day.voters.columns.state
    assert day.voters.is_done
    assert set(states.tolist()) == {State.FINAL, State.ABANDONED}
    assert (states == State.ABANDONED).sum() == day.voters.counts["abandoned"] > 0
    told = compute_told(day.voters.columns, day.electorate)
    assert bool((told.unsure_slot == -1).all())


def test_who_votes_again_counts_with_the_second_ballot(day):
    told = compute_told(day.voters.columns, day.electorate)
    rows = day.electorate.revoters
    assert bool((told.slot[rows] >= day.electorate.users).all())


def test_moments_of_a_session_follow_one_another(day):
    columns = day.voters.columns
    final = columns.state == State.FINAL
    moments = (
        columns.arrival_ns, columns.asked_ns, columns.ballot_ns, columns.intended_ns,
        columns.accepted_ns, columns.included_ns, columns.final_ns, columns.seen_ns,
    )
    for earlier, later in pairwise(moments):
        assert bool((earlier[final] <= later[final]).all())


def test_moments_are_exact_and_not_those_of_ticks(day):
    tick_ns = Habits().tick_ns
    columns = day.voters.columns
    for moments in (columns.intended_ns, columns.seen_ns):
        cast = moments[columns.state == State.FINAL]
        assert len(np.unique((cast - MIDNIGHT_NS) % tick_ns)) > 0.5 * len(np.unique(cast))
    sent = {at_ns for at_ns, _, client, _ in day.city.submitted if client >= 0}
    planned = columns.intended_ns + columns.mile_ns
    assert sent == set(planned[columns.state == State.FINAL].tolist())
    assert day.voters.late_ns_max <= 0


def test_the_receipt_is_seen_by_the_first_poll_after_it_is_final(day):
    columns = day.voters.columns
    final = columns.state == State.FINAL
    polls_ns = (columns.seen_ns - columns.accepted_ns - 2 * columns.mile_ns)[final]
    assert bool((polls_ns % Habits().poll_interval_ns == 0).all())
    wait_ns = (columns.seen_ns - columns.final_ns - columns.mile_ns)[final]
    assert wait_ns.min() >= 0
    assert wait_ns.max() < Habits().poll_interval_ns


def test_every_receipt_is_given_to_the_verifier_once(day):
    assert len(set(day.proven)) == len(day.proven) == day.voters.counts["proofs"]
    assert day.voters.counts["proofs"] == day.voters.counts["final"]


def test_what_workers_checked_is_remembered_and_true(day):
    ballots = [encoded for _, _, client, encoded in day.city.submitted if client >= 0]
    assert len(day.city.checked) == len(ballots)
    assert all(map(check_signature, ballots[:20]))


def test_reads_are_counted_about_a_thousand_to_a_voter(day):
    assert day.city.reads == day.voters.counts["reads"]
    assert 900 < day.city.reads / day.electorate.users < 1_300


def test_a_ballot_takes_at_most_eighty_bytes_of_columns(day):
    columns = day.voters.columns
    names = [name for kind in type(columns).__mro__[:-1] for name in kind.__slots__]
    assert sum(getattr(columns, name).itemsize for name in names) <= 80


def test_a_session_repeats_to_the_nanosecond():
    first, second = make_day(users=40), make_day(users=40)
    first.run()
    second.run()
    assert first.city.submitted == second.city.submitted
    assert first.city.state.root == second.city.state.root


def test_a_dead_relay_costs_a_retry_elsewhere_and_no_ballot():
    day = make_day(users=60, length_s=500, arrivals_s=np.linspace(61, 200, 60))
    day.run_until(100)
    day.city.down.add(2)
    day.run()
    counts = day.voters.counts
    assert counts["unanswered"] > 3
    assert [list(row) for row in get_result(day.city.state, 1).tallies] == count_told(day)
    columns = day.voters.columns
    retried = columns.tries > 1
    assert bool((columns.state[retried] == State.FINAL).all())
    assert bool((columns.relay[retried] == 3).all())
    gap_ns = (columns.sent_ns - columns.intended_ns)[retried]
    assert set(gap_ns.tolist()) == {123 * SECOND_NS}
    seen = columns.state == State.FINAL
    corrected_ns, uncorrected_ns = (
        (columns.seen_ns - since)[seen] for since in (columns.intended_ns, columns.sent_ns)
    )
    assert corrected_ns.max() > 123 * SECOND_NS > uncorrected_ns.max()


def test_a_retry_sends_the_same_bytes():
    day = make_day(users=60, length_s=500, arrivals_s=np.linspace(61, 200, 60))
    day.run_until(100)
    day.city.down.add(1)
    day.run()
    sent: dict[int, set[bytes]] = {}
    tries = 0
    for _, _, client, encoded in day.city.submitted:
        if client >= 0:
            sent.setdefault(client, set()).add(encoded)
            tries += 1
    assert tries > len(sent)
    assert all(len(variants) == 1 for variants in sent.values())


def test_a_relay_that_never_reports_makes_ballots_repeated_but_not_doubled():
    day = make_day(users=60, length_s=600, arrivals_s=np.linspace(61, 200, 60))
    day.run_until(100)
    day.city.mute.add(3)
    day.run()
    counts = day.voters.counts
    assert counts["unconfirmed"] == counts["repeated"] > 3
    result = get_result(day.city.state, 1)
    assert result.counters.stored == counts["final"]
    assert [list(row) for row in result.tallies] == count_told(day)


def test_an_outage_is_amplified_by_retries_until_clients_give_up():
    habits = quick(retry_delay_ns=2 * SECOND_NS, tries_max=4)
    day = make_day(users=30, length_s=400, habits=habits, arrivals_s=np.linspace(61, 90, 30))
    day.city.verdict = "busy"
    day.run()
    counts = day.voters.counts
    casting = 30 - counts["abandoned"]
    assert counts["gave_up"] == casting
    assert counts["sent"] == day.voters.refusals["busy"] == 4 * casting
    told = compute_told(day.voters.columns, day.electorate)
    assert (told.unsure_slot >= 0).sum() == casting


def test_the_door_keeps_the_hall_from_overflowing():
    day = make_day(users=60, length_s=900, habits=quick(door_concurrency_max=5),
                   arrivals_s=np.linspace(61, 70, 60), revote_ratio=0)
    day.run()
    assert day.voters.active_max == 5
    columns = day.voters.columns
    doors_ns = (columns.asked_ns - columns.arrival_ns)[columns.asked_ns > 0]
    assert doors_ns.min() == 0
    assert doors_ns.max() > 100 * SECOND_NS
    assert [list(row) for row in get_result(day.city.state, 1).tallies] == count_told(day)


def test_who_still_stands_at_the_door_at_the_close_is_turned_away():
    day = make_day(users=60, length_s=60, habits=quick(door_concurrency_max=2),
                   arrivals_s=np.linspace(61, 70, 60))
    day.run()
    away = (day.voters.columns.state == State.TURNED_AWAY).sum()
    assert away == day.voters.counts["turned_away"] > 20
    assert day.voters.is_done
    assert day.office.is_done


def test_a_ballot_after_the_grace_is_refused_as_late_and_not_counted():
    habits = quick(read_median_ns=60 * SECOND_NS, read_sigma=0.1)
    day = make_day(users=30, length_s=60, grace_s=20, habits=habits,
                   arrivals_s=np.linspace(70, 119, 30))
    day.run()
    late = day.voters.counts["late"]
    assert late == day.voters.refusals["late"] > 0
    assert get_counters(day.city.state, 1).stored == day.voters.counts["final"] > 0
    told = compute_told(day.voters.columns, day.electorate)
    assert (told.slot < 0).sum() == late + day.voters.counts["abandoned"]


def test_who_asks_when_no_more_are_issued_gets_no_ballot():
    day = make_day(users=20, length_s=60, grace_s=0, arrivals_s=np.linspace(118.5, 119.9, 20))
    day.run()
    assert day.voters.counts["no_ballot"] == 20
    assert day.voters.is_done


def test_the_door_admits_in_order_of_arrival():
    door = Door(3)
    assert door.admit(5, 0) == range(3)
    assert door.admit(5, 2) == range(3, 4)
    assert door.admit(9, 3) == range(4, 4)
    assert door.waiting == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [("tick_ns", 0), ("tries_max", 300), ("polls_max", 0), ("retry_delay_ns", 1)],
)
def test_habits_out_of_range_are_refused(field, value):
    with pytest.raises(ConfigurationError, match=field):
        Habits(**{field: value})


def test_a_door_without_room_is_refused():
    with pytest.raises(ConfigurationError, match="door_concurrency_max"):
        Door(0)
