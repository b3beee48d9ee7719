"""The clocks of one host, and the timers that its node has set.

``speed`` makes both clocks run so many times as fast from ``origin_ns`` of the real time on: a
cluster lives a day of 24 hours in one of 24 minutes, and all its processes agree on the time
because they share the origin. A real chain has speed 1, where the origin means nothing.
"""

import heapq
import math
import time
from collections.abc import Callable
from typing import TypeAlias

import trio

from node.types import Now

Timer: TypeAlias = tuple[str, int, int]

WAIT_S_MAX = 60.0
"""A longer wait is looked at again, so that a machine that slept is late by no more."""


class Clock:
    """Reads ``Now``; nanoseconds, the monotonic part from an arbitrary start.

    Raises ValueError unless ``speed`` is a positive number.
    """

    __slots__ = ("_monotonic_ns", "_origin_ns", "_realtime_ns", "_speed", "_start_ns")

    def __init__(
        self, speed: float = 1.0, origin_ns: int = 0,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        realtime_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if not 0 < speed < math.inf:
            raise ValueError(f"speed={speed!r}: give a positive number")
        self._speed = speed
        self._origin_ns = origin_ns
        self._monotonic_ns = monotonic_ns
        self._realtime_ns = realtime_ns
        self._start_ns = monotonic_ns()

    def read(self) -> Now:
        """Both clocks at this moment."""
        monotonic_ns, realtime_ns = self._monotonic_ns(), self._realtime_ns()
        if self._speed == 1:
            return Now(monotonic_ns, realtime_ns)
        # only what has passed is multiplied: a float holds no nanoseconds since 1970
        passed_ns = int((monotonic_ns - self._start_ns) * self._speed)
        since_ns = int((realtime_ns - self._origin_ns) * self._speed)
        return Now(self._start_ns + passed_ns, self._origin_ns + since_ns)

    def compute_wait_s(self, at_ns: int) -> float:
        """Seconds to sleep until ``at_ns`` of the monotonic clock, at most WAIT_S_MAX."""
        wait_ns = at_ns - self.read().monotonic_ns
        return min(max(wait_ns / self._speed / 1e9, 0.0), WAIT_S_MAX)


class Timers:
    """A heap of timers and one task that waits for the first of them.

    ``wake`` is called when one is due; whoever is woken asks ``take_due``. The same timer set
    twice fires twice: nothing cancels one.
    """

    __slots__ = ("_changed", "_clock", "_due", "_heap", "_sequence", "_wake")

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._heap: list[tuple[int, int, Timer]] = []
        self._due: list[Timer] = []
        self._sequence = 0
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, timer: Timer, at_ns: int) -> None:
        """Fire ``timer`` at ``at_ns`` of the monotonic clock, or at once if that has passed."""
        self._sequence += 1
        heapq.heappush(self._heap, (at_ns, self._sequence, timer))
        if self._heap[0][1] == self._sequence:
            self._changed.set()

    def take_due(self) -> list[Timer]:
        """Those whose time has come, in its order; each is given once."""
        due, self._due = self._due, []
        return due

    async def run(self) -> None:
        """Wake the host whenever timers are due; until cancelled."""
        heap = self._heap
        while True:
            self._changed = trio.Event()
            wait_s = self._clock.compute_wait_s(heap[0][0]) if heap else WAIT_S_MAX
            with trio.move_on_after(wait_s):
                await self._changed.wait()
            if self._collect():
                self._wake()

    def _collect(self) -> bool:
        heap = self._heap
        now_ns = self._clock.read().monotonic_ns
        while heap and heap[0][0] <= now_ns:
            self._due.append(heapq.heappop(heap)[2])
        return bool(self._due)
