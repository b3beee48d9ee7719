"""All links of one node: who may have one, who dials whom, and who goes when there is no room.

*Places.* Validators and relays of the chain have one place each, which nobody else can take.
Others share ``inbound_max`` places; `node.host.limits` says who makes room. Those whom this
node dials are as many as its settings name.

*One link per identity.* A second one is refused while the first is alive, that is, until its
peer has said nothing for three ping intervals; then it takes the first one's place. So a peer
that lost its power is back within seconds, and a clone of its key, however often it comes,
never drives it out. If two nodes dial each other at the same moment, the one with the smaller
key refuses the other's and its own stays.

*Dialling.* Each configured peer is dialled whenever there is no link to it, with a growing wait
between attempts; a link that lasted longer than the longest wait begins anew.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

import trio

from node.crypto import SEED_BYTES, Identity
from node.host.channel import Channel, FrameReader, FrameWriter
from node.host.errors import HandshakeFailed, LinkRefused, SettingsError
from node.host.greeting import answer, greet, say
from node.host.handshake import Agreed, Refusal, Responder, Terms
from node.host.limits import Backoff, Holder, Limits, choose_crowded, choose_evicted
from node.host.link import Happening, Link, LinkStats
from node.host.network import Network, TcpNetwork, get_address, get_bound_address
from node.inputs import Role
from node.params import Genesis
from node.types import PeerHandle, PublicKey

# What accept says when this process or machine has no more to give; it may have soon.
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Target(NamedTuple):
    """A peer to keep a link to; ``identity`` None: whoever answers there."""

    host: str
    port: int
    identity: PublicKey | None


class Links:
    """The links of one node; ``run`` is their life.

    ``genesis_file`` is what is given to whoever asks for the genesis. ``random`` gives numbers
    in [0, 1) for jitter, ``entropy`` fresh random bytes. ``bound_address`` is known once
    ``run`` has started. All methods but ``run`` return at once, and all of them ignore a peer
    whose link is gone.
    """

    def __init__(
        self, *, identity: Identity, role: Role, genesis: Genesis, genesis_file: bytes,
        limits: Limits, targets: Sequence[Target], listen: tuple[str, int] | None,
        random: Callable[[], float], entropy: Callable[[int], bytes] = os.urandom,
        network: Network | None = None,
    ) -> None:
        self.stats = LinkStats()
        self.bound_address: tuple[str, int] | None = None
        self._terms = Terms(identity, role, genesis.compute_chain_id())
        self._genesis_file = genesis_file
        self._limits = limits
        self._targets = [item for item in targets if item.identity != identity.public]
        self._listen = listen
        self._random = random
        self._entropy = entropy
        self._network: Network = network or TcpNetwork()
        self._entitled = {
            Role.VALIDATOR: frozenset(genesis.validators),
            Role.RELAY: frozenset(genesis.relays),
        }
        self._handles = count(1)
        self._links: dict[PeerHandle, Link] = {}
        self._by_identity: dict[PublicKey, Link] = {}
        self._guests: dict[PeerHandle, str] = {}  # observers who dialled us: their addresses
        self._dialling: set[PublicKey] = set()
        self._pending: dict[trio.CancelScope, Holder] = {}

    async def run(
        self, events: trio.MemorySendChannel[Happening], *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen and dial until cancelled; started once it listens.

        ``events`` gets LinkUp, then FrameCame any number of times, then LinkDown of each link.
        Raises SettingsError if the address to listen on cannot be had.
        """
        listeners = await self._open_listeners()
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery, events)
            for target in self._targets:
                nursery.start_soon(self._keep_linked, target, events)
            task_status.started()

    def send(self, peer: PeerHandle, frame: bytes) -> None:
        """Queue a frame for a peer; one that is too slow loses its link."""
        link = self._links.get(peer)
        if link is None:
            self.stats.frames_unsent += 1
        else:
            link.send(frame)

    def send_many(self, peers: Iterable[PeerHandle], frame: bytes) -> None:
        """Queue the same frame for several peers."""
        for peer in peers:
            self.send(peer, frame)

    def disconnect(self, peer: PeerHandle, reason: str) -> None:
        """End a peer's link."""
        link = self._links.get(peer)
        if link is not None:
            link.end(reason)

    def entitle(self, role: Role, identities: Iterable[PublicKey]) -> None:
        """From now on these, and no others, may claim ``role`` (the genesis' do at first)."""
        assert role is not Role.OBSERVER
        self._entitled[role] = frozenset(identities)

    def list_peers(self) -> list[tuple[PublicKey, Role]]:
        """Whom there is a link to, in the order in which they came."""
        return [(link.identity, link.role) for link in self._links.values()]

    async def _open_listeners(self) -> Sequence[trio.abc.Listener[trio.abc.Stream]]:
        if self._listen is None:
            return []
        host, port = self._listen
        try:
            listeners = await self._network.listen(host, port)
        except OSError as error:
            raise SettingsError(
                "listen", f"{host}:{port}", f"give another address ({error.strerror or error})"
            ) from error
        self.bound_address = get_bound_address(listeners[0])
        return listeners

    async def _accept(
        self, listener: trio.abc.Listener[trio.abc.Stream], nursery: trio.Nursery,
        events: trio.MemorySendChannel[Happening],
    ) -> None:
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in _OUT_OF_RESOURCES:
                        raise
                    self.stats.accept_pauses += 1
                    await trio.sleep(self._limits.accept_pause_s)
                else:
                    nursery.start_soon(self._take_in, stream, events)

    async def _take_in(
        self, stream: trio.abc.Stream, events: trio.MemorySendChannel[Happening]
    ) -> None:
        self.stats.visitors += 1
        address = get_address(stream)
        try:
            party = await self._hear(stream, address)
            if party is None:
                return
            assert party.agreed is not None
            refusal = self._judge(party.agreed, address)
            if refusal is None:
                await self._live(
                    stream, party.agreed, events, address=address, verdict=party.welcome()
                )
            else:
                with trio.move_on_after(self._limits.handshake_timeout_s):
                    await say(stream, party.refuse(refusal))
                raise LinkRefused(refusal.reason)
        except (HandshakeFailed, LinkRefused) as error:
            self.stats.visitors_refused[error.reason] += 1
        finally:
            await trio.aclose_forcefully(stream)

    async def _hear(self, stream: trio.abc.Stream, address: str) -> Responder | None:
        with self._wait_in_line(address) as scope:
            party = await answer(
                stream, self._terms, self._entropy(SEED_BYTES), self._genesis_file
            )
            self.stats.genesis_given += party is None
            return party
        assert scope.cancelled_caught
        is_early = trio.current_time() < scope.deadline
        raise HandshakeFailed("crowded out" if is_early else "too slow")

    @contextmanager
    def _wait_in_line(self, address: str) -> Iterator[trio.CancelScope]:
        if len(self._pending) >= self._limits.pending_max:
            crowded = list(self._pending)[choose_crowded(list(self._pending.values()))]
            del self._pending[crowded]
            crowded.cancel()
        with trio.move_on_after(self._limits.handshake_timeout_s) as scope:
            self._pending[scope] = Holder(address, trio.current_time())
            try:
                yield scope
            finally:
                self._pending.pop(scope, None)

    def _judge(self, agreed: Agreed, address: str) -> Refusal | None:
        """Whether a visitor gets a link; if an observer has to go for it, it does."""
        if not self._is_entitled(agreed):
            return Refusal.ROLE
        is_mine_first = self._terms.identity.public < agreed.identity
        if self._is_linked(agreed.identity) or (
            is_mine_first and agreed.identity in self._dialling
        ):
            return Refusal.DUPLICATE
        if agreed.role is Role.OBSERVER and not self._make_room(address):
            return Refusal.FULL
        return None

    def _is_entitled(self, agreed: Agreed) -> bool:
        role = agreed.role
        return role is Role.OBSERVER or agreed.identity in self._entitled[role]

    def _is_linked(self, identity: PublicKey) -> bool:
        link = self._by_identity.get(identity)
        return link is not None and not link.is_ending and not link.is_silent()

    def _make_room(self, address: str) -> bool:
        guests = [peer for peer in self._guests if not self._links[peer].is_ending]
        if len(guests) < self._limits.inbound_max:
            return True
        holders = [self._links[peer].describe(self._guests[peer]) for peer in guests]
        evicted = choose_evicted(holders, address, trio.current_time(), self._limits)
        if evicted is None:
            return False
        self._links[guests[evicted]].end("evicted")
        return True

    async def _live(
        self, stream: trio.abc.Stream, agreed: Agreed,
        events: trio.MemorySendChannel[Happening], *, address: str | None = None,
        verdict: bytes = b"",
    ) -> None:
        """A link's whole life; an ``address`` tells that the other dialled."""
        channel = Channel(
            stream, FrameWriter(agreed.sealer), FrameReader(agreed.opener),
            self._limits.idle_timeout_s, self.stats,
        )
        link = Link(next(self._handles), agreed, channel, self._limits, self.stats)
        predecessor = self._by_identity.get(link.identity)
        if predecessor is not None:
            predecessor.end("replaced")
        self._links[link.peer] = self._by_identity[link.identity] = link
        if address is not None and link.role is Role.OBSERVER:
            self._guests[link.peer] = address
        try:
            await link.run(events, verdict, predecessor)
        finally:
            del self._links[link.peer]
            self._guests.pop(link.peer, None)
            if self._by_identity[link.identity] is link:
                del self._by_identity[link.identity]

    async def _keep_linked(
        self, target: Target, events: trio.MemorySendChannel[Happening]
    ) -> None:
        backoff = Backoff(self._limits, self._random)
        while True:
            began_s = trio.current_time()
            if target.identity in self._by_identity:
                await self._by_identity[target.identity].ended.wait()
            else:
                await self._dial(target, events)
            if trio.current_time() - began_s > self._limits.backoff_max_s:
                backoff = Backoff(self._limits, self._random)
            await trio.sleep(backoff.compute_next_s())

    async def _dial(
        self, target: Target, events: trio.MemorySendChannel[Happening]
    ) -> None:
        self.stats.dials += 1
        try:
            with trio.fail_after(self._limits.handshake_timeout_s):
                stream = await self._network.connect(target.host, target.port)
        except (OSError, trio.TooSlowError):
            self.stats.dials_failed["unreachable"] += 1
            return
        try:
            agreed = await self._greet(stream, target)
            await self._live(stream, agreed, events)
        except (HandshakeFailed, LinkRefused) as error:
            self.stats.dials_failed[error.reason] += 1
        finally:
            await trio.aclose_forcefully(stream)

    async def _greet(self, stream: trio.abc.Stream, target: Target) -> Agreed:
        if target.identity is not None:
            if self._is_linked(target.identity):
                raise LinkRefused(Refusal.DUPLICATE.reason)  # it came while we connected
            self._dialling.add(target.identity)
        try:
            with trio.fail_after(self._limits.handshake_timeout_s):
                seed = self._entropy(SEED_BYTES)
                agreed = await greet(stream, self._terms, seed, target.identity)
        except trio.TooSlowError as error:
            raise HandshakeFailed("too slow") from error
        finally:
            if target.identity is not None:
                self._dialling.discard(target.identity)
        if not self._is_entitled(agreed):
            raise LinkRefused(Refusal.ROLE.reason)
        if self._is_linked(agreed.identity):
            raise LinkRefused(Refusal.DUPLICATE.reason)
        return agreed
