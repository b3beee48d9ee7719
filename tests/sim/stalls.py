"""Stalls' windows and auctions small enough for a test: about a second of wall time."""

from sim.scenario import load_scenario
from sim.simulation import Simulation

WINDOW = {"sites": "5", "places": "23", "periods": "4", "closes": "09:10"}
AUCTION = {"lots": "6", "closes": "09:10"}


def make_window(users=300, faults=(), **settings):
    """12 peers, an hour of applications in ten minutes, and far too few places."""
    return load_scenario("stall-window").with_overrides(
        users=users, peers=12, settings=WINDOW | settings, faults=tuple(faults)
    )


def make_auction(users=300, faults=(), **settings):
    """12 peers, ten minutes for bids, and half an hour to open the sealed ones."""
    scenario = load_scenario("stall-auction").with_overrides(
        users=users, peers=12, settings=AUCTION | {"starts": "08:50"} | settings,
        faults=tuple(faults),
    )
    return scenario


def simulate(scenario, *, workers=0):
    """The simulation after its run, and its result."""
    simulation = Simulation(scenario, workers=workers)
    return simulation, simulation.run(lambda progress: None)


def get_broken(result):
    """Names of the invariants that did not hold."""
    return [outcome.name for outcome in result.invariants if not outcome.passed]
