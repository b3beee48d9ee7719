"""A machine that several peers share: its cores, and threads that share them evenly.

Ordinary cities give each peer a machine of its own. A cluster on one computer does not: there a
node waits for the others' work as well as for its own, and that is most of what it waits for.

As many threads as there are cores have one each; more than that share them evenly, for a system
lets each run for some milliseconds and then the next: processor sharing (Kleinrock, 1967), the
limit of small slices. So three blocks of 100 ms on two cores end together after 150 ms, where a
queue would end two of them after 100; whoever waits for a quorum sees the difference.

Cores take from one another: threads of one core share its units, all share caches and memory.
Work goes ``contention_ratio`` times as slowly as alone while all cores are busy, and so much
less of that as fewer are.

A thread that waits for a disk needs no core, and a disk is as fast beside others.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Any, Final, TypeAlias, TypeVar

from sim.kernel import Kernel

Argument = TypeVar("Argument")
Callback: TypeAlias = Callable[[Any], object]  # type: ignore[explicit-any]

_ROUNDING_NS: Final = 0.5
"""Events come at whole nanoseconds: what is over by less than that is over."""


class Cores:
    """``count`` cores; ``contention_ratio`` is that of ``sim.costs.CostTable``.

    Shares are floats: what a job has got is a sum of them, and events come at whole
    nanoseconds. Reading changes none of them.
    """

    __slots__ = ("_alarm", "_at_ns", "_busy_ns", "_had_ns", "_jobs", "_kernel", "_seq",
                 "_worked_ns", "contention_ratio", "count")

    def __init__(self, kernel: Kernel, count: int, contention_ratio: float = 1.0) -> None:
        assert count > 0
        assert contention_ratio >= 1, "cores do not help one another"
        self.count: Final = count
        self.contention_ratio: Final = contention_ratio
        self._busy_ns = 0.0
        self._kernel = kernel
        # By when ``_worked_ns`` it is done, a number, and whom to tell. Both clocks tell what
        # each job in hand has got, which is the same for all: of work, and of time on a core.
        self._jobs: list[tuple[float, int, Callback, object]] = []
        self._worked_ns = 0.0
        self._had_ns = 0.0
        self._at_ns = kernel.now_ns
        self._seq = 0
        self._alarm = 0

    def begin(
        self, cost_ns: int, then: Callable[[Argument], object], argument: Argument
    ) -> None:
        """Work off what takes ``cost_ns`` alone on a core; then tell."""
        assert cost_ns > 0
        self._advance()
        done_ns = self._worked_ns + cost_ns
        self._seq += 1
        heappush(self._jobs, (done_ns, self._seq, then, argument))
        self._plan()

    def read_had_ns(self) -> float:
        """A clock that tells how long each job in hand has had a core: its differences count.

        It goes while there are jobs.
        """
        if not self._jobs:
            return self._had_ns
        _, share = self._compute_pace()
        return self._had_ns + share * (self._kernel.now_ns - self._at_ns)

    @property
    def busy_ns(self) -> float:
        """The time that all together have worked."""
        passed_ns = self._kernel.now_ns - self._at_ns
        return self._busy_ns + min(len(self._jobs), self.count) * passed_ns

    def compute_ratio(self, others: int) -> float:
        """How many times as long as alone work takes beside so many."""
        assert 0 <= others < self.count
        if not others:
            return 1.0
        return 1 + (self.contention_ratio - 1) * others / (self.count - 1)

    def _compute_pace(self) -> tuple[float, float]:
        """What each job gets in a nanosecond: of work, and of a core."""
        jobs = len(self._jobs)
        assert jobs > 0
        busy = min(jobs, self.count)
        share = busy / jobs
        return share / self.compute_ratio(busy - 1), share

    def _advance(self) -> None:
        now_ns = self._kernel.now_ns
        passed_ns = now_ns - self._at_ns
        assert passed_ns >= 0
        self._at_ns = now_ns
        if not self._jobs:
            self._worked_ns = 0.0  # or a sum would lose its last digits
            return
        work, share = self._compute_pace()
        self._worked_ns += work * passed_ns
        self._had_ns += share * passed_ns
        self._busy_ns += min(len(self._jobs), self.count) * passed_ns

    def _plan(self) -> None:
        """Come back when the first job is done, if nothing changes before."""
        self._alarm += 1
        if self._jobs:
            work, _ = self._compute_pace()
            left_ns = max(0.0, self._jobs[0][0] - self._worked_ns)
            at_ns = self._kernel.now_ns + ceil(left_ns / work)
            self._kernel.at(at_ns, self._ring, self._alarm)

    def _ring(self, alarm: int) -> None:
        if alarm != self._alarm:
            return
        self._advance()
        done = []
        while self._jobs and self._jobs[0][0] <= self._worked_ns + _ROUNDING_NS:
            done.append(heappop(self._jobs))
        assert done, "the alarm is that of the first"
        self._plan()
        for _, _, then, argument in done:
            then(argument)


class Thread:
    """Does one thing after the other on a machine."""

    __slots__ = ("_before_ns", "_cores", "_had_ns", "_is_idle", "_kernel", "_tasks", "_works")

    def __init__(self, kernel: Kernel, cores: Cores) -> None:
        self._kernel = kernel
        self._cores = cores
        self._tasks: deque[tuple[int, bool, Callback, object]] = deque()
        self._had_ns = 0.0  # of a core, for what is done
        self._before_ns = 0.0
        self._works = False
        self._is_idle = True

    @property
    def is_wanted(self) -> bool:
        """Whether something waits for what is in hand."""
        return bool(self._tasks)

    @property
    def busy_ns(self) -> float:
        """How long it has had a core."""
        now_ns = self._cores.read_had_ns() - self._before_ns if self._works else 0.0
        return self._had_ns + now_ns

    def work(
        self, cost_ns: int, then: Callable[[Argument], object], argument: Argument
    ) -> None:
        """Do what takes ``cost_ns`` alone on a core, when all before is done; then tell."""
        assert cost_ns >= 0
        self._add((cost_ns, False, then, argument))

    def wait(
        self, for_ns: int, then: Callable[[Argument], object], argument: Argument
    ) -> None:
        """Wait so long without a core, when all before is done; then tell."""
        assert for_ns >= 0
        self._add((for_ns, True, then, argument))

    def drop(self) -> None:
        """Forget all but what is under way."""
        self._tasks.clear()

    def _add(self, task: tuple[int, bool, Callback, object]) -> None:
        self._tasks.append(task)
        if self._is_idle:
            self._is_idle = False
            self._go_on()

    def _go_on(self) -> None:
        while self._tasks:
            for_ns, is_wait, then, argument = self._tasks.popleft()
            if for_ns == 0:
                then(argument)
                continue
            if is_wait:
                at_ns = self._kernel.now_ns + for_ns
                self._kernel.at(at_ns, self._upon_done, (then, argument))
            else:
                self._before_ns = self._cores.read_had_ns()
                self._works = True
                self._cores.begin(for_ns, self._upon_done, (then, argument))
            return
        self._is_idle = True

    def _upon_done(self, done: tuple[Callback, object]) -> None:
        self._had_ns = self.busy_ns
        self._works = False
        then, argument = done
        then(argument)
        self._go_on()
