"""A short election in which everything goes wrong at once; prints what names the run.

    python -m tests.determinism.harsh [peers] [users] [seed] [workers] [share]
"""

import json
import sys
from dataclasses import replace

from sim.simulation import Simulation
from tests.scenarios.small import make_small, watch

FAULTS = (
    "loss observers=20% ratio=0.05 at=+20s for=3m",
    "loss relays=1 ratio=0.1 at=+125s for=60s",
    "crash validators=1 at=+60s for=40s",
    "crash observers=10% at=+70s for=60s disk=lost",
    "crash relays=1 at=+130s for=30s",
    "pause validators=1 at=+150s for=20s",
    "disk-full observers=5% at=+165s for=20s",
    "slow-peer validators=1 factor=20 at=+30s for=4m",
    "clock validators=1 offset=-30s at=+40s for=3m",
    "clock observers=5% offset=90s at=+40s for=3m",
    "partition validators=1 oneway=yes at=+180s for=30s",
    "partition observers=10% at=+200s for=40s",
    "slow-link relays=all extra=80ms factor=3 at=+100s for=3m",
)
MEASURED = ("wall", "speed", "rss", "crypto_floor", "engine.main_s", "engine.events_per_s",
            "workers")
"""Metrics that begin so are measured by the wall's clock, or say how the run was made."""


def make_harsh(peers=500, users=120, seed=1):
    """``peers`` with faults of every kind; QBFT forgives what happens to its validators."""
    scenario = make_small(users=users, peers=peers, seed=seed, faults=FAULTS,
                          reads_per_voter=20)
    return replace(scenario, validators=10)


def describe(scenario, *, workers=0, share=True):
    """All that must be the same whenever the scenario is run."""
    simulation = Simulation(scenario, workers=workers, share=share)
    result = simulation.run(watch)
    return {
        "digest": result.digest,
        "verdict": result.verdict.value,
        "root": simulation.city.read_final_state().root.hex(),
        "roots": [
            None if node is None else node.compute_digest().hex()[:16]
            for node in map(simulation.city.get_node, range(len(simulation.city.peers)))
        ],
        "metrics": {
            name: value for name, value in result.metrics.items()
            if not name.startswith(MEASURED)
        },
        "refused": sorted(map(str, simulation.city.refused.items())),
        "dropped": sorted(map(str, simulation.city.network.traffic.dropped.items())),
    }


if __name__ == "__main__":
    peers, users, seed, workers, share = map(int, sys.argv[1:])
    described = describe(make_harsh(peers, users, seed), workers=workers, share=bool(share))
    sys.stdout.write(json.dumps(described))
