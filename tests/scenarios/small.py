"""Scenarios small enough for a test: a few peers, a few voters, a few virtual minutes."""

from dataclasses import replace

from sim.scenario import load_scenario
from sim.simulation import Simulation


def make_small(users=60, peers=20, seed=1, faults=(), closes="08:05", **workload):
    """An election of five minutes on 20 peers: about half a second of wall time."""
    smoke = load_scenario("smoke")
    terms = {"opens": "08:00", "closes": closes, "grace_s": 60, **workload}
    scenario = replace(
        smoke, users=users, peers=peers, seed=seed, starts="07:58",
        workload=replace(smoke.workload, **terms),
    )
    return scenario.with_overrides(faults=tuple(faults))


def watch(_progress):
    """Hears the progress and says nothing."""


def run(scenario, *, workers=0, share=True):
    """The result of one run."""
    return Simulation(scenario, workers=workers, share=share).run(watch)


def get_broken(result):
    """Names of the invariants that did not hold."""
    return [outcome.name for outcome in result.invariants if not outcome.passed]
