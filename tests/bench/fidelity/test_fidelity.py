"""One load on both hosts: what is due, what follows from a trace, the table, and tiny runs."""

import json
import os
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.cluster.errors import ClusterFailed
from bench.fidelity.command import DISTURBED, Setup, make_label, require_calm
from bench.fidelity.compare import (
    HALF,
    KINDS,
    SATURATED,
    Kind,
    Row,
    build_json,
    compare,
    format_markdown,
    format_rows,
    require_equal,
)
from bench.fidelity.load import (
    OUTSTANDING,
    SECOND_NS,
    Load,
    Pacer,
    build_town,
    make_loopback,
)
from bench.fidelity.real import KilledTooLate, RealRun, read_cpu_s
from bench.fidelity.speed import Speeds, compute_speeds, compute_usual_ns
from bench.fidelity.trace import (
    Look,
    SeenBlock,
    Spent,
    Trace,
    compute_recovery_s,
    describe_saturation,
    describe_steady,
)
from bench.fidelity.virtual import VirtualRun
from bench.figures import MeasurementFailed
from bench.speedometer import Speedometer
from node.work import WorkKind
from sim.costs import Contention, Speed, load_costs

BEGIN_NS = 100 * SECOND_NS
LOAD = Load(rate_per_s=10, seconds=6, warm_s=1, cool_s=1)
PROFILE = make_loopback(20_000, 200_000)


