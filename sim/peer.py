"""A virtual machine around one node: clock, processor, inbox, disk.

The processor is a queue with one server. An input is handled at once if it is free: a frame's
way over its link comes first, then the node's ``Worked`` effects are added up as they come.
What it sends leaves when the work before it is done, and until all is done further inputs wait
in the inbox. Checks of signatures and boxes within one ``Worked`` are spread over the cores;
nothing else is, and a node that waits for its disk waits with all it has. An idle peer
schedules nothing.

A crash never splits the handling of one input: what the node had begun is finished, stored and
sent; what waits in the inbox is lost. Timers of a peer that crashed never fire.
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Final

from node.compiling import mypyc_attr
from node.effects import (
    Disconnect,
    Effect,
    Emit,
    Persist,
    Reply,
    Send,
    SetTimer,
    Spread,
    Worked,
)
from node.events import Event
from node.inputs import Input, Received, Submitted, TimerFired
from node.machine import Machine
from node.work import WorkKind
from sim.clocks import Clock
from sim.costs import Prices
from sim.journal import Journal
from sim.kernel import Kernel
from sim.network import NEVER_NS, Network, Receiver

INPUT_BYTES: Final = 64
"""What a waiting input counts towards the inbox, besides its frame."""

AHEAD_NS: Final = 2_000_000
"""How far ahead of the kernel an inbox is emptied within one event."""

DISK_SYNC: Final = int(WorkKind.DISK_SYNC)
DISK_BYTES: Final = int(WorkKind.DISK_BYTES)
LINK_BYTES: Final = int(WorkKind.LINK_BYTES)


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer(ABC):
    """Who is told what the peers say; instants may lie ahead of the kernel's by the work."""

    __slots__ = ()

    @abstractmethod
    def on_event(self, at_ns: int, peer: int, event: Event) -> None:
        """A node emitted a fact."""

    @abstractmethod
    def on_reply(self, at_ns: int, peer: int, reply: Reply) -> None:
        """A node answered a client."""

    @abstractmethod
    def on_disconnect(self, at_ns: int, peer: int, disconnect: Disconnect) -> None:
        """A node ends the link to another."""


