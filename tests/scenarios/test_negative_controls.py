"""Planted crimes: each must be caught by the judge, named, and end with exit code 110."""

from dataclasses import replace

import pytest

import veche
from node.block import Seal, compute_seal_message, make_block, make_header
from node.consensus.quorum import compute_quorum
from node.inputs import Role
from node.receipt import OK
from node.services import catalogue, fairs
from node.services.election import RESOLVE_REVOTES, STORE_BALLOT, get_result, tally
from node.services.election.records import (
    SPOILED,
    make_voter_prefix,
    pack_settled,
    unpack_settled,
)
from node.services.fairs import allocation
from node.validation import compute_bundles_root
from node.wire import frame_block, frame_given
from sim.result import ExitCode, Verdict
from sim.scenario import load_scenario
from sim.simulation import Simulation
from tests.scenarios.small import get_broken, make_small, run, watch

SECOND_NS = 1_000_000_000


def get_key(simulation, row):
    """The one-time key of a voter's first ballot; workers may not have made it before."""
    ballots = simulation.people._ballots
    ballots.need(row)
    return ballots.keys[row].tobytes()


def plant(monkeypatch, kind, crime):
    """Handle transactions of ``kind`` by ``crime(honest, ledger, call)``."""
    honest = catalogue.HANDLERS[kind]
    monkeypatch.setitem(
        catalogue.HANDLERS, kind, lambda ledger, call: crime(honest, ledger, call)
    )


def assert_broken(result, *names):
    assert result.verdict is Verdict.BROKEN, (result.verdict, result.note)
    assert result.exit_code == ExitCode.INVARIANT_BROKEN == 110
    assert set(names) <= set(get_broken(result)), result.invariants


@pytest.mark.slow
def test_without_a_crime_the_same_election_passes():
    result = run(make_small())
    assert result.verdict is Verdict.PASSED
    assert get_broken(result) == []
    assert result.metrics["lost.count"] == 0


@pytest.mark.slow
def test_a_ballot_that_vanishes_after_its_receipt_is_caught(monkeypatch):
    simulation = Simulation(make_small(abandon_ratio=0.0))
    victim = get_key(simulation, 7)

    def forget(honest, ledger, call):
        if call.sender != victim:
            honest(ledger, call)

    plant(monkeypatch, STORE_BALLOT, forget)
    result = simulation.run(watch)
    assert_broken(result, "nothing lost")
    assert result.metrics["lost.count"] == 1


@pytest.mark.slow
def test_a_ballot_that_the_tally_spoils_is_caught(monkeypatch):
    honest = tally._open_ballots

    def spoil_one(ledger, call, voting, terms, keys, plains):
        failures, counts = honest(ledger, call, voting, terms, keys, plains)
        place = make_voter_prefix(voting) + keys[:32]
        _, district, sequence, choice = unpack_settled(ledger.get(place))
        ledger.put(place, pack_settled(SPOILED, district, sequence, 0))
        counts[district][choice] -= 1
        counts[district][0] += 1
        return failures, counts

    monkeypatch.setattr(tally, "_open_ballots", spoil_one)
    result = run(make_small())
    assert_broken(result, "nothing lost", "recount")
    assert result.metrics["lost.count"] == 1
    assert result.metrics["tally.spoiled.count"] == 1


@pytest.mark.slow
def test_a_tally_that_never_opens_a_ballot_does_not_pass(monkeypatch):
    """The chain refuses to finalize with a ballot pending, so there is no result."""
    honest = tally._open_ballots

    def skip_one(ledger, call, voting, terms, keys, plains):
        failures, counts = honest(ledger, call, voting, terms, keys[32:], plains[16:])
        return [*failures, ("mismatch", keys[:32])], counts

    monkeypatch.setattr(tally, "_open_ballots", skip_one)
    result = run(make_small())
    assert_broken(result, "result published")
    assert "finalize" in str(result.invariants)


@pytest.mark.slow
def test_a_ballot_that_is_tallied_as_another_choice_is_caught(monkeypatch):
    honest = tally._add_to_tally

    def favour_the_first(ledger, voting, district, counted):
        moved = [counted[0], sum(counted[1:]), *([0] * len(counted[2:]))]
        honest(ledger, voting, district, moved)

    monkeypatch.setattr(tally, "_add_to_tally", favour_the_first)
    result = run(make_small())
    assert_broken(result, "recount")
    assert result.metrics["auditor.mismatch.count"] > 0


@pytest.mark.slow
def test_a_voter_who_counts_twice_is_caught(monkeypatch):
    simulation = Simulation(make_small(revote_ratio=0.5, abandon_ratio=0.0))
    voters = simulation.people.voters
    voters._habits = replace(
        voters._habits, revote_median_ns=30 * SECOND_NS, revote_sigma=0.1,
        read_median_ns=6 * SECOND_NS,
    )
    plant(monkeypatch, RESOLVE_REVOTES, lambda honest, ledger, call: None)
    result = simulation.run(watch)
    assert result.metrics["users.revoted.count"] > 0
    assert_broken(result, "nothing counted twice")
    assert result.metrics["double.count"] > 0


@pytest.mark.slow
def test_a_ballot_that_the_tally_counts_twice_is_caught(monkeypatch):
    honest = tally._add_to_tally

    def stuff(ledger, voting, district, counted):
        more = counted[:]
        more[1] += 1
        honest(ledger, voting, district, more)

    monkeypatch.setattr(tally, "_add_to_tally", stuff)
    result = run(make_small())
    assert result.verdict is Verdict.BROKEN
    assert result.exit_code == 110


def make_window():
    """A season so small that applicants must compete."""
    return load_scenario("stall-window").with_overrides(users=60, peers=14, settings={
        "starts": "08:58", "closes": "09:10", "sites": "2", "periods": "3", "places": "60",
    })


