"""Each measurement at a tiny size: it runs, and its figures can be what they claim."""

import json

import pytest
from click.testing import CliRunner

from bench.__main__ import NAMES, Settings, list_measurements, main
from bench.elections import Day, Outcome, measure_election, measure_linearity
from bench.figures import SCHEMA, Figure, MeasurementFailed, Target, build_report
from bench.floor import measure_floor
from bench.kernel import measure_kernel
from bench.memory import measure_observer
from bench.nodes import Load, Recording, measure_nodes, record, replay
from bench.table import WIDTH, format_number, format_table
from bench.transactions import measure_transactions
from node.inputs import Started
from sim.topology import TopologyConfig

TINY = TopologyConfig(validators=4, relays=4, observers=6)
TINY_DAY = Day(
    users=5, peers=10, workers=0, settings=(
        ("starts", "07:56"), ("opens", "08:00"), ("closes", "08:01"), ("grace_s", "5"),
    ),
)


def check(figures, names):
    assert [figure.name for figure in figures] == names
    assert all(value > 0 for figure in figures for value in figure.values)
    assert all(len(line) <= WIDTH for line in format_table(figures).splitlines())


def test_the_kernel_is_timed_with_as_many_values_as_repeats():
    figures = measure_kernel(3, events=2_000)
    check(figures, ["kernel.events_per_s"])
    assert len(figures[0].values) == 3


def test_nodes_are_timed_with_and_without_ballots():
    figures = measure_nodes(2, config=TINY, blocks=2, ballots_per_block=3)
    check(figures, [
        "node.events_per_s", "node.events_busy_per_s", "city.events_per_s",
        "city.events_per_block_peer",
    ])


def test_a_recording_begins_with_the_start_of_every_peer_and_has_each_block_after():
    recording = record(Load(config=TINY, blocks=2))
    peers = {item.peer for item in recording.log if isinstance(item.happened, Started)}
    assert peers == set(range(TINY.peers))
    assert 0 < recording.steady < len(recording.log)
    assert len(set(recording.heads)) == 1
    # each peer is given each block, and validators each other's prepares and commits
    least = 2 * (TINY.peers + 4 * 3 * 2) - 2 * TINY.validators
    assert len(recording.log) - recording.steady >= least


def test_a_replay_that_ends_on_other_heads_is_refused():
    made = record(Load(config=TINY, blocks=2))
    other = Recording(
        idle=made.idle, started_ns=made.started_ns, log=made.log, steady=made.steady,
        heads=(bytes(32), *made.heads[1:]), ballots=[],
    )
    with pytest.raises(MeasurementFailed, match="other heads"):
        replay(other)


def test_a_ballots_steps_are_timed_and_execution_costs_more_than_its_parts():
    figures = measure_transactions(2, ballots=120)
    check(figures, [
        f"transaction.{name}_ns"
        for name in ("encode", "decode", "execute", "state_root", "receipt")
    ])
    medians = {figure.name: figure.median for figure in figures}
    assert medians["transaction.execute_ns"] > medians["transaction.receipt_ns"]


def test_an_observers_bytes_are_those_by_which_a_city_grows():
    held, grown = measure_observer(1, observers=6, blocks=2)
    assert held.name == "observer.bytes"
    assert 500 < held.median < 50_000
    assert grown.name == "observer.bytes_per_block"


def test_the_crypto_floor_is_timed_per_ballot_and_per_block():
    check(measure_floor(2, sample=5), ["crypto.ballot_ns", "crypto.block_ns"])


@pytest.mark.slow
def test_an_election_is_timed_in_a_process_of_its_own():
    figures = measure_election(1, TINY_DAY)
    check(figures, [
        f"election.{name}"
        for name in ("wall_s", "main_s", "crypto_floor_s", "wall_over_floor", "rss_mb")
    ])
    medians = {figure.name: figure.median for figure in figures}
    ratio = medians["election.wall_s"] / medians["election.crypto_floor_s"]
    assert medians["election.wall_over_floor"] == pytest.approx(ratio)


