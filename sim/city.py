"""The city: its peers with their nodes, their links, and the relays' doors to the people.

It hands inputs to peers and what peers say to whoever listens. Links exist between neighbours
of the topology that are both up; both ends are told one latency after the other came or went.
"""

from collections.abc import Sequence
from typing import Protocol

from node.chain import Chain
from node.crypto import Identity
from node.effects import Disconnect, Reply
from node.events import (
    BlockFinal,
    BlockProposed,
    ConflictSeen,
    Event,
    InputRefused,
    RoundChanged,
)
from node.inputs import Input, PeerJoined, PeerLeft, Started
from node.node import Node
from node.params import Genesis, Params
from node.state import State
from node.work import Work, WorkKind
from sim.blocks import BlockTable
from sim.cityface import Nanoseconds
from sim.clocks import Clock, ClockConfig, draw_clocks
from sim.cores import Cores
from sim.costs import CostTable, Prices, price
from sim.errors import InvariantBroken
from sim.journal import Journal
from sim.kernel import EPOCH_NS, Kernel
from sim.last_miles import LastMiles
from sim.links import Links
from sim.network import Network
from sim.peer import Observer, Peer
from sim.rules import RuleSet
from sim.shared import SharedWork
from sim.streams import Streams
from sim.tenant import Tenant
from sim.topology import HardwareProfile, PeerSpec, Topology


