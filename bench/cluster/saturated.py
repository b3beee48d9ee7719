"""One run of a saturated cluster: ballots signed ahead, pushed, and found on the disk."""

import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import trio

from bench.ballots import make_ballots, make_deeds, make_identity
from bench.cluster.door import ENDS
from bench.cluster.errors import single_out
from bench.cluster.feed import Feed
from bench.cluster.follower import Follower, Json, Told
from bench.cluster.places import furnish, plan_places
from bench.cluster.process import Process, require_alive
from bench.figures import MeasurementFailed
from bench.processors import count_cores
from bench.speedometer import EVERY_TICKS, Look, Speedometer
from node.block import decode_block
from node.bundle import decode_bundle
from node.params import Genesis, Params
from node.services.election.registry import REVOTES_MAX
from sim.identities import derive_identities, derive_identity, derive_secrets, make_genesis
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

SEED = 1
CHUNK = 2_000
KEYS_PER_VOTER = 1 + REVOTES_MAX
"""As many as the registry allows, to be ready soon."""

POLL_S = 0.02
PATIENCE_S = 60.0
STOP_S = 20.0

PARAMS = Params(
    block_interval_ns=1_000_000_000, round_timeout_ns=8_000_000_000,
    bundle_lead_ns=500_000_000, block_transactions_max=20_000, relay_pending_max=100_000,
    mempool_relay_bytes_max=32 * 1024 * 1024, sender_pending_max=20_000,
)
"""A block each second, and limits beyond what two cores can do; the registrar prepares all at
once, so one sender may have many waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is pushed through whom."""

    ballots: int = 100_000
    validators: int = 4
    warm_up_s: float = 5.0
    backlog_max: int = 12_000
    batch: int = 500
    connections: int = 4

    @property
    def processes(self) -> int:
        """Each of which checks each transaction."""
        return self.validators + 1


@dataclass(slots=True)
class Seen:
    """What one run's nodes have told: final blocks at the relay, and counters of all."""

    final_ns: dict[int, int] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    counters: list[list[tuple[int, dict[str, float]]]] = field(default_factory=list)
    round_changes: int = 0

    def count(self, height: int) -> int:
        """The transactions of a final block."""
        return self.counts[self.digests[height]]


