"""A machine that several peers share: so many cores, and whoever comes first gets the next.

Ordinary cities give each peer a machine of its own. A cluster on one computer does not: there a
node waits for the others' work as well as for its own, and that is most of what it waits for.

An input that a tenant begins takes the earliest free core until its work is done. Cores are
handed out in the order in which inputs begin, and no work is interrupted for another.

Cores take from one another: threads of one core share its units, all share caches and memory.
So work takes ``contention_ratio`` times as long as alone if all other cores are busy as it
begins, and so much less of that as fewer are. What others begin or end while it is under way
changes it no more, neither its duration nor theirs. This is right where no core ever waits for
work, for then all of it has the full ratio, and where none ever meets another; and between in
the mean, if work comes whatever the cores do: then it finds others busy as often as it has them
beside it. Work that begins everywhere at one moment has the ratio but for the first of it.

A disk is not slowed down: it does not wait for a core.
"""

from heapq import heapify, heapreplace
from typing import Final

from node.inputs import Input
from node.work import WorkKind
from sim.clocks import Clock
from sim.costs import Prices
from sim.journal import Journal
from sim.kernel import Kernel
from sim.network import Network
from sim.peer import Observer, Peer


class Cores:
    """``count`` cores; ``busy_ns`` is the time that all together have worked.

    ``contention_ratio`` is that of ``sim.costs.CostTable``.
    """

    __slots__ = ("_free_ns", "busy_ns", "contention_ratio", "count")

    def __init__(self, count: int, contention_ratio: float = 1.0) -> None:
        assert count > 0
        assert contention_ratio >= 1, "cores do not help one another"
        self.count: Final = count
        self.contention_ratio: Final = contention_ratio
        self.busy_ns = 0
        self._free_ns = [0] * count
        heapify(self._free_ns)

    def compute_start_ns(self, at_ns: int) -> int:
        """When work that is there at ``at_ns`` can begin."""
        free_ns = self._free_ns[0]
        return free_ns if free_ns > at_ns else at_ns

    def count_others(self, start_ns: int) -> int:
        """How many are busy beside one that begins at ``start_ns``."""
        busy = 0
        for free_ns in self._free_ns:
            if free_ns > start_ns:
                busy += 1
        assert busy < self.count, "the one that begins is free"
        return busy

    def compute_ratio(self, others: int) -> float:
        """How many times as long as alone work takes beside so many."""
        assert 0 <= others < self.count
        if not others:
            return 1.0
        return 1 + (self.contention_ratio - 1) * others / (self.count - 1)

    def take(self, start_ns: int, cost_ns: int) -> None:
        """The core that is free first works from ``start_ns`` on for so long, all told."""
        assert start_ns >= self._free_ns[0], "a core does one thing at a time"
        assert cost_ns >= 0
        heapreplace(self._free_ns, start_ns + cost_ns)
        self.busy_ns += cost_ns


class Tenant(Peer):
    """A peer on a shared machine; its own work still goes one after the other."""

    __slots__ = ("_beside", "_cores")

    def __init__(
        self, index: int, clock: Clock, prices: Prices, inbox_bytes_max: int, kernel: Kernel,
        network: Network, journal: Journal, observer: Observer, cores: Cores,
    ) -> None:
        super().__init__(
            index, clock, prices, inbox_bytes_max, kernel, network, journal, observer
        )
        self._cores = cores
        self._beside = self._list_beside(prices)

    def price(self, prices: Prices) -> None:
        """As every peer's; ``prices`` are those of a core that works alone."""
        super().price(prices)
        self._beside = self._list_beside(prices)

    def serve(self, work: WorkKind, units: int) -> None:
        """As every peer's, on a core."""
        busy_ns = self.busy_ns
        start_ns = self._begin(self._kernel.now_ns)
        super().serve(work, units)
        self._cores.take(start_ns, self.busy_ns - busy_ns)

    def _handle(self, now_ns: int, happened: Input) -> None:
        busy_ns = self.busy_ns
        start_ns = self._begin(now_ns)
        super()._handle(start_ns, happened)
        self.waited_ns += start_ns - now_ns
        self._cores.take(start_ns, self.busy_ns - busy_ns)

    def _begin(self, at_ns: int) -> int:
        """When a core is free for what is there at ``at_ns``; it is priced as of then."""
        cores = self._cores
        start_ns = cores.compute_start_ns(at_ns)
        self._ps = self._beside[cores.count_others(start_ns)]
        return start_ns

    def _list_beside(self, prices: Prices) -> list[tuple[int, ...]]:
        """Prices by the number of other cores that are busy."""
        cores = self._cores
        return [
            prices.stretch(cores.compute_ratio(others)).ps for others in range(cores.count)
        ]
