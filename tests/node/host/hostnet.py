"""Hosts joined by a fake wire in one process: real nodes, tasks and timers; no socket, no file.

Time is trio's, so a test with ``autojump_clock`` lives minutes in milliseconds. Threads are not
seen by that clock, so these hosts do without.
"""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from node.chain import Chain
from node.events import BlockFinal
from node.host.clock import Clock
from node.host.host import Host
from node.host.link import FrameCame, LinkDown, LinkUp
from node.inputs import Role
from node.params import Genesis, Params
from node.services.identity import GRANT_RIGHT, REGISTER, make_grant_right
from node.transaction import make_transaction
from tests.node.samples import make_identity

START_NS = 1_000_000_000_000
LATENCY_S = 0.005
CHIEF = make_identity("registrar")


def read_ns():
    return START_NS + round(trio.current_time() * 1e9)


class FakeStore:
    """A disk that survives its host; ``fail`` is raised by the next write."""

    def __init__(self, genesis):
        self.genesis = genesis
        self.blocks = []
        self.slots = {}
        self.chain = Chain(genesis)
        self.groups = []
        self.fail = None

    @property
    def lock(self):
        return self.slots.get("lock")

    def write(self, entries, chain):
        if self.fail is not None:
            raise self.fail
        self.groups.append([slot for slot, _ in entries])
        for slot, data in entries:
            if slot == "block":
                self.blocks.append(data)
                assert chain.get_encoded(len(self.blocks)) == data
            else:
                self.slots[slot] = data
        assert chain.height == len(self.blocks), "the chain is that after the entries"
        self.chain = chain


class FakeWire:
    """One host's end of the fake wire; frames arrive in order, LATENCY_S later."""

    def __init__(self, net, index):
        self.net = net
        self.index = index
        self.told = None
        self.lost = []
        self.frames = []

    async def run(self, events, *, task_status=trio.TASK_STATUS_IGNORED):
        self.told, told = trio.open_memory_channel(10_000)
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                task_status.started()
                for other in self.net.hosts:
                    if self.net.are_neighbours(self, other.wire):
                        self.net.join(self, other.wire)
                async for happening in told:
                    await events.send(happening)
        finally:
            self.told = None
            for handle, (wire, _, _) in list(self.net.ends.items()):
                if wire is self:
                    self.net.part(handle)

    def send(self, peer, frame):
        self.send_many((peer,), frame)

    def send_many(self, peers, frame):
        self.frames.append(frame)
        for peer in peers:
            if peer in self.net.ends:
                self.net.ends[peer][2].send_nowait(frame)

    def entitle(self, role, identities):
        self.entitled = (role, tuple(identities))

    def disconnect(self, peer, reason):
        self.lost.append((peer, reason))
        self.net.part(peer)


@dataclass
class Place:
    """A node's place in the net, whether its host runs or not.

    Its clock of the real time is ``step_ns`` ahead; timers do not go by that one.
    """

    identity: object
    role: Role
    wire: FakeWire
    store: FakeStore
    host: Host | None = None
    step_ns: int = 0
    events: list = field(default_factory=list)


class HostNet:
    """Hosts by index: validators, then relays, then observers."""

    def __init__(self, nursery, validators=4, relays=1, observers=1, params=None):
        keys = [make_identity(f"validator {n}") for n in range(validators)]
        keys.sort(key=lambda identity: identity.public)
        relay_keys = [make_identity(f"relay {n}") for n in range(relays)]
        observer_keys = [make_identity(f"observer {n}") for n in range(observers)]
        self.genesis = Genesis(
            params=params or Params(), validators=tuple(key.public for key in keys),
            relays=tuple(key.public for key in relay_keys), registrar=CHIEF.public,
            time_ns=START_NS,
        )
        self.chain_id = self.genesis.compute_chain_id()
        self.nursery = nursery
        self.ends = {}  # handle: (whose it is, the other side's handle, frames to send)
        self.handles = 0
        self.hosts = []
        for role, identities in (
            (Role.VALIDATOR, keys), (Role.RELAY, relay_keys), (Role.OBSERVER, observer_keys),
        ):
            for identity in identities:
                wire = FakeWire(self, len(self.hosts))
                self.hosts.append(Place(identity, role, wire, FakeStore(self.genesis)))

    def are_neighbours(self, one, other):
        if one is other or one.told is None or other.told is None:
            return False
        return {self.hosts[one.index].role, self.hosts[other.index].role} in (
            {Role.VALIDATOR}, {Role.VALIDATOR, Role.RELAY}, {Role.RELAY, Role.OBSERVER},
        )

    def join(self, one, other):
        self.handles += 2
        here, there = self.handles - 1, self.handles
        for mine, theirs, wire, peer in ((here, there, one, other), (there, here, other, one)):
            send, receive = trio.open_memory_channel(10_000)
            self.ends[mine] = (wire, theirs, send)
            place = self.hosts[peer.index]
            wire.told.send_nowait(LinkUp(mine, place.identity.public, place.role))
            wire.nursery.start_soon(self._carry, receive, theirs, peer)

    async def _carry(self, receive, handle, wire):
        async for frame in receive:
            await trio.sleep_until(trio.current_time() + LATENCY_S)
            if handle in self.ends:
                wire.told.send_nowait(FrameCame(handle, frame))

    def part(self, handle):
        end = self.ends.pop(handle, None)
        if end is not None:
            wire, other, send = end
            send.close()
            if wire.told is not None:
                wire.told.send_nowait(LinkDown(handle, "parted"))
            self.part(other)

    @asynccontextmanager
    async def running(self, index):
        """The host at ``index`` runs from what its disk holds until the block is left."""
        place = self.hosts[index]
        async with trio.open_nursery() as nursery:
            await self._start(nursery, place)
            yield place.host
            nursery.cancel_scope.cancel()

    async def start(self, *indices):
        for index in indices or range(len(self.hosts)):
            await self._start(self.nursery, self.hosts[index])

    async def _start(self, nursery, place):
        place.host = Host(
            genesis=self.genesis, identity=place.identity, role=place.role, wire=place.wire,
            storage=place.store, loaded=place.store,
            clock=Clock(
                monotonic_ns=read_ns, realtime_ns=lambda: read_ns() + place.step_ns
            ),
            threads=0, disk_threads=0,
            watch=lambda now, event: place.events.append(event),
        )
        await nursery.start(place.host.run)

    async def reach(self, height, *indices):
        """Until those hosts hold ``height``, and have it on disk."""
        for index in indices or range(len(self.hosts)):
            place = self.hosts[index]
            heights = place.host.subscribe()
            while not any(
                type(event) is BlockFinal and event.height >= height for event in place.events
            ):
                await heights.receive()

    def make_grant(self, nonce):
        payload = make_grant_right(make_identity(f"clerk {nonce}").public, REGISTER)
        return make_transaction(CHIEF, self.chain_id, GRANT_RIGHT, nonce, payload)

    def assert_one_chain(self):
        digests = {}
        for place in self.hosts:
            chain = place.host.chain
            for height in range(chain.height + 1):
                digest = chain.get_digest(height)
                assert digests.setdefault(height, digest) == digest
            assert chain.state.root == chain.head.state_root