class Town:
    """Processes, and what they tell."""

    def __init__(self, folder: Path, load: Load) -> None:
        config = TopologyConfig(
            validators=load.validators, relays=1, observers=0,
            validators_per_relay=load.validators,
        )
        topology = Topology.build(config, Streams(SEED))
        identities = derive_identities(SEED, topology)
        self.chief = derive_identity(SEED, "registrar")
        start_ns = time.time_ns()
        self.genesis: Genesis = make_genesis(
            topology, identities, self.chief, PARAMS, start_ns
        )
        self.chain_id = self.genesis.compute_chain_id()
        self.relay = load.validators
        places = plan_places(
            folder, topology, self.genesis, [identity.public for identity in identities]
        )
        furnish(
            places, self.genesis, derive_secrets(SEED, topology), speed=1.0,
            origin_ns=start_ns, get_dial_port=lambda _, other: places[other].port,
        )
        self.processes = [Process(place) for place in places]
        self._followers = [Follower(place.events) for place in places]
        self._waiting: list[int] = []
        self._listening: set[int] = set()
        self.seen = Seen(counters=[[] for _ in places])
        self.speedometer = Speedometer()
        self.final = 0

    @property
    def port(self) -> int:
        """Where the relay takes transactions."""
        port = self.processes[self.relay].place.http_port
        assert port is not None
        return port

    def look(self) -> None:
        """Read what is new; ``final`` counts the transactions of final blocks."""
        for index, follower in enumerate(self._followers):
            for told in follower.read():
                self._note(index, told)
        seen = self.seen
        while self._waiting and seen.digests[self._waiting[0]] in seen.counts:
            self.final += seen.count(self._waiting.pop(0))

    def _note(self, index: int, told: Told) -> None:
        seen, fields = self.seen, told.fields
        if told.name == "BlockProposed":
            seen.counts[str(fields["digest"])] = read_whole(fields["transactions"])
        elif told.name == "BlockFinal":
            height, digest = read_whole(fields["height"]), str(fields["digest"])
            if seen.digests.setdefault(height, digest) != digest:
                raise MeasurementFailed(f"two final blocks at height {height}")
            if index == self.relay:
                seen.final_ns[height] = told.at_ns
                self._waiting.append(height)
        elif told.name in ("Counted", "Stopped"):
            seen.counters[index].append((told.at_ns, read_counters(fields["counters"])))
        elif told.name == "RoundChanged":
            seen.round_changes += 1
        elif told.name == "Listening":
            self._listening.add(index)

    async def wait_ready(self) -> None:
        """Until all listen and there is a block. Raises MeasurementFailed if none comes."""
        deadline_s = trio.current_time() + PATIENCE_S
        while len(self._listening) < len(self.processes) or not self.seen.final_ns:
            if trio.current_time() > deadline_s:
                raise MeasurementFailed(
                    f"after {PATIENCE_S:g} s {len(self._listening)} of {len(self.processes)} "
                    f"listen, and the relay holds {len(self.seen.final_ns)} blocks"
                )
            await trio.sleep(POLL_S)
            require_alive(self.processes)
            self.look()

    async def push(self, feed: Feed, count: int, connections: int) -> None:
        """Until all ``count`` are final. MeasurementFailed if one is refused or none moves."""
        before = self.final
        moved_s = trio.current_time()
        ticks = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run, connections)
            while feed.final < count:
                await trio.sleep(POLL_S)
                ticks += 1
                if not ticks % EVERY_TICKS:
                    self.speedometer.look()
                require_alive(self.processes)
                self.look()
                if self.final - before > feed.final:
                    feed.final, moved_s = self.final - before, trio.current_time()
                if feed.refused or trio.current_time() - moved_s > PATIENCE_S:
                    raise MeasurementFailed(
                        f"{feed.final:,} of {count:,} final, refused: "
                        f"{dict(feed.refused)}"
                    )

    def stop(self) -> None:
        """End all in order; they tell their counters."""
        for process in self.processes:
            process.ask_to_stop()
        ended = [process.wait(STOP_S) for process in self.processes]
        self.look()
        if not all(ended):
            raise MeasurementFailed("a process did not end in order")


def read_whole(value: Json) -> int:
    """A field that is a whole number."""
    assert isinstance(value, int)
    return value


def read_counters(value: Json) -> dict[str, float]:
    """A field that is a table of numbers."""
    assert isinstance(value, dict)
    return {name: float(n) for name, n in value.items() if isinstance(n, int | float)}


