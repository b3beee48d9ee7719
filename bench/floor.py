"""What a run's cryptography costs when nothing else happens (the crypto floor)."""

import statistics
import time

from nacl import bindings

from bench.figures import Figure
from sim.floor import FloorCosts, measure_crypto_floor
from sim.topology import TopologyConfig

SAMPLE, SAMPLES = 500, 40


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


def measure_check_ns(_: int = 0) -> float:
    """Processor nanoseconds of one bare Ed25519 check: the median of a second of samples."""
    public, secret = bindings.crypto_sign_seed_keypair(bytes(bindings.crypto_sign_SEEDBYTES))
    signed = [bindings.crypto_sign(number.to_bytes(32, "big"), secret)
              for number in range(SAMPLE)]
    samples = []
    for _ in range(SAMPLES):
        began_ns = time.process_time_ns()
        for message in signed:
            bindings.crypto_sign_open(message, public)
        samples.append((time.process_time_ns() - began_ns) / SAMPLE)
    return statistics.median(samples)
