"""What an idle observer takes, apart from what all peers share."""

import gc
import tracemalloc

from bench.cities import build_city
from bench.figures import Figure, MeasurementFailed, Target
from sim.topology import TopologyConfig

VALIDATORS = 4
RELAYS = 4


def weigh_city(observers: int, blocks: int, seed: int) -> tuple[int, int]:
    """Bytes that a city holds after ``blocks``, and after as many again, between two blocks."""
    tracemalloc.start()
    try:
        config = TopologyConfig(validators=VALIDATORS, relays=RELAYS, observers=observers)
        idle = build_city(config, seed)
        idle.start()
        idle.city.kernel.run_until(idle.city.kernel.now_ns + idle.interval_ns // 2)
        weights = []
        for _ in range(2):
            idle.run_blocks(blocks)
            # what waits to be packed is bounded, and not the observers'
            idle.city.journal.digest()
            gc.collect()
            weights.append(tracemalloc.get_traced_memory()[0])
        if idle.city.blocks.height < 2 * blocks:
            raise MeasurementFailed(f"{idle.city.blocks.height} of {2 * blocks} blocks")
        return weights[0], weights[1]
    finally:
        tracemalloc.stop()


def measure_observer(
    repeats: int, observers: int = 60, blocks: int = 70
) -> list[Figure]:
    """``observer.bytes`` and how it grows; cities of N and 2 N observers differ by N.

    Blocks, state, memories of shared work and the journal are in both, and cancel out. Each
    repeat draws another city.
    """
    held, grown = [], []
    weigh_city(2, 2, seed=0)  # what is made once per process is not counted in the first city
    for seed in range(1, repeats + 1):
        few, few_later = weigh_city(observers, blocks, seed)
        many, many_later = weigh_city(2 * observers, blocks, seed)
        held.append((many_later - few_later) / observers)
        grown.append(((many_later - many) - (few_later - few)) / observers / blocks)
    about = (
        f"traced memory of a city with {2 * observers} observers less one with {observers}, "
        f"per observer, after {2 * blocks} empty blocks: node, peer, clock, links, places in "
        "the network's tables"
    )
    return [
        Figure(name="observer.bytes", unit="bytes", values=tuple(held), about=about,
               target=Target(sense="<=", value=50_000)),
        Figure(name="observer.bytes_per_block", unit="bytes", values=tuple(grown),
               about=f"by which that grew with each of the last {blocks} blocks"),
    ]
