"""A machine that several peers share: so many cores, and whoever comes first gets the next.

Ordinary cities give each peer a machine of its own. A cluster on one computer does not: there a
node waits for the others' work as well as for its own, and that is most of what it waits for.

An input that a tenant begins takes the earliest free core until its work is done. Cores are
handed out in the order in which inputs begin, and no work is interrupted for another.
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
    """``count`` cores; ``busy_ns`` is the time that all together have worked."""

    __slots__ = ("_free_ns", "busy_ns", "count")

    def __init__(self, count: int) -> None:
        assert count > 0
        self.count: Final = count
        self.busy_ns = 0
        self._free_ns = [0] * count
        heapify(self._free_ns)

    def compute_start_ns(self, at_ns: int) -> int:
        """When work that is there at ``at_ns`` can begin."""
        free_ns = self._free_ns[0]
        return free_ns if free_ns > at_ns else at_ns

    def take(self, start_ns: int, cost_ns: int) -> None:
        """The core that is free first works from ``start_ns`` on for so long."""
        assert start_ns >= self._free_ns[0], "a core does one thing at a time"
        assert cost_ns >= 0
        heapreplace(self._free_ns, start_ns + cost_ns)
        self.busy_ns += cost_ns


class Tenant(Peer):
    """A peer on a shared machine; its own work still goes one after the other."""

    __slots__ = ("_cores",)

    def __init__(
        self, index: int, clock: Clock, prices: Prices, inbox_bytes_max: int, kernel: Kernel,
        network: Network, journal: Journal, observer: Observer, cores: Cores,
    ) -> None:
        super().__init__(
            index, clock, prices, inbox_bytes_max, kernel, network, journal, observer
        )
        self._cores = cores

    def serve(self, work: WorkKind, units: int) -> None:
        """As every peer's, on a core."""
        busy_ns = self.busy_ns
        super().serve(work, units)
        start_ns = self._cores.compute_start_ns(self._kernel.now_ns)
        self._cores.take(start_ns, self.busy_ns - busy_ns)

    def _handle(self, now_ns: int, happened: Input) -> None:
        cores = self._cores
        start_ns = cores.compute_start_ns(now_ns)
        busy_ns = self.busy_ns
        super()._handle(start_ns, happened)
        self.waited_ns += start_ns - now_ns
        cores.take(start_ns, self.busy_ns - busy_ns)