class Peer(Receiver):
    """One machine of the city. It is off until ``restart`` gives it a node.

    ``disk`` survives restarts. ``busy_ns`` is the processor's time, ``waited_ns`` that of
    inputs in the inbox, ``handled`` the number of inputs.
    """

    __slots__ = ("_cpu_free_ns", "_draining", "_inbox", "_inbox_bytes", "_inbox_bytes_max",
                 "_incarnation", "_journal", "_kernel", "_network", "_observer", "_over",
                 "_ps", "_resume_ns", "busy_ns", "clock", "disk", "handled", "index", "node",
                 "waited_ns")

    def __init__(
        self, index: int, clock: Clock, prices: Prices, inbox_bytes_max: int, kernel: Kernel,
        network: Network, journal: Journal, observer: Observer,
    ) -> None:
        self.index = index
        self.clock = clock
        self.disk: dict[str, tuple[bytes, ...]] = {}
        self.node: Machine | None = None
        self.busy_ns = 0
        self.waited_ns = 0
        self.handled = 0
        self._kernel = kernel
        self._network = network
        self._journal = journal
        self._observer = observer
        self._ps = prices.ps
        self._over = prices.over
        self._inbox: deque[tuple[int, int, Input]] = deque()
        self._inbox_bytes = 0
        self._inbox_bytes_max = inbox_bytes_max
        self._incarnation = 0
        # NEVER_NS while an input is being handled, and while paused or off: whoever sets it
        # back schedules the drain
        self._cpu_free_ns = NEVER_NS
        self._resume_ns = -1
        self._draining = False

    @property
    def is_up(self) -> bool:
        """Whether a node runs here, paused or not."""
        return self.node is not None

    @property
    def is_paused(self) -> bool:
        """Whether the machine stands still."""
        return self._resume_ns >= 0

    def __len__(self) -> int:
        return len(self._inbox)

    def receive(self, sender: int, frame: bytes) -> bool:
        """A frame is here; False if it is dropped because the peer is off or its inbox full."""
        now_ns = self._kernel.now_ns
        happened = Received(sender, frame)
        if self._cpu_free_ns <= now_ns and not self._inbox:
            self._handle(now_ns, happened, len(frame))
            return True
        return self._queue(now_ns, happened, len(frame))

    def submit(self, client: int, transaction: bytes) -> bool:
        """A client hands in a transaction; False if it is dropped, as for ``receive``."""
        return self._take(Submitted(client, transaction), len(transaction))

    def tell(self, happened: Input) -> bool:
        """Any other input from the host; False if the peer is off."""
        return self._take(happened, 0)

    def serve(self, work: WorkKind, units: int) -> None:
        """Take the processor for a counted batch of work that needs no node, as reads do."""
        assert units >= 0
        cost_ns = self._ps[work] * -(-units // self._over[work]) // 1_000
        if self._cpu_free_ns != NEVER_NS:
            self._cpu_free_ns = max(self._cpu_free_ns, self._kernel.now_ns) + cost_ns
            self.busy_ns += cost_ns

    def price(self, prices: Prices) -> None:
        """Work costs this from now on."""
        self._ps = prices.ps
        self._over = prices.over

    def crash(self, *, keep_disk: bool) -> None:
        """Switch off: the node, its inbox, its timers and its connections are gone."""
        assert self.node is not None, "only what runs can crash"
        self.node = None
        self._incarnation += 1
        self._inbox.clear()
        self._inbox_bytes = 0
        self._draining = False
        self._cpu_free_ns = NEVER_NS
        self._resume_ns = -1
        if not keep_disk:
            self.disk.clear()
        self._network.cut(self.index)

    def restart(self, node: Machine) -> None:
        """Switch on with a node, which the host has built from ``disk``."""
        assert self.node is None, "only what is off can start"
        self.node = node
        self._cpu_free_ns = self._kernel.now_ns
        self._network.cut(self.index)

    def pause(self) -> None:
        """Stand still; frames and timers wait in the inbox, connections stay."""
        assert self.node is not None
        assert not self.is_paused
        self._resume_ns = self._cpu_free_ns
        self._cpu_free_ns = NEVER_NS

    def resume(self) -> None:
        """Go on after a pause with what waits, in order."""
        assert self.is_paused
        self._cpu_free_ns = max(self._resume_ns, self._kernel.now_ns)
        self._resume_ns = -1
        self._schedule_drain()

    def _take(self, happened: Input, size: int) -> bool:
        now_ns = self._kernel.now_ns
        if self._cpu_free_ns <= now_ns and not self._inbox:
            self._handle(now_ns, happened, 0)
            return True
        return self._queue(now_ns, happened, size)

    def _queue(self, now_ns: int, happened: Input, size: int) -> bool:
        if self.node is None:
            self._network.traffic.drop("peer off")
            return False
        size += INPUT_BYTES
        if self._inbox_bytes + size > self._inbox_bytes_max:
            self._network.traffic.drop("inbox full")
            return False
        self._wait(now_ns, happened, size)
        return True

    def _wait(self, now_ns: int, happened: Input, size: int) -> None:
        self._inbox.append((now_ns, size, happened))
        self._inbox_bytes += size
        if not self._draining:
            self._schedule_drain()

    def _schedule_drain(self) -> None:
        if self._inbox and not self._draining and self._cpu_free_ns != NEVER_NS:
            self._draining = True
            at_ns = max(self._cpu_free_ns, self._kernel.now_ns)
            self._kernel.at(at_ns, self._drain, self._incarnation)

    def _drain(self, incarnation: int) -> None:
        if incarnation != self._incarnation:
            return
        if self._cpu_free_ns == NEVER_NS:
            self._draining = False
            return
        # What waits is handled in its order whatever comes meanwhile, so a few inputs may be
        # handled within one event, each at its own later instant.
        inbox = self._inbox
        now_ns = self._kernel.now_ns
        horizon_ns = now_ns + AHEAD_NS
        while inbox and self._cpu_free_ns <= horizon_ns:
            at_ns = self._cpu_free_ns
            if at_ns < now_ns:
                at_ns = now_ns
            since_ns, size, happened = inbox.popleft()
            self._inbox_bytes -= size
            self.waited_ns += at_ns - since_ns
            assert self._inbox_bytes >= 0
            frame_bytes = len(happened.frame) if type(happened) is Received else 0
            self._handle(at_ns, happened, frame_bytes)
        self._draining = False
        self._schedule_drain()

    def _on_timer(self, due: tuple[int, tuple[str, int, int]]) -> None:
        incarnation, timer = due
        if incarnation != self._incarnation:
            return
        now_ns = self._kernel.now_ns
        self._journal.timer(now_ns, self.index, timer)
        happened = TimerFired(timer)
        if self._cpu_free_ns <= now_ns and not self._inbox:
            self._handle(now_ns, happened, 0)
        else:
            # never dropped: a node has few timers, and its life depends on them
            self._wait(now_ns, happened, INPUT_BYTES)

    def _handle(self, now_ns: int, happened: Input, frame_bytes: int) -> None:
        """Handle an input that came in a frame of so many bytes, or 0 in none."""
        node = self.node
        assert node is not None
        self._cpu_free_ns = NEVER_NS
        index, network, prices, over = self.index, self._network, self._ps, self._over
        cost_ps = frame_bytes * prices[LINK_BYTES]
        # by frequency, and by exact type: an effect is of a closed union
        for effect in node.handle(self.clock.read(now_ns), happened):
            if type(effect) is Worked:
                work, units = effect
                cost_ps += prices[work] * -(-units // over[work])
            elif type(effect) is Spread:
                receivers, frame, content = effect
                if content:
                    network.spread(
                        index, receivers, frame, content, now_ns + cost_ps // 1_000
                    )
                else:
                    network.send_many(index, receivers, frame, now_ns + cost_ps // 1_000)
            elif type(effect) is Persist:
                slot, parts = effect
                cost_ps += prices[DISK_SYNC]
                for part in parts:
                    cost_ps += len(part) * prices[DISK_BYTES]
                self.disk[slot] = parts
            else:
                self._carry_out(effect, now_ns + cost_ps // 1_000)
        cost_ns = cost_ps // 1_000
        self.busy_ns += cost_ns
        self.handled += 1
        if self.node is not node:
            return  # whoever was told switched this peer off
        if self._resume_ns >= 0:
            self._resume_ns = now_ns + cost_ns
            return
        self._cpu_free_ns = now_ns + cost_ns
        if self._inbox:
            self._schedule_drain()

    def _carry_out(self, effect: Effect, at_ns: int) -> None:
        if isinstance(effect, Emit):
            self._observer.on_event(at_ns, self.index, effect.event)
        elif isinstance(effect, Send):
            receiver, frame = effect
            self._network.send_many(self.index, (receiver,), frame, at_ns)
        elif isinstance(effect, SetTimer):
            due_ns = max(self.clock.compute_virtual_ns(effect.at_ns), at_ns)
            self._kernel.at(due_ns, self._on_timer, (self._incarnation, effect.timer))
        elif isinstance(effect, Reply):
            self._observer.on_reply(at_ns, self.index, effect)
        else:
            assert isinstance(effect, Disconnect), "effects are a closed union"
            self._observer.on_disconnect(at_ns, self.index, effect)
