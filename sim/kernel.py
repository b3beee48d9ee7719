"""Virtual time: a queue of (instant, callback, argument), and a flat loop that empties it.

The queue is a calendar (Brown, 1988): a heap of days of a millisecond, each a list that is
sorted when it comes; a heap of all events would compare a dozen for each that runs. Equal
instants run in the order in which they were scheduled: a day's list is in that order, sorting
it by instants alone keeps it so, and what is put into today's goes behind its equals.
Callbacks and arguments are never compared. An entry holds its instant as the offset within its
day: small numbers are compared several times as fast.

A host that runs millions of events should call ``gc.freeze()`` and
``gc.disable()`` first: the loop makes no cycles, and collections would walk all virtual peers.
"""

from bisect import insort
from collections.abc import Callable
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar

Argument = TypeVar("Argument")
Callback: TypeAlias = Callable[[Any], object]  # type: ignore[explicit-any]

EPOCH_NS: Final = 777_000_000_000_007
"""When virtual time begins: odd, and far from any real clock, so that a mix-up shows."""

SECOND_NS: Final = 1_000_000_000

DAY_BITS: Final = 20
"""A day of the calendar is this power of two of nanoseconds: then it has a few events."""

DAY_MASK: Final = (1 << DAY_BITS) - 1

Entry: TypeAlias = tuple[int, Callback, object]

_get_offset: Final = itemgetter(0)


class Kernel:
    """The clock and the queue of one simulation.

    ``now_ns`` is the instant of the event that runs; ``events`` counts those that have run.
    """

    __slots__ = ("_days", "_done", "_later", "_midnight_ns", "_today", "_today_number",
                 "_until_ns", "events", "now_ns")

    def __init__(self, start_ns: int = EPOCH_NS) -> None:
        assert start_ns >= 0
        self.now_ns = start_ns
        self.events = 0
        self._until_ns = -1
        # today's entries are in order, and the first ``_done`` of them have run
        self._today: list[Entry] = []
        self._done = 0
        self._today_number = start_ns >> DAY_BITS
        self._midnight_ns = self._today_number << DAY_BITS
        self._later: dict[int, list[Entry]] = {}
        self._days: list[int] = []

    def __len__(self) -> int:
        return len(self._today) - self._done + sum(map(len, self._later.values()))

    @property
    def next_ns(self) -> int | None:
        """The instant of the event that comes next, for a host that waits for it."""
        if self._done == len(self._today) and not self._turn():
            return None
        next_ns = self._midnight_ns + self._today[self._done][0]
        assert next_ns >= self.now_ns
        return next_ns

    def at(
        self, at_ns: int, callback: Callable[[Argument], object], argument: Argument
    ) -> None:
        """Call ``callback(argument)`` at the instant ``at_ns``, which must not be past."""
        assert at_ns >= self.now_ns, "cannot schedule in the past"
        number = at_ns >> DAY_BITS
        entry = (at_ns & DAY_MASK, callback, argument)
        if number == self._today_number:
            insort(self._today, entry, self._done, key=_get_offset)
            return
        if number < self._today_number:
            self._turn_back(number)
        day = self._later.get(number)
        if day is None:
            self._later[number] = [entry]
            heappush(self._days, number)
        else:
            day.append(entry)

    def run_until(self, end_ns: int) -> bool:
        """Run all events up to and including ``end_ns``; False if ``stop`` ended it before.

        Time stands at ``end_ns`` afterwards, or at the last event if it was stopped; a later
        call goes on from there.
        """
        assert end_ns >= self.now_ns, "cannot run into the past"
        events = 0
        self._until_ns = end_ns
        try:
            while self._done < len(self._today) or self._turn():
                offset_ns, callback, argument = self._today[self._done]
                at_ns = self._midnight_ns + offset_ns
                # read afresh each time: a callback or a signal handler may lower the bound,
                # which is cheaper than asking for a flag
                if at_ns > self._until_ns:
                    break
                self._done += 1
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

    def _turn(self) -> bool:
        # to the next day that has events; False if there is none
        if not self._days:
            return False
        self._today_number = heappop(self._days)
        self._today = self._later.pop(self._today_number)
        self._today.sort(key=_get_offset)
        self._midnight_ns = self._today_number << DAY_BITS
        self._done = 0
        return True

    def _turn_back(self, number: int) -> None:
        # a host that looked ahead, or ran up to an instant, may go on at an earlier day
        left = self._today[self._done:]
        if left:
            self._later[self._today_number] = left
            heappush(self._days, self._today_number)
        self._today = []
        self._done = 0
        self._today_number = number - 1
        self._midnight_ns = self._today_number << DAY_BITS

    def stop(self) -> None:
        """End ``run_until`` after the event that runs now.

        Safe in a callback and in a signal handler. Between calls of ``run_until`` it does
        nothing: a host that wants to be interrupted there keeps its own flag.
        """
        self._until_ns = -1
