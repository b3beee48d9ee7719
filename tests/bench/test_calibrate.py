"""The table of costs: each kind is measured as it is charged, and what is written loads."""

import json
import os
from contextlib import nullcontext
from dataclasses import replace
from itertools import count

import pytest

from bench.calibrate import (
    Size,
    build_table,
    choose_path,
    compute_spread,
    get_name,
    measure_costs,
    round_price,
    write_table,
)
from bench.disk import measure_in
from bench.figures import Figure, MeasurementFailed
from bench.handling import Frames, RememberingIdentity, RememberingWork, Submissions
from bench.hosting import make_client_trials, make_index_trial, run_relay
from bench.linking import run_carry
from bench.table import WIDTH, format_table
from bench.trials import (
    Sample,
    Trial,
    make_decode_trial,
    make_sample,
    make_state_trials,
)
from node.crypto import Identity
from node.execution import execute_bundles
from node.work import Work, WorkKind
from sim.costs import load_costs
from sim.errors import ConfigurationError

TINY = Size(ballots=120, records=1_000)


@pytest.fixture(scope="module")
def sample():
    return make_sample(TINY.ballots, TINY.records)


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    told = []
    found = measure_costs(3, tmp_path_factory.mktemp("disk"), told.append, TINY)
    assert len(told) == 4
    return found


def test_a_byte_over_a_link_takes_some_time():
    assert run_carry([bytes(1_000)] * 3, 2) > 0


@pytest.mark.slow
def test_each_kind_of_work_is_measured_as_often_as_was_asked(figures):
    *prices, contention = figures
    assert [figure.name for figure in prices] == [get_name(kind) for kind in WorkKind]
    assert all(len(figure.values) == 3 for figure in prices)
    assert contention.name == "contention"
    assert 2 <= len(contention.values) <= 3, "the calmer half at least"
    # what is measured as a difference is 0 where the machine's speed swings between the two
    differences = {"disk_bytes", "admit"}
    assert all(figure.median > 0 for figure in figures if figure.name not in differences)
    assert all(len(line) <= WIDTH for line in format_table(figures).splitlines())


@pytest.mark.slow
def test_the_written_table_loads_and_says_where_it_comes_from(figures, tmp_path):
    path = tmp_path / "ours.json"
    write_table(build_table(figures, "ours", tmp_path), path)
    table = load_costs(path)
    assert (table.name, table.cores) == ("ours", len(os.sched_getaffinity(0)))
    by_name = {figure.name: round_price(figure.median) for figure in figures}
    assert table.contention.ratio == max(1, by_name.pop("contention"))
    assert table.disk_sync_ns == by_name.pop("disk_sync")
    for name, ns in by_name.items():
        assert table.ns[WorkKind[name.upper()]] == ns
    written = json.loads(path.read_text())
    assert written["versions"]["veche"] == "unknown", "that folder is no checkout"
    assert written["versions"]["libsodium"]
    assert written["measured"]["sign"]["repeats"] == 3


def test_executing_and_writing_are_parts_of_a_block_and_miss_nothing(sample):
    standing = make_state_trials(sample, TINY.records)
    assert [trial.kind for trial in standing] == [
        WorkKind.EXECUTE, WorkKind.STATE_WRITE, WorkKind.SERVE_READ,
    ]
    whole = sample.execute(sample.state)
    assert {status for outcome in whole.outcomes for _, status in outcome} == {"ok"}
    units = {work.kind: work.units for work in whole.executed}
    assert units == {WorkKind.EXECUTE: 120, WorkKind.STATE_WRITE: 240}


def test_a_state_on_which_ballots_fail_is_not_measured(sample):
    stored = execute_bundles(
        sample.state, 2, 2 * 10**9, sample.bundles, sample.registrar, Work()
    ).state
    with pytest.raises(MeasurementFailed, match="ended as"):
        make_state_trials(Sample(stored, sample.bundles, bytes(32)), 0)