def make_trace(load=LOAD, **changes):
    """10 ballots a second; each block has those of a second, and is final half a second on."""
    count = 60
    intended = [BEGIN_NS + number * SECOND_NS // 10 for number in range(count)]
    ids = [bytes([number]) for number in range(count)]
    blocks = []
    for height in range(1, 8):
        proposed_ns = BEGIN_NS + height * SECOND_NS
        final_ns = proposed_ns + SECOND_NS // 2
        own = tuple(ids[10 * (height - 1) : 10 * height])
        blocks.append(SeenBlock(height, proposed_ns, final_ns, (final_ns + 1_000,), own))
    trace = Trace(
        host="fake", load=load, begin_ns=BEGIN_NS, ids=ids, intended_ns=intended,
        accepted_ns=[at_ns + 5_000_000 for at_ns in intended], relay_of=[0] * count,
        blocks=blocks, spent=Spent(0.004, 0.001, 0.0005), spent_over_s=4.0,
        sent_bytes=60_000, sent_frames=120, transactions=60, granted_root=b"r",
        head_root=b"h", is_replayed=True,
    )
    return replace(trace, **changes)


def test_an_open_load_intends_at_its_rate_and_hands_in_what_is_due():
    pacer = Pacer(LOAD, BEGIN_NS, 1_000)
    assert pacer.take(BEGIN_NS, 0) == range(0)
    assert pacer.take(BEGIN_NS + SECOND_NS, 0) == range(10)
    assert pacer.take(BEGIN_NS + 100 * SECOND_NS, 0) == range(10, 60)
    assert pacer.intended_ns[:2] == [BEGIN_NS, BEGIN_NS + SECOND_NS // 10]


def test_a_load_that_saturates_keeps_so_many_under_way_while_ballots_last():
    pacer = Pacer(Load(rate_per_s=0, seconds=10), BEGIN_NS, OUTSTANDING + 50)
    assert len(pacer.take(BEGIN_NS, 0)) == OUTSTANDING
    assert len(pacer.take(BEGIN_NS + 1, 0)) == 0
    assert len(pacer.take(BEGIN_NS + 2, 20)) == 20
    assert len(pacer.take(BEGIN_NS + 3, 500)) == 30
    assert pacer.intended_ns[-1] == BEGIN_NS + 3


def test_throughput_counts_between_the_first_and_the_last_steady_block():
    figures = describe_steady(make_trace())
    assert figures["throughput_per_s"] == pytest.approx(10)
    assert figures["block_s"] == pytest.approx(1)
    assert figures["consensus_s"] == pytest.approx(0.5)


def test_waits_count_from_the_moment_that_was_intended():
    figures = describe_steady(make_trace())
    assert figures["accepted_p50_s"] == pytest.approx(0.005)
    assert figures["included_p50_s"] == pytest.approx(0.55)
    assert figures["final_p50_s"] == pytest.approx(1.05, abs=1e-5)
    assert figures["final_p99_s"] == pytest.approx(1.5, abs=0.01)


def test_a_ballot_that_is_lost_is_not_passed_over():
    trace = make_trace()
    trace.blocks.pop(2)
    with pytest.raises(AssertionError, match="is not final"):
        describe_steady(trace)


def test_a_ballot_without_a_verdict_is_not_passed_over():
    trace = make_trace()
    trace.accepted_ns[30] = 0
    with pytest.raises(AssertionError, match="ballot 30 has no verdict"):
        describe_steady(trace)


def test_what_it_costs_is_told_by_transaction_and_by_who_spent_it():
    figures = describe_saturation(make_trace())
    assert figures["capacity_per_s"] == pytest.approx(10)
    assert figures["validators_us"] == pytest.approx(100)
    assert figures["relays_us"] == pytest.approx(25)
    assert figures["driver_us"] == pytest.approx(12.5)
    assert figures["bytes"] == 1_000
    assert figures["frames"] == 2


def test_recovery_lasts_from_the_kill_until_the_next_block():
    trace = make_trace(killed_ns=BEGIN_NS + 3 * SECOND_NS, killed_height=3)
    assert compute_recovery_s(trace) == pytest.approx(1.5)


def make_rows():
    steady = {kind.figure: 2.0 for kind in KINDS if kind.load == HALF}
    other = {**steady, "final_p50_s": 1.85, "final_p99_s": 1.7}
    return compare({HALF: [steady, steady]}, {HALF: [other, other]})


def test_a_table_has_the_loads_that_both_hosts_ran():
    rows = make_rows()
    assert {row.kind.load for row in rows} == {HALF}
    assert compare({SATURATED: [{}]}, {}) == []


def test_a_ratio_is_the_median_of_the_repeats_and_near_within_a_tenth():
    kind = Kind(HALF, "x", "x", "s", has_target=True)
    row = Row(kind, (1.0, 2.0, 9.0), (0.9, 1.9, 50.0))
    assert row.ratio == pytest.approx(2 / 1.9)
    assert row.is_near is True
    assert Row(kind, (1.0,), (2.0,)).is_near is False
    assert Row(replace(kind, has_target=False), (1.0,), (2.0,)).is_near is None
    assert Row(kind, (1.0,), (0.0,)).ratio == np.inf


def test_both_tables_say_what_is_near_and_what_is_not():
    text, markdown = format_rows(make_rows()), format_markdown(make_rows())
    assert "1.08 ok" in text
    assert "1.18 no" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "| final p99 | ms | 2,000 | 1,700 | 1.18 no |" in markdown


def test_the_file_holds_both_hosts_values_and_the_table_of_costs():
    speeds = {HALF: [[0.9]]}
    content = build_json(make_rows(), {"relays": 1}, load_costs(), b"\1", speeds, [0.02])
    content = json.loads(json.dumps(content))
    assert content["figures"]["half.final_p50_s"]["near"] is True
    assert content["figures"]["half.final_p50_s"]["measured"] == [1.85, 1.85]
    assert content["costs"]["name"] == load_costs().name
    assert content["granted_root"] == "01"
    assert content["speeds"] == {HALF: [[0.9]]}
    assert content["costs"]["contention_ratio"] == 1


def test_states_that_differ_are_a_failure():
    assert require_equal("roots", [b"a", b"a"]) == b"a"
    with pytest.raises(MeasurementFailed, match="roots: 61, 62"):
        require_equal("roots", [b"a", b"b"])


def test_a_machine_that_others_used_is_no_place_for_a_comparison():
    require_calm([0.0, DISTURBED])
    with pytest.raises(MeasurementFailed, match=r"others had up to 0\.75 cores"):
        require_calm([0.0, 0.75])


def test_the_processor_time_of_a_process_that_is_down_is_none():
    assert read_cpu_s(None) == 0


CHECK_NS = load_costs().ns[WorkKind.CHECK_SIGNATURE]


@pytest.mark.parametrize(("busy_s", "expected"), [(8.0, 0.75), (4.0, 0.625), (0.0, 0.5)])
def test_what_contention_explains_of_a_slow_check_is_not_counted_as_speed_too(busy_s, expected):
    costs = replace(load_costs(), contention=Contention(ratio=1.5))
    looks = [Look(BEGIN_NS, 2 * CHECK_NS, 10_000)]
    trace = make_trace(spent=Spent(0, 0, 0, busy_s), spent_over_s=4.0, looks=looks)
    speeds = compute_speeds(costs, 20_000, trace, 2)
    assert len(speeds.seconds) == 6
    for speed in speeds.seconds:
        assert speed.crypto_ratio == pytest.approx(expected)
        assert speed.other_ratio == pytest.approx(4 * expected)
    assert speeds.stretch_ratio == pytest.approx(1 / 2)


def test_each_second_has_its_own_speed_and_one_without_a_look_that_before_it():
    took = {1: 1.0, 1.5: 3.0, 3: 4.0, 7: 100.0}  # the last is after the load
    looks = [Look(BEGIN_NS + round(at_s * SECOND_NS), CHECK_NS * ratio, 20_000)
             for at_s, ratio in took.items()]
    speeds = compute_speeds(load_costs(), 20_000, make_trace(looks=looks), 1)
    mean = 4 / sum(took.values())
    assert [speed.crypto_ratio for speed in speeds.seconds] == pytest.approx(
        [mean, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 4]
    )
    assert {speed.other_ratio for speed in speeds.seconds} == {1}


def test_what_is_usual_is_the_median():
    assert compute_usual_ns([Look(1, 3, 10), Look(2, 1, 90), Look(3, 2, 20)]) == 20


def test_who_could_not_look_says_so():
    with pytest.raises(MeasurementFailed, match="nobody could look"):
        compute_speeds(load_costs(), 20_000, make_trace(), 2)


class Recorder(Speedometer):
    """Notes on which cores it looks; a third look fails."""

    def __init__(self):
        super().__init__()
        self.used = []

    def _time(self):
        self.used.append(os.sched_getaffinity(0))
        if len(self.used) > 2:
            raise ValueError("nobody looks")
        return super()._time()


def test_a_speedometer_tells_what_a_check_takes_on_each_core_in_its_turn():
    cores = os.sched_getaffinity(0)
    speed = Recorder()
    for _ in range(2):
        speed.look()
    with pytest.raises(ValueError, match="nobody looks"):
        speed.look()
    turns = sorted(cores) * 3
    assert speed.used == [{core} for core in turns[:3]]
    assert os.sched_getaffinity(0) == cores
    first, second = speed.looks
    assert first.at_ns < second.at_ns
    assert 5_000 < first.crypto_ns < 5_000_000
    assert 1_000 < first.other_ns < 1_000_000


def make_town(voters):
    return build_town(validators=4, relays=1, voters=voters, profile=PROFILE)


@pytest.mark.slow
def test_virtual_peers_on_one_machine_tell_the_same_twice():
    town, load = make_town(300), Load(rate_per_s=40, seconds=6, warm_s=1, cool_s=1)
    traces = [
        VirtualRun(town, load, load_costs(), cores=2, driver_us=20).run() for _ in range(2)
    ]
    assert describe_steady(traces[0]) == describe_steady(traces[1])
    assert describe_steady(traces[0])["throughput_per_s"] == pytest.approx(40, rel=0.01)
    spent = [describe_steady(trace)["validators_us"] for trace in traces]
    half, quarter = (Speed(crypto_ratio=ratio, other_ratio=ratio) for ratio in (0.5, 0.25))
    for seconds in ((half,), (Speed(), quarter, Speed())):
        slow = VirtualRun(
            town, load, load_costs(), cores=2, driver_us=20, speeds=Speeds(seconds)
        ).run()
        spent.append(describe_steady(slow)["validators_us"])
    assert describe_steady(slow)["driver_us"] == pytest.approx(20 * 1.75, rel=0.3)
    assert spent[2] == pytest.approx(2 * spent[0], rel=0.2)
    assert 1.3 * spent[0] < spent[3] < 2.2 * spent[0], "one second of four is four as long"


@pytest.mark.slow
def test_what_strangers_take_of_the_machine_the_town_has_not():
    town, load = make_town(300), Load(rate_per_s=40, seconds=6, warm_s=1, cool_s=1)
    alone, beside = (
        VirtualRun(town, load, load_costs(), cores=1, driver_us=20, strangers=strangers)
        for strangers in (0.0, 0.5)
    )
    waited = [describe_steady(run.run())["accepted_p50_s"] for run in (alone, beside)]
    assert (beside.cores.busy_ns - alone.cores.busy_ns) / 1e9 == pytest.approx(3, rel=0.02)
    assert waited[1] > waited[0], "on one core"


@pytest.mark.slow
def test_contention_is_charged_in_full_at_saturation_and_hardly_where_peers_seldom_meet():
    town = make_town(20_000)
    spent = {}
    for rate_per_s in (0, 20):
        load = Load(rate_per_s=rate_per_s, seconds=5, warm_s=1, cool_s=1)
        for ratio in (1.0, 1.5):
            costs = replace(load_costs(), contention=Contention(ratio=ratio))
            run = VirtualRun(town, load, costs, cores=2, driver_us=8)
            transactions = run.run().transactions
            spent[rate_per_s, ratio] = run.cores.busy_ns / transactions
    full = spent[0, 1.5] / spent[0, 1.0]
    assert full == pytest.approx(1.5, rel=0.1)
    seldom = spent[20, 1.5] / spent[20, 1.0]
    assert 1 < seldom < full - 0.05


@pytest.mark.slow
def test_processes_and_virtual_peers_reach_the_same_state_and_recover_from_a_kill(tmp_path):
    load = Load(rate_per_s=20, seconds=8, warm_s=1, cool_s=1, kills=True)
    town = make_town(200)
    for number in range(5):  # a machine that stands still cannot kill in time
        with suppress(KilledTooLate):
            real = RealRun(town, load, tmp_path / str(number)).run()
            break
    twin = VirtualRun(town, load, load_costs(), cores=2, driver_us=20).run()
    assert real.granted_root == twin.granted_root
    assert real.is_replayed
    assert len(real.looks) > 20
    # whoever hands in has a clock: on a machine that stands still it hands in less at the end
    assert 0 < len(real.intended_ns) <= 160
    grants = twin.transactions - len(twin.intended_ns)
    assert real.transactions == len(real.intended_ns) + grants
    assert 2 < compute_recovery_s(real) < 8
    assert 2 < compute_recovery_s(twin) < 8


@pytest.mark.slow
def test_a_process_that_does_not_start_ends_the_run_in_a_sentence(tmp_path):
    run = RealRun(make_town(1), LOAD, tmp_path)
    (tmp_path / "validator-1" / "node.toml").unlink()
    with pytest.raises(ClusterFailed, match="validator-1 ended by itself, exit code"):
        run.run()


def test_the_command_names_its_options_and_refuses_a_table_that_is_none(tmp_path):
    answer = CliRunner().invoke(main, ["fidelity", "--help"])
    assert answer.exit_code == 0
    assert "--costs" in answer.output
    costs = tmp_path / "costs.json"
    costs.write_text("{}", encoding="utf-8")
    answer = CliRunner().invoke(main, ["fidelity", "--costs", str(costs)])
    assert answer.exit_code == 1
    assert "it is no table of costs" in answer.output


def test_what_was_not_measured_is_not_kept():
    answer = CliRunner().invoke(main, ["fidelity", "--keep", "--rate", "100"])
    assert answer.exit_code == 2
    assert "--keep wants the capacity" in answer.output


def test_the_rows_with_a_target_make_the_label_of_later_results():
    rows = [Row(kind, (1.0,), (2.0,)) for kind in KINDS]
    setup = Setup(validators=4, relays=1, cores=2, seconds=20.0, repeats=3, rate_per_s=0.0)
    label = make_label(rows, setup)
    assert label.capacity_ratio == label.final_p50_ratio == label.final_p99_ratio == 0.5
    assert (label.validators, label.relays, label.cores) == (4, 1, 2)
