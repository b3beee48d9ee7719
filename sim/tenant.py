"""A peer on a machine that it shares with others (sim.cores)."""

from typing import TypeAlias

from node.effects import Effect, Persist, Spread, Worked
from node.inputs import Input
from node.work import WorkKind
from sim.clocks import Clock
from sim.cores import Cores, Thread
from sim.costs import Prices
from sim.journal import Journal
from sim.kernel import Kernel
from sim.network import NEVER_NS, Network
from sim.peer import DISK_BYTES, DISK_SYNC, LINK_BYTES, Observer, Peer

_Due: TypeAlias = tuple[int, Effect]


class Tenant(Peer):
    """One thread of a shared machine; its own work still goes one after the other.

    ``busy_ns`` is the time it had a core for what is done (``thread`` knows of what is under
    way, too). To hand bytes to its disk is work (five sixths of a large write are processor
    time here); to wait until they are durable is not. A crash ends it as a process is killed:
    of the input in hand, what was not yet sent never is, what was durable stays, and the core
    is busy with it to its end.
    """

    __slots__ = ("thread",)

    def __init__(
        self, index: int, clock: Clock, prices: Prices, inbox_bytes_max: int, kernel: Kernel,
        network: Network, journal: Journal, observer: Observer, cores: Cores,
    ) -> None:
        super().__init__(
            index, clock, prices, inbox_bytes_max, kernel, network, journal, observer
        )
        self.thread = Thread(kernel, cores)

    def serve(self, work: WorkKind, units: int) -> None:
        """As every peer's; what is in hand comes before it."""
        assert units >= 0
        if not self.is_up or self.is_paused:
            return
        cost_ns = self._ps[work] * -(-units // self._over[work]) // 1_000
        self._cpu_free_ns = NEVER_NS
        self.thread.work(cost_ns, self._upon_worked, self._incarnation)

    def crash(self, *, keep_disk: bool) -> None:
        """As every peer's, in the middle of its work."""
        super().crash(keep_disk=keep_disk)
        self.thread.drop()

    def _handle(self, now_ns: int, happened: Input, frame_bytes: int) -> None:
        node = self.node
        assert node is not None
        assert now_ns == self._kernel.now_ns, "a shared core cannot be looked ahead of"
        self._cpu_free_ns = NEVER_NS
        self.handled += 1
        thread, incarnation, prices = self.thread, self._incarnation, self._ps
        cost_ps = frame_bytes * prices[LINK_BYTES]
        for effect in node.handle(self.clock.read(now_ns), happened):
            if isinstance(effect, Worked):
                work, units = effect
                cost_ps += prices[work] * -(-units // self._over[work])
                continue
            due = (incarnation, effect)
            if isinstance(effect, Persist):
                cost_ps += sum(map(len, effect.parts)) * prices[DISK_BYTES]
                thread.work(cost_ps // 1_000, _tell_nobody, None)
                thread.wait(prices[DISK_SYNC] // 1_000, self._upon_due, due)
            else:
                thread.work(cost_ps // 1_000, self._upon_due, due)
            cost_ps = 0
        thread.work(cost_ps // 1_000, self._upon_worked, incarnation)

    def _upon_due(self, due: _Due) -> None:
        incarnation, effect = due
        if incarnation != self._incarnation:
            return
        now_ns, network = self._kernel.now_ns, self._network
        if isinstance(effect, Persist):
            self.disk[effect.slot] = effect.parts
        elif isinstance(effect, Spread):
            receivers, frame, content = effect
            if content:
                network.spread(self.index, receivers, frame, content, now_ns)
            else:
                network.send_many(self.index, receivers, frame, now_ns)
        else:
            self._carry_out(effect, now_ns)

    def _upon_worked(self, incarnation: int) -> None:
        self.busy_ns = round(self.thread.busy_ns)
        if incarnation != self._incarnation or self.thread.is_wanted:
            return
        now_ns = self._kernel.now_ns
        if self.is_paused:
            self._resume_ns = now_ns
            return
        self._cpu_free_ns = now_ns
        self._schedule_drain()


def _tell_nobody(_: None) -> None:
    """What is done has no effect."""