@pytest.mark.slow
def test_handling_is_what_is_left_when_decoding_is_taken_off():
    free = Frames(Trial(WorkKind.DECODE_BYTES, "", lambda: 0.0))
    assert free.count > 0
    assert free.measure() > 0
    dear = Frames(Trial(WorkKind.DECODE_BYTES, "", lambda: 1e9))
    assert dear.measure() == 0


def test_a_submission_costs_a_relay_some_microseconds():
    assert 500 < Submissions().measure() < 1_000_000


def test_what_was_signed_and_checked_before_is_remembered_and_nothing_else():
    real = Identity(bytes(32))
    signer, work = RememberingIdentity(real), RememberingWork()
    signature = signer.sign(b"x")
    assert signature is signer.sign(b"x")
    assert signature == real.sign(b"x")
    for _ in range(2):
        assert work.check_signature(real.public, b"x", signature)
        assert not work.check_signature(real.public, b"y", signature)


def test_decoding_is_priced_by_the_bytes_of_frames(sample):
    assert 0.1 < make_decode_trial(sample).measure() < 10_000


def test_a_write_takes_time_and_leaves_no_file(tmp_path):
    assert measure_in(tmp_path, lambda write: write(bytes(100))) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_relay_of_its_own_tells_what_clients_cost_it(tmp_path):
    with run_relay(tmp_path) as relay:
        check = Trial(WorkKind.CHECK_SIGNATURE, "", lambda: 0.0)
        handle = Trial(WorkKind.HANDLE, "", lambda: 0.0)
        admit, request = make_client_trials(relay, check, handle)
        assert 1_000 < admit.measure() < 10_000_000
        assert 10_000 < request.measure() < 100_000_000
        dear = replace(check, measure=lambda: 1e9)
        assert make_client_trials(relay, dear, handle)[0].measure() == 0
    assert list(tmp_path.iterdir()) == []


def test_an_index_is_priced_by_the_receipt(sample, tmp_path):
    assert 100 < make_index_trial(sample, tmp_path).measure() < 10_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"--folder=.*none"):
        measure_costs(2, tmp_path / "none", lambda _: None, TINY)


def test_a_full_disk_is_told_in_one_line(tmp_path):
    def fill(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigurationError, match="No space left"):
        measure_in(tmp_path, fill)


def test_rounds_go_through_all_kinds_so_that_noise_hits_each(monkeypatch, tmp_path):
    order = count()
    trials = [
        Trial(kind, "x", lambda: float(next(order))) for kind in reversed(list(WorkKind))
    ]
    monkeypatch.setattr("bench.calibrate.prepare_trials", lambda *_: nullcontext(trials))
    monkeypatch.setattr("bench.calibrate.count_cores", lambda: 1)
    found = measure_costs(3, tmp_path, lambda _: None, TINY)
    kinds = len(WorkKind)
    assert found[0].values == (0.0, kinds, 2.0 * kinds)
    assert found[1].values == (1.0, 1.0 + kinds, 1.0 + 2 * kinds)


def test_the_spread_is_of_quartiles_over_the_median():
    assert compute_spread(Figure(name="a", unit="ns", values=(4, 5, 6, 7, 99), about="")) \
        == pytest.approx(2 / 6)
    assert compute_spread(Figure(name="a", unit="ns", values=(0, 0), about="")) == 0


@pytest.mark.parametrize(("ns", "rounded"), [
    (43_891.4, 43_890.0), (20.4567, 20.46), (0.123456, 0.1235), (0.0, 0.0),
])
def test_prices_have_four_digits(ns, rounded):
    assert round_price(ns) == rounded


def test_files_are_numbered_and_a_taken_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = choose_path(None)
    write_table({}, first)
    assert (str(first), str(choose_path(None))) == ("costs-1.json", "costs-2.json")
    with pytest.raises(ConfigurationError, match="it exists"):
        choose_path(first)
    with pytest.raises(ConfigurationError, match="File exists"):
        write_table({}, first)
