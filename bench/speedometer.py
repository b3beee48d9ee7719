"""How fast each core is while something else is measured, told by a little work of our own.

What work takes before and after a run is not what it took meanwhile: on a shared machine a
check of a signature took 45 us for some seconds and 75 for the next. And two cores may differ
by a tenth at one moment, so they are looked at in turn.
"""

import os
import time
from typing import NamedTuple

from bench.ballots import make_ballots, make_identity
from node.crypto import is_signature_valid
from node.transaction import decode_transaction

EVERY_TICKS = 5
"""Of 20 ms each: looks then take a hundredth of a core."""

WARMING, TIMED = 2, 6
"""Of each sort: whoever has slept finds its caches taken, which is no part of the work."""


class Look(NamedTuple):
    """What a check of a signature took at a moment, and a decoding, in processor time."""

    at_ns: int
    crypto_ns: float
    other_ns: float


class Speedometer:
    """``looks`` are those so far; who looks may have to wait for the core whose turn it is."""

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
