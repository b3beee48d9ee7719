"""One node in the real world: ``Node.handle`` between links, disk, clock and clients.

    links ──► wake ──► one task: Node.handle ──► outbox ──► links
              ▲ ▲ ▲                               │ Persist: one write in a thread
       timers─┘ │ └─checker (threads)             ▼
              clients                            disk

One nursery holds all of it: what fails in one place ends the node, with nothing left behind.
One task alone touches the node, and takes whatever waits before it looks at the clock again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, assert_never

import trio

from node.block import decode_block
from node.chain import Chain
from node.crypto import Identity
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
from node.errors import InvalidMessage
from node.events import BlockFinal, ConflictSeen, Event, InputRefused
from node.host.clients import Clients
from node.host.clock import Clock, Timers
from node.host.inspection import Inspector
from node.host.link import FrameCame, Happening, LinkDown, LinkUp
from node.host.memory import WorkMemory
from node.host.meter import Meter, Spent
from node.host.outbox import Entry, Outbox
from node.host.pool import Checker, Threads
from node.inputs import (
    Input,
    PeerJoined,
    PeerLeft,
    Received,
    Role,
    Started,
    TimerFired,
)
from node.node import Node
from node.params import Genesis
from node.types import Now, PeerHandle, PublicKey
from node.wire import Status, decode_frame
from node.work import WorkKind

BATCH_MAX = 64
"""Happenings taken before timers and finished checks get their turn."""

EVENTS_MAX = 64
"""Happenings that wait; readers of links wait with theirs when there are more."""

HEIGHTS_MAX = 256
_STATUS = b"\x01"

STARTS = "starts"
"""The slot that counts the starts of this node."""

SEQUENCE_BITS = 32
"""Each start gives a relay a new range of so many bits for the numbers of its bundles: none is
ever used twice, whatever the clock says, and the disk is not asked for each.
"""


class Wire(Protocol):
    """The links of one node, as its host uses them; ``send`` never blocks."""

    async def run(
        self, events: trio.MemorySendChannel[Happening],
        *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hold links, and tell what happens on them; started once it listens."""

    def send(self, peer: PeerHandle, frame: bytes) -> None:
        """Queue a frame; for a peer that is gone this does nothing."""

    def send_many(self, peers: Sequence[PeerHandle], frame: bytes) -> None:
        """Queue one frame for several peers."""

    def disconnect(self, peer: PeerHandle, reason: str) -> None:
        """End a link whose peer broke the protocol."""

    def entitle(self, role: Role, identities: Iterable[PublicKey]) -> None:
        """From now on these, and no others, may claim ``role``."""


class Storage(Protocol):
    """The disk of one node; called in a thread, by one call at a time."""

    def write(self, entries: Sequence[Entry], chain: Chain) -> None:
        """Make all entries durable, or raise StoreError; ``chain`` is that after them."""


class Loaded(Protocol):
    """What a restart found on the disk."""

    @property
    def chain(self) -> Chain:
        """The chain as far as it is stored."""

    @property
    def lock(self) -> bytes | None:
        """What the engine promised last."""

    @property
    def slots(self) -> Mapping[str, bytes]:
        """All that was persisted by slot, blocks apart."""


