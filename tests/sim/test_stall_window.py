"""A whole season of fairs, its invariants, and crimes that its judge must see."""

import numpy as np
import pytest

from node.services import catalogue
from node.services.fairs import APPLY, allocation, waiting
from sim.applicants import Applicants, SeasonRules
from sim.result import ExitCode, Verdict
from tests.sim.stalls import get_broken, make_window, simulate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def season():
    return simulate(make_window())


def test_a_season_passes_with_all_its_invariants(season):
    _, result = season
    assert result.verdict == Verdict.PASSED, (get_broken(result), result.thresholds)
    assert result.subject == "application"
    names = {outcome.name for outcome in result.invariants}
    assert {"quotas", "recount", "holders provable", "result published"} <= names


def test_every_application_is_counted_once(season):
    simulation, result = season
    metrics = result.metrics
    slots = simulation.people.crowd.slots
    assert slots.users < metrics["offered.count"] <= slots.count
    assert metrics["offered.count"] == metrics["accepted.count"] == metrics["final.count"]
    counted = metrics["final.count"] - metrics["failed.count"]
    assert metrics["fairs.applications.count"] == counted
    assert metrics["users.proofs_checked.count"] == metrics["fairs.applications.count"]
    assert metrics["lost.count"] == metrics["double.count"] == 0


def test_all_places_go_and_who_got_none_waits(season):
    _, result = season
    assert result.metrics["fairs.places.count"] == 23 * 4
    assert result.metrics["fairs.allocated.count"] == 23 * 4
    assert result.metrics["fairs.waiting.count"] > 0
    assert 0 <= result.metrics["fairs.inversions.ratio"] < 0.1


def test_latencies_are_measured_as_in_an_election(season):
    _, result = season
    assert result.metrics["latency.final.count"] == result.metrics["final.count"]
    assert 1 < result.metrics["latency.final.p50_s"] < 8
    assert [stage.name for stage in result.stages][:2] == ["relay", "pool"]


def test_the_number_of_workers_changes_nothing(season):
    _, result = simulate(make_window(), workers=2)
    assert result.digest == season[1].digest


def test_a_relay_that_crashes_loses_no_application():
    _, result = simulate(make_window(faults=["crash relays=2 at=09:01 for=4m"]))
    assert not get_broken(result)
    assert result.metrics["users.retries.count"] > 0
    assert result.metrics["lost.count"] == result.metrics["auditor.mismatch.count"] == 0


def test_one_applicant_for_one_place_is_a_season_too():
    _, result = simulate(make_window(users=1, sites="1", places="1", periods="1"))
    assert not get_broken(result)
    assert result.metrics["fairs.applications.count"] == 1


# Crimes.


def assert_caught(result, *names):
    assert result.verdict == Verdict.BROKEN
    assert result.verdict.exit_code == ExitCode.INVARIANT_BROKEN == 110
    assert set(names) <= set(get_broken(result))


def test_a_place_given_twice_is_caught(monkeypatch):
    honest = allocation._take_place

    def keep_free(row, period, pool):
        before = bytes(row)
        place = honest(row, period, pool)
        if place == 2:
            row[:] = before
        return place

    monkeypatch.setattr(allocation, "_take_place", keep_free)
    _, result = simulate(make_window())
    assert_caught(result, "one holder a place, one place a weekend", "quotas", "recount")
    assert result.metrics["fairs.double.count"] > 0


def test_a_second_place_on_one_weekend_is_caught(monkeypatch):
    honest = allocation._allocate_application

    def forget_what_is_held(ledger, step, number):
        granted = honest(ledger, step, number)
        for key in [key for key in ledger._transaction if key.startswith(b"fairs/held/")]:
            ledger.put(key, b"")
        return granted

    monkeypatch.setattr(allocation, "_allocate_application", forget_what_is_held)
    _, result = simulate(make_window(sites="1", places="1000", periods="1"))
    assert_caught(result, "one holder a place, one place a weekend", "recount")
    assert result.metrics["fairs.double.count"] > 0


def test_an_application_that_vanishes_is_caught(monkeypatch):
    honest = catalogue.HANDLERS[APPLY]

    def forget_some(ledger, call):
        if call.sender[0] > 16:
            honest(ledger, call)

    monkeypatch.setitem(catalogue.HANDLERS, APPLY, forget_some)
    _, result = simulate(make_window())
    assert_caught(result, "nothing lost")
    assert result.metrics["lost.count"] > 0


def test_an_application_filed_twice_is_caught(monkeypatch):
    honest = catalogue.HANDLERS[APPLY]

    def file_twice(ledger, call):
        honest(ledger, call)
        if call.sender[0] < 32:
            honest(ledger, call)

    monkeypatch.setitem(catalogue.HANDLERS, APPLY, file_twice)
    _, result = simulate(make_window())
    assert_caught(result, "nothing counted twice")
    assert result.metrics["double.count"] > 0


def test_a_waiting_list_out_of_order_is_caught(monkeypatch):
    honest = waiting._list_application
    monkeypatch.setattr(
        waiting, "_list_application",
        lambda ledger, season, pool, number, lengths: 0 if number == 3
        else honest(ledger, season, pool, number, lengths),
    )
    _, result = simulate(make_window())
    assert_caught(result, "recount")


def test_stalls_add_up_and_most_are_for_individuals():
    for places in (1, 7, 23, 2_736):
        rules = SeasonRules(
            seed=1, users=10, chain_id=bytes(8), sites=100, periods=13, places=places
        )
        stalls = rules.count_stalls()
        assert sum(map(sum, stalls.values())) == places
        assert max(map(sum, zip(*stalls.values(), strict=True))) <= -(-places // 100)
    assert sum(stalls[1, 0]) == round(0.7 * 2_736)


def test_nobody_asks_for_what_no_stall_is_for():
    rules = SeasonRules(
        seed=2, users=3_000, chain_id=bytes(8), sites=9, periods=13, places=40
    )
    applicants = Applicants(rules)
    slots = np.arange(applicants.slots.count)
    kinds = applicants.kinds_of(applicants.slots.rows_of(slots))
    trades, sites = applicants.trades_of(slots), applicants.sites_of(slots)
    assert set(trades[kinds == 0].tolist()) == {1}
    for trade in range(1, 5):
        assert applicants.has_trade(trade)[sites[trades == trade]].all()
    masks = applicants.masks_of(slots)
    assert masks.min() > 0
    assert masks.max() < 1 << 13
