"""A small network with receivers that keep what they get, and a scripted machine."""

from collections.abc import Callable

from node.effects import Disconnect, Effect, Reply
from node.events import Event
from node.inputs import Input, Received
from node.machine import Machine
from node.types import Now
from sim.clocks import Clock
from sim.costs import CostTable, Prices, price
from sim.journal import Journal
from sim.kernel import Kernel
from sim.links import Links
from sim.network import Network, Receiver
from sim.peer import Observer, Peer
from sim.rules import RuleSet
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

Got = tuple[int, int, int, bytes]


class Wires:
    """Kernel, topology, links, rules, journal and network of one seed."""

    def __init__(self, config: TopologyConfig, seed: int = 1, *, brute: bool = False) -> None:
        streams = Streams(seed)
        self.kernel = Kernel()
        self.topology = Topology.build(config, streams)
        self.links = Links(self.topology, streams)
        self.rules = RuleSet(self.links.chances)
        self.journal = Journal()
        self.network = Network(
            self.kernel, self.topology, self.links, self.rules, self.journal,
            count_duplicates_as_events=brute,
        )

    def run(self, for_ns: int = 3_600_000_000_000) -> None:
        self.kernel.run_until(self.kernel.now_ns + for_ns)


class Sink(Receiver):
    """Keeps (instant, receiver, sender, frame) in a list that all sinks share."""

    def __init__(self, wires: Wires, index: int, got: list[Got]) -> None:
        self.wires = wires
        self.index = index
        self.got = got

    def receive(self, sender: int, frame: bytes) -> bool:
        self.got.append((self.wires.kernel.now_ns, self.index, sender, frame))
        return True


class Gossiper(Sink):
    """Spreads what it gets to its neighbours of the mesh, a little later."""

    def receive(self, sender: int, frame: bytes) -> bool:
        super().receive(sender, frame)
        self.give(frame, sender, 300_000)
        return True

    def give(self, frame: bytes, source: int | None = None, after_ns: int = 0) -> None:
        wires = self.wires
        first = wires.topology.config.validators
        onward = tuple(
            peer for peer in wires.topology.neighbours[self.index]
            if peer >= first and peer != source
        )
        depart_ns = wires.kernel.now_ns + after_ns
        wires.network.spread(self.index, onward, frame, frame[:32], depart_ns)


def make_sinks(wires: Wires) -> list[Got]:
    got: list[Got] = []
    wires.network.attach([Sink(wires, peer.index, got) for peer in wires.topology.peers])
    return got


class Script(Machine):
    """A machine that answers each input by a function, and keeps what it was told."""

    def __init__(self, answer: Callable[[Now, Input], tuple[Effect, ...]]) -> None:
        self.answer = answer
        self.told: list[tuple[Now, Input]] = []

    def handle(self, now: Now, happened: Input) -> tuple[Effect, ...]:
        self.told.append((now, happened))
        return self.answer(now, happened)

    @property
    def frames(self) -> list[bytes]:
        return [happened.frame for _, happened in self.told if isinstance(happened, Received)]


class Listener(Observer):
    """Keeps what peers say."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int, Event]] = []
        self.replies: list[tuple[int, int, Reply]] = []
        self.disconnects: list[tuple[int, int, Disconnect]] = []

    def on_event(self, at_ns: int, peer: int, event: Event) -> None:
        self.events.append((at_ns, peer, event))

    def on_reply(self, at_ns: int, peer: int, reply: Reply) -> None:
        self.replies.append((at_ns, peer, reply))

    def on_disconnect(self, at_ns: int, peer: int, disconnect: Disconnect) -> None:
        self.disconnects.append((at_ns, peer, disconnect))


# round figures of the tests' own: a new calibration must not change what they expect
COSTS = CostTable(
    name="round", machine="none", cores=1, spread_ratio=0.0,
    ns=(51_000, 17_000, 34_000, 2, 2.5, 12_000, 4_000, 5_000, 1, 0, 20_000, 0, 0, 0, 0),
)


def make_peers(
    wires: Wires, listener: Listener, *, inbox_bytes_max: int = 1 << 20,
    clock: Clock | None = None,
) -> list[Peer]:
    """Peers that are off; each waits for ``restart``."""
    prices: dict[str, Prices] = {}
    peers = []
    for spec in wires.topology.peers:
        priced = prices.setdefault(spec.profile.name, price(COSTS, spec.profile))
        peers.append(Peer(
            spec.index, clock or Clock(), priced, inbox_bytes_max, wires.kernel, wires.network,
            wires.journal, listener,
        ))
    wires.network.attach(peers)
    return peers