class Host:
    """One running node. Give it its parts, then ``await run()`` until it is cancelled.

    ``threads`` check signatures and ``disk_threads``, 0 or 1, write to the disk; with 0 the
    caller's own does.
    ``watch`` is told every event, with the time; ``count_links`` gives the wire's own counters,
    which stand among ``counters`` under "links". ``has_fault`` says what is broken beyond
    repair, None while nothing is known to be; ``heard`` is how far the peer is that said so
    last.
    """

    def __init__(
        self, *, genesis: Genesis, identity: Identity, role: Role, wire: Wire,
        storage: Storage, loaded: Loaded, clock: Clock, threads: int = 2, disk_threads: int = 1,
        watch: Callable[[Now, Event], None] | None = None,
        count_links: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.genesis = genesis
        self.role = role
        self.has_fault: str | None = None
        self._wire = wire
        self._storage = storage
        self._clock = clock
        self._watch = watch
        self._count_links = count_links
        self._peers: dict[PeerHandle, tuple[PublicKey, Role]] = {}
        self._heights: list[trio.MemorySendChannel[int]] = []
        self._send, self._receive = trio.open_memory_channel[Happening | None](EVENTS_MAX)
        self._is_woken = False
        self.heard: Status | None = None
        self._linked = trio.Event()
        self._synced = trio.Event()
        self._validators: tuple[PublicKey, ...] = ()
        self._inputs = 0
        self._worked = [0] * len(WorkKind)
        self._refusals: Counter[str] = Counter()
        self._starts = int.from_bytes(loaded.slots.get(STARTS, b""), "big") + 1
        self.meter = meter = Meter()
        self._work = work = WorkMemory(meter)
        chain = loaded.chain
        self._node = Node(
            genesis, identity, role, work, chain, loaded.lock,
            self._starts << SEQUENCE_BITS,
        )
        self._clients = Clients()
        self._timers = Timers(clock, self._wake)
        assert disk_threads in (0, 1), "writes keep their order"
        self._disk = Threads(disk_threads, meter)
        self._checker = Checker(
            genesis, chain.chain_id, Inspector(chain, role, work), work,
            Threads(threads, meter), self._wake, meter,
        )
        self._outbox = Outbox(self._perform, self._write)

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Be a node; started once it listens and its node has been told so.

        Raises StoreError, alone or in a group, when the disk fails: nothing that depended on
        the failed write has left the node.
        """
        await self._write([(STARTS, self._starts.to_bytes(8, "big"))])
        self._entitle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._outbox.run)
            nursery.start_soon(self._timers.run)
            await nursery.start(self._checker.run)
            await nursery.start(self._wire.run, self._send)
            self._handle(Started())
            nursery.start_soon(self._serve)
            task_status.started()

    # What others ask of a running node.

    @property
    def chain(self) -> Chain:
        """The final chain; to be read, and not across an await."""
        return self._node.chain

    async def wait_linked(self) -> None:
        """Until there was a link to a peer."""
        await self._linked.wait()

    async def wait_synced(self) -> None:
        """Until a peer has said how far it is, and no blocks that it has are missing here."""
        await self._synced.wait()

    def peers(self) -> list[tuple[PublicKey, Role]]:
        """Who is linked."""
        return list(self._peers.values())

    def list_rejected(self) -> list[str]:
        """Why peers were sent away for what they sent, each reason once."""
        mark = "reject: "
        return [reason.removeprefix(mark) for reason in self._refusals
                if reason.startswith(mark)]

    def counters(self) -> Mapping[str, float]:
        """Counts since the start, and levels at this moment, by dotted name."""
        counters: dict[str, float] = {
            "chain.height": self._node.chain.height,
            "checker.checks": self._checker.checks,
            "clients.waiting": len(self._clients),
            "disk.writes": self._outbox.writes,
            "inputs.count": self._inputs,
            "outbox.waiting": len(self._outbox),
            "peers.count": len(self._peers),
            "timers.waiting": len(self._timers),
        }
        counters |= self.meter.build_counters()
        for kind, units in zip(WorkKind, self._worked, strict=True):
            counters[f"worked.{kind.name.lower()}"] = units
        for reason, count in self._refusals.items():
            counters[f"refused.{reason}"] = count
        for name, count in self._count_links().items():
            counters[f"links.{name}"] = count
        return counters

    def subscribe(self) -> trio.MemoryReceiveChannel[int]:
        """Heights as they become final here; a subscriber that is far behind misses some."""
        send, receive = trio.open_memory_channel[int](HEIGHTS_MAX)
        self._heights.append(send)
        return receive

    async def submit(self, transaction: bytes) -> str:
        """The relay's verdict on one transaction: "accepted", or the reason of the refusal."""
        return (await self.submit_many([transaction]))[0]

    async def submit_many(self, transactions: Sequence[bytes]) -> list[str]:
        """Verdicts in order. What is over ``CLIENTS_MAX`` at a time is "busy"."""
        group, submitted = self._clients.admit(transactions)
        try:
            self._checker.put_submitted(submitted)
            return await group.wait()
        finally:
            self._clients.forget(group)

    # The one task that touches the node.

    async def _serve(self) -> None:
        receive, checker = self._receive, self._checker
        while True:
            happening = await receive.receive()
            # once for all that waits: a clock that is read for each would cost as much again
            self.meter.run(Spent.HANDLE, self._take_turn, happening)
            await self._outbox.wait_room()
            while checker.is_full:
                await checker.wait_room()
                self.meter.run(Spent.HANDLE, self._take_checked)

    def _take_turn(self, happening: Happening | None) -> None:
        self._take(happening)
        for _ in range(BATCH_MAX):
            try:
                self._take(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        for timer in self._timers.take_due():
            self._handle(TimerFired(timer))
        self._take_checked()

    def _take_checked(self) -> None:
        for happened in self._checker.take_done():
            self._handle(happened)

    def _wake(self) -> None:
        if not self._is_woken:
            try:
                self._send.send_nowait(None)
            except trio.WouldBlock:
                return  # there is enough to wake up for
            self._is_woken = True

    def _take(self, happening: Happening | None) -> None:
        match happening:
            case None:
                self._is_woken = False
            case FrameCame(peer, frame):
                received = Received(peer, frame)
                if self._checker.pass_by(received):
                    self._handle(received)
            case LinkUp(peer, identity, role):
                self._peers[peer] = (identity, role)
                self._linked.set()
                self._handle(PeerJoined(peer, identity, role))
            case LinkDown(peer, _):
                del self._peers[peer]
                left = PeerLeft(peer)
                if self._checker.leave(left):
                    self._handle(left)

    def _handle(self, happened: Input) -> None:
        self._inputs += 1
        if type(happened) is Received and happened.frame[1:2] == _STATUS:
            self._hear(happened.frame)
        self._outbox.put(self._node.handle(self._clock.read(), happened))
        if self.heard is not None and not self._node.sync.is_running:
            self._synced.set()

    def _hear(self, frame: bytes) -> None:
        try:
            message = decode_frame(frame, self.genesis.params, self._work)
        except InvalidMessage:
            return  # the node says what that costs
        if isinstance(message, Status):
            self.heard = message

    # What the node wants done.

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Worked):
            self._worked[effect.kind] += effect.units
        elif isinstance(effect, Spread):
            self._wire.send_many(effect.peers, effect.frame)
        elif isinstance(effect, Send):
            self._wire.send(effect.peer, effect.frame)
        elif isinstance(effect, SetTimer):
            self._timers.set(effect.timer, effect.at_ns)
        elif isinstance(effect, Reply):
            self._clients.answer(effect.client, effect.verdict)
        elif isinstance(effect, Emit):
            self._tell(effect.event)
        elif isinstance(effect, Disconnect):
            self._wire.disconnect(effect.peer, effect.reason)
        else:
            assert not isinstance(effect, Persist), "the outbox writes those"
            assert_never(effect)

    async def _write(self, entries: Sequence[Entry]) -> None:
        # the node goes on meanwhile: the disk is given the chain as the entries left it
        await self._disk.run(
            Spent.DISK, self._storage.write, entries, self._node.chain.copy()
        )

    def _tell(self, event: Event) -> None:
        if isinstance(event, InputRefused):
            self._refusals[f"{event.verdict}: {event.reason}"] += 1
        elif isinstance(event, BlockFinal):
            self._forget(event.height)
            self._entitle()
            self._tell_height(event.height)
        elif isinstance(event, ConflictSeen):
            self.has_fault = (
                f"two sealed blocks at height {event.height}: {event.mine.hex()} and "
                f"{event.other.hex()}"
            )
        if self._watch is not None:
            self._watch(self._clock.read(), event)

    def _forget(self, height: int) -> None:
        encoded = self._node.chain.get_encoded(height)
        for bundle in decode_block(encoded, self.genesis.params).bundles:
            self._work.forget_final(bundle)

    def _entitle(self) -> None:
        validators = self._node.chain.authorities.validators
        if validators != self._validators:
            self._validators = validators
            self._wire.entitle(Role.VALIDATOR, validators)

    def _tell_height(self, height: int) -> None:
        for subscriber in list(self._heights):
            try:
                subscriber.send_nowait(height)
            except trio.WouldBlock:
                pass  # it will see a later one
            except trio.BrokenResourceError:
                self._heights.remove(subscriber)
