"""How fast the machine is while a run is under way, told by work that is not the run's.

A machine's speed may come and go in seconds, by what its own host does beside it; and not that
of all work alike (here a check of a signature took 43 us or 75, on a core that worked alone, in
hours in which decoding took the same, and two cores of one machine may differ by a tenth at one
moment). So a few checks and a few decodings are timed all along, on each core in its turn, as
many as take a hundredth of a core (which the load generator's figure holds). Virtual peers are
given second by second how fast cryptography was and all else; a mean has no bad seconds, which
are what the slowest hundredth waits for.

A check's price is in the list: it is set against that. A decoding here is not what the list
prices (the nodes run compiled), so it is set against what it took while the list was measured.

Timed work takes longer while the other cores work. The simulation charges that by itself, so it
is taken off here, or it would count twice.
"""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.ballots import make_ballots, make_identity
from bench.fidelity.load import SECOND_NS
from bench.fidelity.trace import Look, Trace
from bench.figures import MeasurementFailed
from node.crypto import is_signature_valid
from node.transaction import decode_transaction
from node.work import WorkKind
from sim.costs import CostTable, Speed

EVERY_TICKS = 5
WARMING, TIMED = 2, 6
"""Of each sort: whoever has slept finds its caches taken, which is no part of the work."""


class Speedometer:
    """``looks`` are those so far."""

    def __init__(self) -> None:
        self._identity, self._message = make_identity(1), bytes(32)
        self._signature = self._identity.sign(self._message)
        (self._ballot,) = make_ballots([self._identity], bytes(8))
        self.looks: list[Look] = []

    def look(self) -> None:
        """Time a few of each sort, on the next core of those that this thread may use."""
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {sorted(cores)[len(self.looks) % len(cores)]})
        try:
            self.looks.append(self._time())
        finally:
            os.sched_setaffinity(0, cores)

    def _time(self) -> Look:
        at_ns = time.time_ns()
        self._check(WARMING)
        began_ns = time.thread_time_ns()
        self._check(TIMED)
        crypto_ns = time.thread_time_ns() - began_ns
        self._decode(WARMING)
        began_ns = time.thread_time_ns()
        self._decode(TIMED)
        other_ns = time.thread_time_ns() - began_ns
        return Look(at_ns, crypto_ns / TIMED, other_ns / TIMED)

    def _check(self, count: int) -> None:
        for _ in range(count):
            assert is_signature_valid(self._identity.public, self._message, self._signature)

    def _decode(self, count: int) -> None:
        for _ in range(count):
            decode_transaction(self._ballot, len(self._ballot))


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