def sign_chunk(chain_id: bytes, first: int) -> list[bytes]:
    """In a process of its own."""
    voters = [make_identity(10 + number) for number in range(first, first + CHUNK)]
    return make_ballots(voters, chain_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What was made before the start."""

    deeds: list[bytes]
    ballots: list[bytes]


@contextmanager
def open_pool() -> Iterator[ProcessPoolExecutor]:
    """A process for each core; what they have not begun at the end is never done."""
    # Ctrl-C is for us, who let go of what is not made yet
    deaf = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    cores = count_cores()
    with ProcessPoolExecutor(cores, initializer=deaf) as pool, ExitStack() as stack:
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        yield pool


def sign(town: Town, load: Load) -> Signed:
    """Deeds and ballots, by all cores."""
    with open_pool() as pool:
        chunks = pool.map(partial(sign_chunk, town.chain_id), range(0, load.ballots, CHUNK))
        voters = [make_identity(10 + number) for number in range(load.ballots)]
        deeds = make_deeds(town.chief, voters, town.chain_id, keys_per_voter=KEYS_PER_VOTER)
        ballots = [ballot for chunk in chunks for ballot in chunk][: load.ballots]
    return Signed(deeds=deeds, ballots=ballots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One run: what was signed, what was seen, and when each ballot left and was final.

    ``looks`` tell what a check took all along.
    """

    load: Load
    signed: Signed
    looks: Sequence[Look]
    seen: Seen
    feed: Feed
    latencies_ns: np.ndarray[tuple[int], np.dtype[np.int64]]
    began_ns: int
    handed_ns: int
    driver_cpu_s: float


def run(load: Load) -> Pushed:
    """Start a cluster, push all ballots through it, end it.

    Raises MeasurementFailed, or ClusterFailed for a process that ended by itself.

    Whatever happens, no process outlives this call.
    """
    with tempfile.TemporaryDirectory(prefix="veche-") as name:
        town = Town(Path(name), load)
        signed = sign(town, load)
        try:
            for process in town.processes:
                process.start()
            try:
                with single_out():
                    spent_s, feed = trio.run(push_all, town, signed, load)
            except ENDS as error:
                raise MeasurementFailed(f"the relay has hung up: {error}") from error
            town.stop()
            final_ns = read_final_ns(town, signed, feed)
        finally:
            for process in town.processes:
                process.kill(keep_disk=True)
    sent_ns = np.array(feed.sent_ns, dtype=np.int64)
    return Pushed(
        load=load, signed=signed, seen=town.seen, feed=feed, began_ns=int(sent_ns[0]),
        looks=town.speedometer.looks,
        latencies_ns=final_ns - sent_ns, handed_ns=int(sent_ns.max()), driver_cpu_s=spent_s,
    )


async def push_all(town: Town, signed: Signed, load: Load) -> tuple[float, Feed]:
    """First the registrar's deeds, then the ballots; what these cost this process."""
    await town.wait_ready()
    deeds, ballots = signed.deeds, signed.ballots
    # a bundle at a time: on two ways to the next proposer one would overtake the other, and its
    # nonces would leave a gap
    await town.push(Feed(
        town.port, deeds, time.time_ns, backlog_max=load.batch, batch=load.batch,
        batch_bytes=PARAMS.bundle_bytes_max * 3 // 4,
    ), len(deeds), 1)
    feed = Feed(town.port, ballots, time.time_ns, backlog_max=load.backlog_max,
                batch=load.batch)
    began_s = time.process_time()
    await town.push(feed, len(ballots), load.connections)
    return time.process_time() - began_s, feed


def read_final_ns(
    town: Town, signed: Signed, feed: Feed
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """When the relay held each ballot final, from its disk.

    Raises MeasurementFailed unless each is in one block and its receipt is "ok".
    """
    data = town.processes[town.relay].place.data
    numbers = {ballot: number for number, ballot in enumerate(signed.ballots)}
    final_ns = np.zeros(len(numbers), dtype=np.int64)
    with closing(sqlite3.connect(data / "veche.sqlite")) as store:
        for height, encoded in store.execute("SELECT height, encoded FROM block"):
            for ballot in list_transactions(encoded):
                number = numbers.get(ballot)
                if number is not None:
                    assert not final_ns[number], "in two blocks"
                    final_ns[number] = town.seen.final_ns[height]
    with closing(sqlite3.connect(data / "index.sqlite")) as index:
        (ok,) = index.execute("SELECT count(*) FROM found WHERE is_ok").fetchone()
    wanted = len(signed.deeds) + len(signed.ballots)
    if not final_ns.all() or ok != wanted:
        raise MeasurementFailed(
            f"of {wanted:,} transactions {ok:,} have the receipt ok; ballots in no block: "
            f"{int((final_ns == 0).sum()):,}"
        )
    return final_ns


def list_transactions(block: bytes) -> list[bytes]:
    """Those of an encoded block, encoded."""
    return [
        transaction.encoded
        for bundle in decode_block(block, PARAMS).bundles
        for transaction in decode_bundle(bundle, PARAMS).transactions
    ]
