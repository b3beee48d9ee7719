"""ADMIT, REQUEST, INDEX: what a relay's host does for its clients besides its node.

The first two are measured on a relay of its own, a process as ``veche node`` starts it, that
hears of no validator: what it spends is what its clients cost.
"""

import http.client
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.ballots import make_ballots, make_identity
from bench.cluster.places import furnish, plan_places
from bench.cluster.process import Process
from bench.figures import MeasurementFailed
from bench.processors import read_cpu_ns
from bench.transactions import CHAIN_ID
from bench.trials import Sample, Trial, time_best_ns
from node.block import Header, make_header
from node.chain import Chain
from node.codec import encode
from node.execution import BlockOutput
from node.host.index import Index
from node.host.openapi import BATCH_MAX, MSGPACK
from node.host.settings import LOOPBACK
from node.inputs import Role
from node.params import Genesis, Params
from node.state import State
from node.types import Digest
from node.work import WorkKind
from sim.identities import derive_identities, derive_identity, derive_secrets, make_genesis
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

SEED = 5
FIRST_VOTER = 2_000_000
BATCHES = 3
REQUESTS = 100
START_S_MAX = 30.0
POLL_S = 0.05
PENDING_MAX = 1 << 40


class LoneRelay:
    """A relay's process without a town; each ``submit`` hands in ballots that it never saw."""

    def __init__(self, folder: Path) -> None:
        topology = Topology.build(
            TopologyConfig(validators=4, relays=1, observers=0), Streams(SEED)
        )
        identities = derive_identities(SEED, topology)
        chief = derive_identity(SEED, "registrar")
        params = Params(relay_pending_max=PENDING_MAX)
        genesis = make_genesis(topology, identities, chief, params, 0)
        places = plan_places(folder, topology, genesis, [one.public for one in identities])
        furnish(places, genesis, derive_secrets(SEED, topology), speed=1.0, origin_ns=0,
                get_dial_port=lambda _, other: places[other].port)
        (place,) = [place for place in places if place.role is Role.RELAY]
        assert place.http_port is not None
        self._chain_id = Chain(genesis).chain_id
        self._voters = FIRST_VOTER
        self._process = Process(place)
        self._connection = http.client.HTTPConnection(LOOPBACK, place.http_port, timeout=60)

    def start(self) -> None:
        """Raises MeasurementFailed if it does not answer."""
        self._process.start()
        deadline_s = time.monotonic() + START_S_MAX
        while True:
            try:
                self._ask_once("GET", "/health", None)
                return
            except OSError as error:
                self._connection.close()
                if time.monotonic() > deadline_s or self._process.has_died:
                    words = self._process.read_last_words()
                    raise MeasurementFailed(f"a relay does not start: {words}") from error
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End it."""
        self._connection.close()
        self._process.kill(keep_disk=True)

    def measure_request_ns(self) -> float:
        """What it spends on a request that asks for next to nothing."""
        began_ns = self._read_cpu_ns()
        for _ in range(REQUESTS):
            self._ask("GET", "/health")
        return (self._read_cpu_ns() - began_ns) / REQUESTS

    def measure_ballot_ns(self) -> float:
        """What it spends on a ballot that comes with others, ``BATCH_MAX`` in one request."""
        count = BATCHES * BATCH_MAX
        voters = [make_identity(self._voters + number) for number in range(count)]
        self._voters += count
        ballots = make_ballots(voters, self._chain_id)
        bodies = [
            encode(list(ballots[first : first + BATCH_MAX]))
            for first in range(0, count, BATCH_MAX)
        ]
        began_ns = self._read_cpu_ns()
        for body in bodies:
            answer = self._ask("POST", "/v1/transactions/batch", body)
            if answer.count(b'"accepted"') != BATCH_MAX:
                raise MeasurementFailed("a relay refuses ballots")
        return (self._read_cpu_ns() - began_ns) / count

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            return self._ask_once(method, path, body)
        except ConnectionError:
            # between two rounds on a busy machine a relay loses patience with who is silent
            self._connection.close()
            return self._ask_once(method, path, body)

    def _ask_once(self, method: str, path: str, body: bytes | None) -> bytes:
        self._connection.request(method, path, body, {"content-type": MSGPACK})
        return self._connection.getresponse().read()

    def _read_cpu_ns(self) -> int:
        return read_cpu_ns(self._process.pid)


@contextmanager
def run_relay(folder: Path) -> Iterator[LoneRelay]:
    """One that runs, with its files in ``folder`` until the end."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        relay = LoneRelay(Path(name).resolve())  # else a place in its own settings
        try:
            relay.start()
            yield relay
        finally:
            relay.stop()


def make_client_trials(relay: LoneRelay, check: Trial, handle: Trial) -> list[Trial]:
    """ADMIT, less what a node reports for it by other names; and REQUEST."""

    def admit() -> float:
        known_ns = check.measure() + handle.measure() + relay.measure_request_ns() / BATCH_MAX
        return max(0.0, relay.measure_ballot_ns() - known_ns)

    return [
        Trial(WorkKind.ADMIT, "what a relay's process spends on a ballot handed in by HTTP "
              f"with {BATCH_MAX - 1} others, apart from its check, its handling and the "
              "request: decoded for the check, bundled, answered", admit),
        Trial(WorkKind.REQUEST, "what it spends on an HTTP request, apart from what is asked",
              relay.measure_request_ns),
    ]


@dataclass(frozen=True, slots=True)
class HeadChain:
    """A chain of which an index sees only the head."""

    head: Header
    output: BlockOutput
    state: State
    height: int = 1

    def get_digest(self, height: int) -> Digest:
        """Nobody asks for another than genesis."""
        assert height == 0
        return bytes(32)


@dataclass(frozen=True, slots=True)
class HeadDesk:
    """A desk whose chain stands still."""

    chain: HeadChain

    def subscribe(self) -> trio.MemoryReceiveChannel[int]:
        """A channel in which nothing will come."""
        send, receive = trio.open_memory_channel[int](0)
        send.close()
        return receive


def make_index_trial(sample: Sample, folder: Path) -> Trial:
    """INDEX: a block's receipts into the file in which people's questions are looked up."""
    output = sample.execute(sample.state)
    nothing = bytes(32)
    header = make_header(
        CHAIN_ID, 1, nothing, 0, nothing, nothing, nothing, output.state_root, (), None
    )
    desk = HeadDesk(HeadChain(header, output, output.state))
    genesis = Genesis(
        params=Params(), validators=(bytes(32),), relays=(), registrar=bytes(32), time_ns=0
    )

    def write() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as name, closing(
            Index.open(Path(name) / "index.sqlite", genesis)
        ) as index:
            # of a desk an index wants no more than this one has
            trio.run(index.follow, desk)  # type: ignore[arg-type]
            if index.height != 1:
                raise MeasurementFailed(f"the index: {index.fault}")

    count = len(output.receipts)
    return Trial(
        WorkKind.INDEX, f"a receipt of a block of {count:,} put into a relay's index",
        lambda: time_best_ns(write, 2) / count,
    )
