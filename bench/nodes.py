"""How many inputs a second real nodes can take, apart from the network between them.

A city without people runs once, and what its peers are given is written down: every input, in
order, with its instant. New nodes are then given the same inputs, and only that is timed:
``Node.handle`` with real consensus, real signatures and real blocks, work shared as in every
simulation. Nodes are deterministic, so they end on the same head; that is checked.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.ballots import make_ballots, make_deeds, make_identity
from bench.cities import IdleCity, build_city
from bench.figures import Figure, MeasurementFailed, Target, collector_off
from node.chain import Chain
from node.crypto import Identity
from node.effects import Effect
from node.inputs import Input, Received, Started
from node.machine import Machine
from node.node import Node
from node.transaction import decode_transaction
from node.types import Now
from node.work import Work
from sim.shared import SharedWork
from sim.topology import TopologyConfig

REGISTRAR_BLOCKS = 3
LAST_MILE_NS = 40_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Which city, for how many blocks, and how many ballots come to each block."""

    config: TopologyConfig
    blocks: int
    ballots_per_block: int = 0


@dataclass(frozen=True, slots=True)
class Handed:
    """One input as a peer was given it."""

    peer: int
    now: Now
    happened: Input


class Recorder(Machine):
    """Stands before a node and writes down what it is given."""

    __slots__ = ("_index", "_log", "node")

    def __init__(self, index: int, node: Node, log: list[Handed]) -> None:
        self._index = index
        self._log = log
        self.node = node

    def handle(self, now: Now, happened: Input) -> tuple[Effect, ...]:
        """As ``Node.handle``."""
        self._log.append(Handed(self._index, now, happened))
        return self.node.handle(now, happened)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the peers of a city were given.

    From ``log[steady]`` on all are linked and blocks come one after the other; ``heads`` are
    the digests that the nodes reached, ``ballots`` what voters sent.
    """

    idle: IdleCity
    started_ns: int
    log: list[Handed]
    steady: int
    heads: tuple[bytes, ...]
    ballots: list[bytes]

    def count_frames(self) -> float:
        """The share of frames among the steady inputs."""
        steady = self.log[self.steady :]
        return sum(type(item.happened) is Received for item in steady) / len(steady)


def record(load: Load) -> Recording:
    """Run the city once. Raises MeasurementFailed if its blocks or ballots fail."""
    idle = build_city(load.config)
    city, log = idle.city, list[Handed]()
    started_ns = city.kernel.now_ns
    nodes: list[Node] = []

    def step_between(index: int) -> None:
        node = city.get_node(index)
        assert node is not None
        nodes.append(node)
        peer = city.peers[index]
        log.append(Handed(index, peer.clock.read(started_ns), Started()))
        peer.node = Recorder(index, node, log)

    idle.start(step_between)
    ballots = _submit(idle, load)
    idle.run_blocks(REGISTRAR_BLOCKS)
    # half-way between two blocks, so that no block is cut in two
    city.kernel.run_until(city.kernel.now_ns + idle.interval_ns // 2)
    steady, before = len(log), nodes[0].chain.height
    idle.run_blocks(load.blocks)
    made = {node.chain.height for node in nodes}
    if made != {before + load.blocks}:
        raise MeasurementFailed(f"{load.blocks} blocks from {before} on ended at {made}")
    _check_ballots(nodes[0], load)
    heads = tuple(node.chain.head.digest for node in nodes)
    return Recording(
        idle=idle, started_ns=started_ns, log=log, steady=steady, heads=heads, ballots=ballots
    )


def _submit(idle: IdleCity, load: Load) -> list[bytes]:
    """The registrar's transactions at once, then ballots, a block's worth in each interval."""
    count = load.ballots_per_block * load.blocks
    if not count:
        return []
    city = idle.city
    voters = [make_identity(10 + number) for number in range(count)]
    # before the time of which the first block is, the relays' links come up
    at_ns = city.kernel.now_ns + idle.interval_ns // 5
    for deed in make_deeds(idle.chief, voters, city.chain_id):
        city.submit(0, -1, deed, at_ns)
    ballots = make_ballots(voters, city.chain_id)
    first_ns = city.kernel.now_ns + REGISTRAR_BLOCKS * idle.interval_ns
    every_ns = idle.interval_ns // load.ballots_per_block
    for number, ballot in enumerate(ballots):
        at_ns = first_ns + number * every_ns + LAST_MILE_NS
        city.submit(number % city.relay_count, number, ballot, at_ns)
    _remember(city.work, ballots)
    return ballots


def _remember(work: object, ballots: list[bytes]) -> None:
    """As in every simulation, workers have checked the ballots' signatures."""
    assert isinstance(work, SharedWork)
    for ballot in ballots:
        item = decode_transaction(ballot, len(ballot))
        work.remember_checked(item.sender, item.id, item.signature)


