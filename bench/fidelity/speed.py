"""How fast the machine is while a run is under way, told by work that is not the run's.

A machine's speed may come and go in seconds, by what its own host does beside it; and not that
of all work alike (here a check of a signature took 43 us or 75, on a core that worked alone, in
hours in which decoding took the same). So a few of each are timed all along
(``bench.speedometer``; the load generator's figure holds them). Virtual peers are given second
by second how fast cryptography was and all else; a mean has no bad seconds, which are what the
slowest hundredth waits for.

A check's price is in the list: it is set against that. A decoding here is not what the list
prices (the nodes run compiled), so it is set against what it took while the list was measured.

Timed work takes longer while the other cores work. The simulation charges that by itself, so it
is taken off here, or it would count twice.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.fidelity.load import SECOND_NS
from bench.fidelity.trace import Trace
from bench.figures import MeasurementFailed
from bench.speedometer import Look
from node.work import WorkKind
from sim.costs import CostTable, Speed


@dataclass(frozen=True, slots=True)
class Speeds:
    """How fast a core was that worked alone, each second of a load, against its price list.

    ``stretch_ratio`` is how many times as long as by the list ordinary work took in the mean,
    for whatever reason.
    """

    seconds: tuple[Speed, ...] = (Speed(),)
    stretch_ratio: float = 1.0

    def __post_init__(self) -> None:
        assert self.seconds
        assert self.stretch_ratio > 0


AS_PRICED = Speeds()
"""A machine that is as fast as its table says."""


def compute_usual_ns(looks: Sequence[Look]) -> float:
    """What a decoding took while the price list was measured: the median of some looks."""
    return statistics.median(look.other_ns for look in looks)


def compute_beside(costs: CostTable, others: float, cores: int) -> float:
    """How many times as long as alone work takes beside so many busy cores, in the mean."""
    return 1 + (costs.contention.ratio - 1) * others / (cores - 1) if cores > 1 else 1.0


def compute_speeds(costs: CostTable, usual_ns: float, trace: Trace, cores: int) -> Speeds:
    """How fast the machine was during a real run, whose ``looks`` are a Speedometer's.

    ``usual_ns`` is what a decoding took as ``costs`` were measured. The other cores were busy
    in the mean as much as the whole machine was. A second in which nobody looked was as the one
    before it, a first one as the mean. Raises MeasurementFailed if nobody looked at all.
    """
    if not trace.looks:
        raise MeasurementFailed("nobody could look how fast the machine was: run it again")
    busy = min(1.0, trace.spent.machine_s / trace.spent_over_s / cores)
    beside = compute_beside(costs, busy * (cores - 1), cores)

    def compare(looks: Sequence[Look]) -> Speed:
        crypto_ns = statistics.fmean(look.crypto_ns for look in looks)
        other_ns = statistics.fmean(look.other_ns for look in looks)
        return Speed(
            crypto_ratio=costs.ns[WorkKind.CHECK_SIGNATURE] * beside / crypto_ns,
            other_ratio=usual_ns * beside / other_ns,
        )

    speed = mean = compare(trace.looks)
    seconds = []
    for second in range(round(trace.load.seconds)):
        since_ns = trace.begin_ns + second * SECOND_NS
        looks = [look for look in trace.looks if since_ns <= look.at_ns < since_ns + SECOND_NS]
        if looks:
            speed = compare(looks)
        seconds.append(speed)
    return Speeds(tuple(seconds), beside / mean.other_ratio)