class Listener(Protocol):
    """Whoever speaks for the city's people and offices."""

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay answered a submission."""

    def upon_relay_final(self, at_ns: int, relay: int, height: int) -> None:
        """Relay number ``relay`` holds final block ``height``."""


class City(Observer):
    """Peers by index: validators, then relays, then observers.

    With ``cores`` all of them run on one machine; else each has its own. ``refused`` counts
    refusals by (verdict, reason), ``round_changes`` those of validators.
    """

    def __init__(
        self, *, kernel: Kernel, topology: Topology, genesis: Genesis,
        identities: Sequence[Identity], work: Work, costs: CostTable, journal: Journal,
        streams: Streams, clocks: ClockConfig, cores: Cores | None = None,
    ) -> None:
        self.kernel = kernel
        self.midnight_ns = EPOCH_NS
        self.topology = topology
        self.genesis = genesis
        self.identities = identities
        self.work = work
        self.costs = costs
        self.journal = journal
        links = Links(topology, streams)
        self.links = links
        self.rules = RuleSet(links.chances)
        self.network = Network(kernel, topology, links, self.rules, journal)
        self.traffic = self.network.traffic
        self._prices: dict[tuple[str, float], Prices] = {}
        drawn = draw_clocks(len(topology.peers), clocks, streams)
        self.peers = [
            self._make_peer(spec, drawn[spec.index], cores) for spec in topology.peers
        ]
        self.network.attach(self.peers)
        self.blocks = BlockTable(len(topology.peers))
        self._first_relay = topology.config.validators
        self._relays = topology.config.relays
        self.listener: Listener | None = None
        self.refused: dict[tuple[str, str], int] = {}
        self.round_changes = 0
        self.reads_dropped = 0
        self.broken: InvariantBroken | None = None
        self._trunk = Chain(genesis).trunk
        self._chains: dict[int, Chain] = {}
        self._linked: set[tuple[int, int]] = set()
        self.up = 0
        self._miles = LastMiles(streams)

    def _make_peer(self, spec: PeerSpec, clock: Clock, cores: Cores | None) -> Peer:
        prices, inbox_bytes_max = self.get_prices(spec.profile), spec.profile.inbox_bytes_max
        if cores is None:
            return Peer(
                spec.index, clock, prices, inbox_bytes_max, self.kernel, self.network,
                self.journal, self,
            )
        return Tenant(
            spec.index, clock, prices, inbox_bytes_max, self.kernel, self.network,
            self.journal, self, cores,
        )

    # Coming and going.

    def start(self, index: int) -> None:
        """Switch a peer on, from what its disk kept or from genesis, and link it."""
        peer = self.peers[index]
        assert not peer.is_up
        chain = self._chains.pop(index, None) or Chain(self.genesis, self._trunk)
        # A relay's bundles are numbered on from a number that it cannot have reached before.
        sequence = self.kernel.now_ns
        lock = peer.disk.get("lock")
        node = Node(
            self.genesis, self.identities[index], self.topology.peers[index].role, self.work,
            chain, None if lock is None else b"".join(lock), sequence,
        )
        peer.restart(node)
        self.up += 1
        assert self.up <= len(self.peers)
        self.blocks.set_peers(self.up)
        peer.tell(Started())
        for other in self.topology.neighbours[index]:
            if self.peers[other].is_up:
                self._link(index, other)

    # Faults (sim.faults.City).

    def crash(self, peer: int, *, keep_disk: bool) -> bool:
        """Switch a peer off at once; what its node had made durable may come back."""
        machine = self.peers[peer]
        node = machine.node
        if not isinstance(node, Node):
            return False
        machine.crash(keep_disk=keep_disk)
        if keep_disk:
            self._chains[peer] = node.chain.copy()
        self.up -= 1
        assert self.up >= 0
        self.blocks.set_peers(max(1, self.up))
        for other in self.topology.neighbours[peer]:
            self._unlink(peer, other)
        return True

    def restart(self, peer: int) -> bool:
        """Switch a peer on with what its disk holds."""
        if self.peers[peer].is_up:
            return False
        assert not isinstance(self.peers[peer], Tenant), "its chain may be ahead of its disk"
        self.start(peer)
        return True

    def fill_disk(self, peer: int) -> bool:
        """A node ends with the first write that fails: here at once, with its disk kept."""
        return self.crash(peer, keep_disk=True)

    def pause(self, peer: int) -> bool:
        """Let a peer stand still."""
        machine = self.peers[peer]
        if not machine.is_up or machine.is_paused:
            return False
        machine.pause()
        return True

    def resume(self, peer: int) -> bool:
        """Let a paused peer go on."""
        if not self.peers[peer].is_paused:
            return False
        self.peers[peer].resume()
        return True

    def slow(self, peer: int, factor: float) -> None:
        """Work on a peer takes ``factor`` times as long as usual; 1 ends it."""
        profile = self.topology.peers[peer].profile
        self.peers[peer].price(self.get_prices(profile, factor))

    def step_clock(self, peer: int, by_ns: int) -> None:
        """Set a peer's realtime clock forward or back."""
        self.peers[peer].clock.step(by_ns)

    def _link(self, one: int, other: int) -> None:
        pair = (min(one, other), max(one, other))
        assert pair not in self._linked
        self._linked.add(pair)
        for here, there in (pair, pair[::-1]):
            joined = PeerJoined(
                there, self.identities[there].public, self.topology.peers[there].role
            )
            self._tell_later(here, joined, self.links.compute_latency_ns(there, here))

    def _unlink(self, gone: int, other: int) -> None:
        pair = (min(gone, other), max(gone, other))
        if pair not in self._linked:
            return
        self._linked.remove(pair)
        latency_ns = self.links.compute_latency_ns(gone, other)
        self._tell_later(other, PeerLeft(gone), latency_ns)

    def _tell_later(self, index: int, happened: Input, delay_ns: int) -> None:
        self.kernel.at(self.kernel.now_ns + delay_ns, self._tell, (index, happened))

    def _tell(self, told: tuple[int, Input]) -> None:
        index, happened = told
        if self.peers[index].is_up:
            self.peers[index].tell(happened)

    def get_prices(self, profile: HardwareProfile, factor: float = 1.0) -> Prices:
        """What work costs on such a machine, ``factor`` times slower than it should be."""
        key = (profile.name, factor)
        if key not in self._prices:
            self._prices[key] = price(self.costs, profile, factor)
        return self._prices[key]

    def get_nodes(self) -> list[Node]:
        """Those of all peers that are up."""
        found = map(self.get_node, range(len(self.peers)))
        return [node for node in found if node is not None]

    def get_node(self, index: int) -> Node | None:
        """The node of a peer that is up."""
        node = self.peers[index].node
        assert node is None or isinstance(node, Node)
        return node

    # What peers say (sim.peer.Observer).

    def on_event(self, at_ns: int, peer: int, event: Event) -> None:
        """A node emitted a fact: keep the block table, count, tell the people."""
        if type(event) is BlockFinal:
            self._upon_final(at_ns, peer, event)
            return
        self.journal.event(at_ns, peer, event)
        if type(event) is BlockProposed:
            self.blocks.upon_proposed(at_ns, event.digest, event.transactions)
        elif type(event) is InputRefused:
            key = (event.verdict, event.reason)
            self.refused[key] = self.refused.get(key, 0) + 1
        elif type(event) is RoundChanged:
            self.round_changes += 1
        elif type(event) is ConflictSeen:
            self._break(InvariantBroken(
                "one chain", at_ns, f"peer {peer} saw two sealed blocks {event.height}"
            ))

    def _upon_final(self, at_ns: int, peer: int, event: BlockFinal) -> None:
        """Of all peers' same news the journal keeps the first; the table has the rest."""
        try:
            if self.blocks.upon_final(at_ns, peer, event.height, event.digest):
                self.journal.event(at_ns, peer, event)
        except InvariantBroken as error:
            self._break(error)
        relay = peer - self._first_relay
        if 0 <= relay < self._relays and self.listener is not None:
            self.listener.upon_relay_final(at_ns, relay, event.height)

    def on_reply(self, at_ns: int, peer: int, reply: Reply) -> None:
        """A relay answered a client."""
        if self.listener is not None:
            relay = peer - self.topology.config.validators
            self.listener.upon_reply(
                at_ns, relay, reply.client, reply.transaction_id, reply.verdict
            )

    def on_disconnect(self, at_ns: int, peer: int, disconnect: Disconnect) -> None:
        """A node ends a link for good: both ends lose it."""
        key = ("disconnect", disconnect.reason)
        self.refused[key] = self.refused.get(key, 0) + 1
        other = disconnect.peer
        pair = (min(peer, other), max(peer, other))
        if pair in self._linked:
            self._linked.remove(pair)
            delay_ns = max(0, at_ns - self.kernel.now_ns)
            self._tell_later(peer, PeerLeft(other), delay_ns)
            latency_ns = self.links.compute_latency_ns(peer, other)
            self._tell_later(other, PeerLeft(peer), delay_ns + latency_ns)

    def _break(self, error: InvariantBroken) -> None:
        if self.broken is None:
            self.broken = error
        self.kernel.stop()

    # The relays from outside (sim.cityface.City).

    @property
    def chain_id(self) -> bytes:
        """For which chain transactions are signed."""
        return self._trunk.headers[0].chain_id

    @property
    def params(self) -> Params:
        """The chain's rules."""
        return self.genesis.params

    @property
    def relay_count(self) -> int:
        """Relays are numbered from 0."""
        return self.topology.config.relays

    def submit(self, relay: int, client: int, transaction: bytes, at_ns: int) -> None:
        """A transaction arrives at ``relay`` at ``at_ns``."""
        peer = self.peers[self.topology.config.validators + relay]
        self.kernel.at(at_ns, self._submit, (peer, client, transaction))

    def _submit(self, submitted: tuple[Peer, int, bytes]) -> None:
        peer, client, transaction = submitted
        peer.submit(client, transaction)

    def last_mile_ns(self, rows: Nanoseconds) -> Nanoseconds:
        """One way between each user and a relay: half on fibre, half mobile."""
        return self._miles.get_ns(rows)

    def read_load(self, relay: int, requests: int, at_ns: int) -> None:
        """So many read requests come to a relay: its processor serves them as one batch."""
        peer = self.peers[self.topology.config.validators + relay]
        if not peer.is_up:
            self.reads_dropped += requests
            return
        peer.serve(WorkKind.SERVE_READ, requests)

    def remember_made(self, key: bytes, message: bytes, signature: bytes) -> None:
        """This process has signed it: it holds, if there is a notary who sees to that."""
        if isinstance(self.work, SharedWork):
            self.work.remember_made(key, message, signature)

    def remember_checked(self, key: bytes, message: bytes, signature: bytes) -> None:
        """A worker process has checked that this signature holds."""
        if isinstance(self.work, SharedWork):
            self.work.remember_checked(key, message, signature)

    def remember_opened(self, box: bytes, plain: bytes | None) -> None:
        """A worker process has opened this box."""
        if isinstance(self.work, SharedWork):
            self.work.remember_opened(box, plain)

    def find_longest_chain(self) -> Chain:
        """The longest chain in the city, for judges, who may ask anyone and open any disk.

        Genesis alone if every peer was switched off and lost its disk.
        """
        chains = [node.chain for node in self.get_nodes()]
        # What is final stays final when those who held it are off: their disks come too.
        chains += self._chains.values()
        genesis = Chain(self.genesis, self._trunk)
        return max(chains, key=lambda chain: chain.height, default=genesis)

    def read_final_state(self) -> State:
        """The state after the longest chain."""
        return self.find_longest_chain().state

    def read_records(self, relay: int) -> State | None:
        """The latest final state that ``relay`` holds; None while it is down."""
        node = self.get_node(self.topology.config.validators + relay)
        return None if node is None else node.chain.state
