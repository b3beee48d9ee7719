"""Virtual time: a heap of (at_ns, seq, callback, argument), and a flat loop that empties it.

Equal instants run in the order in which they were scheduled: ``seq`` comes from one counter and
payloads are never compared. A host that runs millions of events should call ``gc.freeze()`` and
``gc.disable()`` first: the loop makes no cycles, and collections would walk all virtual peers.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final, TypeAlias, TypeVar

Argument = TypeVar("Argument")
Callback: TypeAlias = Callable[[Any], object]  # type: ignore[explicit-any]

EPOCH_NS: Final = 777_000_000_000_007
"""When virtual time begins: odd, and far from any real clock, so that a mix-up shows."""

SECOND_NS: Final = 1_000_000_000


class Kernel:
    """The clock and the queue of one simulation.

    ``now_ns`` is the instant of the event that runs; ``events`` counts those that have run.
    """

    __slots__ = ("_heap", "_seq", "_until_ns", "events", "now_ns")

    def __init__(self, start_ns: int = EPOCH_NS) -> None:
        assert start_ns >= 0
        self.now_ns = start_ns
        self.events = 0
        self._seq = 0
        self._until_ns = -1
        self._heap: list[tuple[int, int, Callback, object]] = []

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_ns(self) -> int | None:
        """The instant of the event that comes next, for a host that waits for it."""
        if not self._heap:
            return None
        next_ns = self._heap[0][0]
        assert next_ns >= self.now_ns
        return next_ns

    def at(
        self, at_ns: int, callback: Callable[[Argument], object], argument: Argument
    ) -> None:
        """Call ``callback(argument)`` at the instant ``at_ns``, which must not be past."""
        assert at_ns >= self.now_ns, "cannot schedule in the past"
        seq = self._seq
        self._seq = seq + 1
        heappush(self._heap, (at_ns, seq, callback, argument))

    def run_until(self, end_ns: int) -> bool:
        """Run all events up to and including ``end_ns``; False if ``stop`` ended it before.

        Time stands at ``end_ns`` afterwards, or at the last event if it was stopped; a later
        call goes on from there.
        """
        assert end_ns >= self.now_ns, "cannot run into the past"
        heap = self._heap
        pop = heappop
        events = 0
        self._until_ns = end_ns
        try:
            # read afresh each time: a callback or a signal handler may lower the bound, which
            # is cheaper than asking for a flag
            while heap and heap[0][0] <= self._until_ns:
                at_ns, _, callback, argument = pop(heap)
                self.now_ns = at_ns
                events += 1
                callback(argument)
        finally:
            # counted locally: an attribute per event would cost a thirtieth of the loop
            self.events += events
        if self._until_ns != end_ns:
            return False
        self.now_ns = end_ns
        return True

    def stop(self) -> None:
        """End ``run_until`` after the event that runs now.

        Safe in a callback and in a signal handler. Between calls of ``run_until`` it does
        nothing: a host that wants to be interrupted there keeps its own flag.
        """
        self._until_ns = -1