@pytest.mark.slow
def test_without_a_crime_the_same_season_of_fairs_passes():
    result = run(make_window())
    assert get_broken(result) == []
    assert result.metrics["fairs.allocated.count"] > 20
    assert result.metrics["fairs.double.count"] == 0


@pytest.mark.slow
def test_a_place_that_is_given_twice_is_caught(monkeypatch):
    honest = allocation._take_place

    def share(row, period, pool):
        place = honest(row, period, pool)
        return None if place is None else place & ~1

    monkeypatch.setattr(allocation, "_take_place", share)
    result = run(make_window())
    assert_broken(result, "one holder a place, one place a weekend")
    assert result.metrics["fairs.double.count"] > 0


@pytest.mark.slow
def test_a_second_place_on_one_weekend_against_the_rule_is_caught(monkeypatch):
    monkeypatch.setattr(allocation, "_has_site", lambda held, site: False)
    for name in ("_FIRST_ROUND", "_LATER_ROUNDS"):
        stages = getattr(allocation, name)
        lax = tuple((pool, allocation._MORE) for pool, _ in stages)
        monkeypatch.setattr(allocation, name, lax)
    result = run(make_window())
    assert result.verdict is Verdict.BROKEN
    assert "recount" in get_broken(result)


@pytest.mark.slow
def test_an_application_that_vanishes_after_its_receipt_is_caught(monkeypatch):
    count = []

    def forget_some(honest, ledger, call):
        # By content, for a block is executed more than once.
        if call.sender[0] >= 32:
            honest(ledger, call)
        else:
            count.append(call.sender)

    plant(monkeypatch, fairs.APPLY, forget_some)
    result = run(make_window())
    assert count
    assert_broken(result, "nothing lost")


def forge(simulation, node, height, sealers=None):
    """An empty block at ``height`` upon the node's chain, truly sealed by the validators."""
    city, chain = simulation.city, node.chain
    parent = chain.get_header(height - 1)
    nothing = compute_bundles_root([])
    # The state is that of the parent, so the block is valid in all but being a second one.
    header = make_header(
        parent.chain_id, height, parent.digest,
        parent.time_ns + city.params.block_interval_ns + 1, parent.validators[0], nothing,
        nothing, parent.state_root, parent.validators, None,
    )
    message = compute_seal_message(header.chain_id, height, 0, header.digest)
    keys = {identity.public: identity for identity in city.identities}
    count = compute_quorum(len(parent.validators)) if sealers is None else sealers
    seals = tuple(
        Seal(index, keys[key].sign(message))
        for index, key in enumerate(parent.validators[:count])
    )
    return make_block(header, 0, seals, ())


def feed(simulation, at_s, offset, sealers=None, frame=frame_block):
    """At ``at_s`` give the last observer a forged block, ``offset`` above its head."""
    city = simulation.city
    observer = city.topology.get_indices(Role.OBSERVER)[-1]

    def do(_):
        node = city.get_node(observer)
        block = forge(simulation, node, node.chain.height + offset, sealers)
        source = city.topology.neighbours[observer][0]
        assert city.peers[observer].receive(source, frame(block.encoded))

    simulation.kernel.at(simulation.start_ns + at_s * SECOND_NS, do, None)


@pytest.mark.slow
@pytest.mark.parametrize(("offset", "frame"), [
    (0, frame_block), (-3, frame_block), (1, frame_block),
    (1, lambda encoded: frame_given([encoded])),
])
def test_a_second_sealed_block_at_a_height_is_a_fork(offset, frame):
    simulation = Simulation(make_small())
    feed(simulation, 100, offset, frame=frame)
    result = simulation.run(watch)
    assert_broken(result, "one chain")
    assert result.metrics["forks.count"] == 1
    assert "one chain" in result.note


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0, 1])
def test_a_second_block_without_a_quorum_of_seals_is_only_a_lie(offset):
    simulation = Simulation(make_small())
    feed(simulation, 100, offset, sealers=2)
    result = simulation.run(watch)
    assert result.verdict is Verdict.PASSED, (result.note, result.invariants)
    assert simulation.city.refused["reject", "too few seals"] == 1
    assert simulation.city.refused["disconnect", "too few seals"] == 1


@pytest.mark.slow
def test_a_broken_invariant_is_the_exit_code_of_the_command(monkeypatch, tmp_path, capsys):
    def forget(honest, ledger, call):
        assert OK == "ok"

    plant(monkeypatch, STORE_BALLOT, forget)
    code = veche.answer([
        "run", "smoke", "--users", "40", "--peers", "20", "--workers", "0",
        "--set", "starts=07:58", "--set", "closes=08:05", "--set", "grace_s=60",
        "--out", str(tmp_path / "run"),
    ])
    assert code == 110
    shown = capsys.readouterr().out
    assert "BROKEN" in shown
    assert "nothing lost" in shown


@pytest.mark.slow
def test_with_three_of_five_keyholders_missing_the_votes_stay_sealed():
    simulation = Simulation(make_small(keyholders_missing=3))
    result = simulation.run(watch)
    assert get_result(simulation.city.read_final_state(), 1) is None
    assert result.metrics["tally.counted.count"] == 0
    assert result.metrics["lost.count"] == 0
    assert get_broken(result) == []
    assert "too few holders" in result.note
    assert "no result was published" in [outcome.detail for outcome in result.invariants]
    assert result.metrics["virtual_s"] < 3_600


@pytest.mark.slow
def test_with_two_of_five_keyholders_missing_the_votes_are_counted():
    result = run(make_small(keyholders_missing=2))
    assert result.verdict is Verdict.PASSED
    assert result.metrics["tally.counted.count"] > 0