def run_fake_day(day):
    wall_s = 2 + day.users / 10
    return Outcome(wall_s=wall_s, main_s=wall_s, floor_s=1.0, rss_mb=100.0)


def test_linearity_compares_a_day_with_one_of_ten_times_the_users():
    figures = measure_linearity(1, TINY_DAY, run=run_fake_day)
    medians = {figure.name: figure.median for figure in figures}
    assert medians["linearity.few_wall_s"] == pytest.approx(2.5)
    assert medians["linearity.wall_ratio"] == pytest.approx(7 / 2.5)
    assert medians["linearity.user_us"] == pytest.approx(100_000)
    assert medians["linearity.net_ratio"] == pytest.approx(4.9 / 0.4)


def test_a_net_ratio_of_nothing_but_noise_is_left_out():
    figures = measure_linearity(
        1, TINY_DAY, run=lambda day: Outcome(wall_s=2, main_s=2, floor_s=1, rss_mb=9)
    )
    assert "linearity.net_ratio" not in {figure.name for figure in figures}


def test_the_report_has_schema_machine_settings_and_figures_by_name():
    figure = Figure(
        name="a.b_ns", unit="ns", values=(3.0, 1.0, 2.0), about="x",
        target=Target(sense="<=", value=2),
    )
    bare = Figure(name="c", unit="", values=(0.0,), about="y")
    report = json.loads(json.dumps(build_report([figure, bare], {"users": 5})))
    assert sorted(report) == ["figures", "machine", "schema", "settings"]
    assert report["schema"] == SCHEMA
    assert sorted(report["machine"]) == ["cores", "load", "processor", "python", "system"]
    assert report["figures"]["a.b_ns"] == {
        "unit": "ns", "median": 2.0, "min": 1.0, "max": 3.0, "repeats": 3, "about": "x",
        "target": {"sense": "<=", "value": 2, "met": True},
    }
    assert report["figures"]["c"]["target"] is None


@pytest.mark.parametrize(("sense", "value", "met"), [
    (">=", 10, True), (">=", 10.1, False), ("<=", 10, True), ("<=", 9.9, False),
])
def test_a_target_is_met_on_its_edge_and_beyond(sense, value, met):
    assert Target(sense=sense, value=value).is_met(10.0) is met


@pytest.mark.parametrize(("value", "text"), [
    (0, "0"), (1_234_567.8, "1,234,568"), (12.345, "12.35"), (0.0123, "0.012"),
    (0.00012, "1.20e-04"), (-3.5, "-3.500"),
])
def test_numbers_are_short(value, text):
    assert format_number(value) == text


def test_what_can_be_chosen_is_what_is_measured():
    settings = Settings(users=10, peers=10, workers=0, repeats=1, days=1)
    assert tuple(list_measurements(settings)) == NAMES


def test_the_command_prints_a_table_and_writes_json(tmp_path):
    path = tmp_path / "bench.json"
    arguments = ["--only", "crypto", "--repeats", "1", "--json", str(path)]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 0, answer.output
    assert "crypto.ballot_ns" in answer.output
    report = json.loads(path.read_text(encoding="utf-8"))
    assert sorted(report["figures"]) == ["crypto.ballot_ns", "crypto.block_ns"]
    assert report["settings"]["repeats"] == 1


def test_an_unknown_measurement_is_told_in_one_line():
    answer = CliRunner().invoke(main, ["--only", "speed"])
    assert answer.exit_code == 2
    assert "speed" in answer.output


def test_a_file_that_cannot_be_written_is_named_before_anything_is_measured(tmp_path):
    path = tmp_path / "no" / "b.json"
    arguments = ["--only", "crypto", "--repeats", "1", "--json", str(path)]
    answer = CliRunner().invoke(main, arguments)
    assert answer.exit_code == 2
    assert f"{tmp_path / 'no'} is no folder that can be written to" in answer.output
    assert "measuring" not in answer.output
