"""How many events a second the kernel alone can carry."""

import time

from bench.figures import Figure, Target, collector_off
from sim.kernel import Kernel

PENDING = 1_000
DELAYS = [1 + number * 2_654_435_761 % (1 << 20) for number in range(1 << 12)]
MEAN_DELAY_NS = sum(DELAYS) // len(DELAYS)


def run_kernel(events: int) -> float:
    """Events per second of processor time: pop, call, and push of the next one.

    There are always ``PENDING`` events in the heap; each schedules one other, at delays
    between 1 ns and 1 ms. About ``events`` are run.
    """
    kernel = Kernel()
    at, delays, mask = kernel.at, DELAYS, len(DELAYS) - 1

    def turn(number: int) -> None:
        at(kernel.now_ns + delays[number & mask], turn, number + 1)

    for number in range(PENDING):
        kernel.at(kernel.now_ns + delays[number * 7 & mask], turn, number * 13)
    end_ns = kernel.now_ns + max(1, events * MEAN_DELAY_NS // PENDING)
    with collector_off():
        began_ns = time.process_time_ns()
        kernel.run_until(end_ns)
        spent_ns = time.process_time_ns() - began_ns
    assert len(kernel) == PENDING
    return kernel.events * 1e9 / max(1, spent_ns)


def measure_kernel(repeats: int, events: int = 500_000) -> list[Figure]:
    """``kernel.events_per_s``, in 1/s."""
    return [Figure(
        name="kernel.events_per_s", unit="1/s", target=Target(sense=">=", value=700_000),
        values=tuple(run_kernel(events) for _ in range(repeats)),
        about=f"push, pop and call of an event that schedules the next, with {PENDING:,} "
              "events pending; processor time",
    )]
