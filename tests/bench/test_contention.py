"""What cores at work take from one another."""

import os
import signal
import time
from dataclasses import replace

import pytest

from bench.contention import (
    Contention,
    Round,
    choose_calm,
    make_validation,
    time_passes_ns,
)
from bench.figures import MeasurementFailed
from bench.trials import make_sample

WINDOW_NS = 20_000_000


@pytest.fixture(scope="module")
def sample():
    return make_sample(20, 100)


@pytest.mark.slow
def test_each_in_its_turn_works_alone_and_then_beside_all_others(sample):
    with Contention(sample, 2, WINDOW_NS) as contention:
        rounds = [contention.measure() for _ in range(4)]
    assert all(0.1 < one.ratio < 10 for one in rounds)
    assert all(0 <= one.strangers <= os.cpu_count() for one in rounds)


def test_on_a_single_core_nobody_works_beside_another(sample):
    with Contention(sample, 1) as contention:
        assert contention.measure() == Round(1.0, 0.0)


@pytest.mark.slow
def test_a_process_that_ends_by_itself_is_told(sample):
    with Contention(sample, 2, WINDOW_NS) as contention:
        contention.measure()
        for pid in contention.process_ids:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(MeasurementFailed):
            contention.measure()


@pytest.mark.slow
def test_no_process_is_left(sample):
    with Contention(sample, 3, WINDOW_NS) as contention:
        pids = contention.process_ids
    assert len(pids) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_ballot_whose_signature_does_not_hold_is_no_work_to_be_timed(sample):
    (bundle,) = sample.bundles
    forged = (bundle.transactions[0]._replace(signature=bytes(64)),)
    broken = replace(sample, bundles=[replace(bundle, transactions=forged)])
    with pytest.raises(MeasurementFailed, match="does not hold"):
        make_validation(broken)()


def test_a_pass_is_timed_even_if_it_is_late():
    done = []
    assert len(time_passes_ns(lambda: done.append(1), 0)) == 1
    assert done == [1]
    spans = time_passes_ns(lambda: done.append(1), time.monotonic_ns() + 1_000_000)
    assert len(spans) == len(done) - 1 > 1
    assert min(spans) >= 0


def test_rounds_are_chosen_by_what_strangers_had_and_not_by_what_came_of_it():
    rounds = [
        Round(1.0, 0.9), Round(1.3, 0.0), Round(1.1, 0.5), Round(1.4, 0.1), Round(2.0, 0.2),
    ]
    assert choose_calm(rounds) == (1.3, 1.4, 2.0), "of many disturbed the better half"
    assert choose_calm(rounds[:1]) == (1.0,)
    assert choose_calm(rounds[:2]) == (1.3, 1.0), "a spread needs two"
    calm = [Round(1.2, 0.01)] * 4
    assert choose_calm([*rounds, *calm]) == (1.3, *[1.2] * 4, 1.4), "all that were calm"
