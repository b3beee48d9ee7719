"""What a run's cryptography costs when nothing else happens (the crypto floor)."""

import time

from bench.figures import Figure
from sim.floor import FloorCosts, measure_crypto_floor
from sim.topology import TopologyConfig


def compute_block_ns(floor: FloorCosts, validators: int) -> float:
    """Distinct signatures of one block: a proposal, and of each validator a prepare and a seal.

    Each is made once and checked once.
    """
    return (1 + 2 * validators) * (floor.sign_ns + floor.check_ns)


def measure_floor(repeats: int, sample: int = 400) -> list[Figure]:
    """Nanoseconds of bare PyNaCl per ballot, and per block of a full city."""
    floors = [measure_crypto_floor(time.process_time_ns, sample) for _ in range(repeats)]
    validators = TopologyConfig().validators
    return [
        Figure(
            name="crypto.ballot_ns", unit="ns", values=tuple(one.ballot_ns for one in floors),
            about="bare PyNaCl: key pair, box key, box, signature, check, opening",
        ),
        Figure(
            name="crypto.block_ns", unit="ns",
            values=tuple(compute_block_ns(one, validators) for one in floors),
            about=f"bare PyNaCl: {1 + 2 * validators} consensus signatures of {validators} "
                  "validators, each made and checked once",
        ),
    ]