def _check_ballots(node: Node, load: Load) -> None:
    if not load.ballots_per_block:
        return
    output = node.chain.output
    statuses = [] if output is None else [
        status for outcome in output.outcomes for _, status in outcome
    ]
    if not statuses or set(statuses) != {"ok"}:
        raise MeasurementFailed(f"ballots in the last block ended as {set(statuses) or None}")


def replay(recording: Recording) -> float:
    """Inputs per second of processor time in the steady part, taken by new nodes."""
    work = SharedWork()
    _remember(work, recording.ballots)
    spent_ns = replay_ns(recording, work, recording.idle.city.identities)
    return (len(recording.log) - recording.steady) * 1e9 / max(1, spent_ns)


def replay_ns(
    recording: Recording, work: Work, identities: Sequence[Identity],
    upon_effects: Callable[[tuple[Effect, ...]], None] | None = None,
) -> int:
    """Processor nanoseconds of the steady part, taken by new nodes with these helpers.

    ``upon_effects`` is told each answer in that part, within the time. Raises
    MeasurementFailed if the nodes end on other heads.
    """
    idle = recording.idle
    city, genesis = idle.city, idle.genesis
    trunk = Chain(genesis).trunk
    nodes = [
        Node(genesis, identities[peer.index], peer.role, work, Chain(genesis, trunk), None,
             recording.started_ns)
        for peer in city.topology.peers
    ]
    calls = [(nodes[item.peer].handle, item.now, item.happened) for item in recording.log]
    for handle, now, happened in calls[: recording.steady]:
        handle(now, happened)
    steady = calls[recording.steady :]
    with collector_off():
        began_ns = time.process_time_ns()
        if upon_effects is None:
            for handle, now, happened in steady:
                handle(now, happened)
        else:
            for handle, now, happened in steady:
                upon_effects(handle(now, happened))
        spent_ns = time.process_time_ns() - began_ns
    if tuple(node.chain.head.digest for node in nodes) != recording.heads:
        raise MeasurementFailed("the same inputs led to other heads")
    return spent_ns


def run_city(load: Load) -> tuple[float, float]:
    """A whole city (kernel, network, processors, nodes) in its steady state.

    Returns inputs per second of processor time, and kernel events per block and peer.
    """
    idle = build_city(load.config)
    city = idle.city
    idle.start()
    idle.run_blocks(REGISTRAR_BLOCKS)
    events, handled = city.kernel.events, sum(peer.handled for peer in city.peers)
    with collector_off():
        began_ns = time.process_time_ns()
        idle.run_blocks(load.blocks)
        spent_ns = time.process_time_ns() - began_ns
    handled = sum(peer.handled for peer in city.peers) - handled
    events = city.kernel.events - events
    return handled * 1e9 / max(1, spent_ns), events / load.blocks / len(city.peers)


def measure_nodes(
    repeats: int, *, config: TopologyConfig | None = None, blocks: int = 12,
    ballots_per_block: int = 150,
) -> list[Figure]:
    """Rates in 1/s of nodes alone, with and without ballots, and of a whole idle city."""
    config = TopologyConfig() if config is None else config
    idle = Load(config=config, blocks=blocks)
    busy = Load(config=config, blocks=blocks, ballots_per_block=ballots_per_block)
    recording = record(idle)
    size = f"{config.validators} validators, {config.relays} relays, " \
           f"{config.observers} observers"
    figures = [Figure(
        name="node.events_per_s", unit="1/s", target=Target(sense=">=", value=100_000),
        values=tuple(replay(recording) for _ in range(repeats)),
        about=f"Node.handle of each input of {blocks} empty blocks ({size}; "
              f"{recording.count_frames():.0%} frames of consensus and blocks, the rest "
              "timers), signing and checking included, network and host not; processor time",
    )]
    recording = record(busy)
    figures.append(Figure(
        name="node.events_busy_per_s", unit="1/s",
        values=tuple(replay(recording) for _ in range(repeats)),
        about=f"the same with {ballots_per_block} ballots in a block, their signatures "
              "checked before by workers",
    ))
    runs = [run_city(idle) for _ in range(repeats)]
    figures.append(Figure(
        name="city.events_per_s", unit="1/s", values=tuple(rate for rate, _ in runs),
        about="inputs that peers take in a whole city of that size with empty blocks: "
              "kernel, network, host and nodes together; processor time",
    ))
    figures.append(Figure(
        name="city.events_per_block_peer", unit="", values=tuple(each for _, each in runs),
        target=Target(sense="<=", value=6), about="kernel events in the same city",
    ))
    return figures
