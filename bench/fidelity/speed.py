"""How fast the machine is while a run is under way, told by work that is not the run's.

A machine's speed may come and go in seconds, by what its own host does beside it (here a check
of a signature took 45 us or 75, on a core that worked alone): who looks before and after a run
does not see what it was meanwhile. So a few checks are timed all along, as many as take half a
hundredth of a core (which the load generator's figure holds).

They too take longer while the other cores work. The simulation charges that by itself, so it is
taken off here, or it would count twice.
"""

import time

from bench.ballots import make_identity
from bench.fidelity.trace import Trace
from bench.figures import MeasurementFailed
from node.crypto import is_signature_valid
from node.work import WorkKind
from sim.cores import Cores
from sim.costs import CostTable

EVERY_TICKS = 5
WARMING, TIMED = 2, 6
"""Checks: whoever has slept finds its caches taken, which is no part of a check."""


class Speedometer:
    """``check_ns`` is what a check took in the mean, in processor time; 0 before any."""

    def __init__(self) -> None:
        self._identity, self._message = make_identity(1), bytes(32)
        self._signature = self._identity.sign(self._message)
        self._spent_ns = 0
        self._checks = 0

    @property
    def check_ns(self) -> float:
        """Of all looks so far."""
        return self._spent_ns / self._checks if self._checks else 0.0

    def look(self) -> None:
        """Time a few."""
        self._check(WARMING)
        began_ns = time.thread_time_ns()
        self._check(TIMED)
        self._spent_ns += time.thread_time_ns() - began_ns
        self._checks += TIMED

    def _check(self, count: int) -> None:
        for _ in range(count):
            assert is_signature_valid(self._identity.public, self._message, self._signature)


def compute_speed_ratio(costs: CostTable, trace: Trace, cores: int) -> float:
    """How many times as fast as in the table a core was that worked alone, during a real run.

    The others were busy in the mean as much as the whole machine was. Raises
    MeasurementFailed if nobody looked.
    """
    if not trace.check_ns:
        raise MeasurementFailed("nobody could look how fast the machine was: run it again")
    busy = min(1.0, trace.spent.machine_s / trace.spent_over_s / cores)
    full = Cores(cores, costs.contention.ratio).compute_ratio(cores - 1)
    expected_ns = costs.ns[WorkKind.CHECK_SIGNATURE] * (1 + (full - 1) * busy)
    return expected_ns / trace.check_ns
