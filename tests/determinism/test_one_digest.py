"""One seed, one digest: in whatever process, with or without workers and sharing.

The city is ``harsh.make_harsh``: faults of every kind at once. A run is compared not by its
digest alone but by every peer's state, every metric that virtual time decides, and all counts.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.result import ExitCode
from sim.simulation import Simulation
from tests.determinism.harsh import FAULTS, MEASURED, describe, make_harsh
from tests.scenarios.small import watch

ROOT = Path(__file__).parents[2]


def describe_elsewhere(hash_seed, *numbers):
    """``harsh.describe`` in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.determinism.harsh", *map(str, numbers)], cwd=ROOT,
        env=environment, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


def assert_same(one, other):
    assert one["digest"] == other["digest"]
    assert one == other


@pytest.mark.slow
def test_two_processes_with_two_hash_seeds_give_one_digest_for_500_peers_with_faults():
    numbers = (500, 120, 1, 0, 1)
    one, other = describe_elsewhere(1, *numbers), describe_elsewhere(4_242, *numbers)
    assert one["verdict"] in ("passed", "failed")  # not broken, whatever the faults
    assert len(one["roots"]) == 500
    assert one["metrics"]["final.count"] > 80
    assert one["metrics"]["network.dropped.count"] > 100
    assert_same(one, other)


@pytest.mark.slow
def test_sharing_work_changes_nothing():
    """60 peers: without sharing each checks and executes everything itself, for real."""
    scenario = make_harsh(60, 100, 2)
    assert_same(describe(scenario), describe(scenario, share=False))


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing():
    alone, one, two = (
        describe_elsewhere(0, 500, 60, 3, workers, 1) for workers in (0, 1, 2)
    )
    assert_same(alone, one)
    assert_same(alone, two)


@pytest.mark.slow
def test_another_seed_gives_another_digest_and_the_same_seed_the_same():
    one, again, other = (describe(make_harsh(60, 40, seed)) for seed in (5, 5, 6))
    assert_same(one, again)
    assert one["digest"] != other["digest"]
    assert one["root"] != other["root"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 16))
def test_no_mixture_of_faults_breaks_an_invariant(seed):
    result = Simulation(make_harsh(60, 60, seed)).run(watch)
    assert result.exit_code in (ExitCode.PASSED, ExitCode.THRESHOLD_FAILED), result.note
    assert result.metrics["forks.count"] == 0
    assert result.metrics["lost.count"] == 0
    assert result.metrics["double.count"] == 0
    assert result.metrics["auditor.mismatch.count"] == 0


def test_the_faults_are_of_every_kind():
    from sim.faults import Fault, parse_fault

    verbs = {parse_fault(text).verb for text in FAULTS}
    assert verbs == {kind.verb for kind in Fault.__subclasses__()}
    assert any("disk=lost" in text for text in FAULTS)
    assert any(text.startswith("crash") and "disk" not in text for text in FAULTS)
    assert any("oneway=yes" in text for text in FAULTS)
    assert MEASURED
