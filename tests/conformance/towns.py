"""One small town on two hosts: virtual peers in virtual time, and processes over TCP.

Peers by index: validators 0 to 3, relay 4, observer 5, and observer 6, which ``found`` leaves
off. Both hosts have the same keys, genesis and rules, so the same transactions must lead to the
same state. What a case asks of a town is the same on both; on TCP it waits in real time.
"""

import json
import shutil
import time
from urllib.request import Request, urlopen

import trio

from bench.cluster.follower import Follower
from bench.cluster.places import furnish, plan_places
from bench.cluster.process import Process
from node.codec import encode
from node.params import Params
from node.services.identity import GRANT_RIGHT, REGISTER, make_grant_right
from node.transaction import make_transaction
from sim.city import City
from sim.clocks import ClockConfig
from sim.costs import load_costs
from sim.identities import derive_identities, derive_identity, derive_secrets, make_genesis
from sim.journal import Journal
from sim.kernel import Kernel
from sim.shared import SharedWork
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

SEED = 3
VALIDATORS, RELAY, OBSERVER, LATE = range(4), 4, 5, 6
PARAMS = Params(
    block_interval_ns=400_000_000, round_timeout_ns=1_000_000_000, bundle_lead_ns=100_000_000
)
SECOND_NS = 1_000_000_000
PATIENCE_S = 60
POLL_S = 0.02


class Plan:
    """What both hosts have in common."""

    def __init__(self, start_ns):
        self.streams = Streams(SEED)
        self.topology = Topology.build(
            TopologyConfig(validators=4, relays=1, observers=2), self.streams
        )
        self.identities = derive_identities(SEED, self.topology)
        self.chief = derive_identity(SEED, "registrar")
        self.start_ns = start_ns
        self.genesis = make_genesis(
            self.topology, self.identities, self.chief, PARAMS, start_ns
        )
        self.chain_id = self.genesis.compute_chain_id()
        self.nonce = 0

    def make_grant(self):
        """The chief's next transaction."""
        self.nonce += 1
        payload = make_grant_right(derive_identity(SEED, "clerk", self.nonce).public, REGISTER)
        return make_transaction(self.chief, self.chain_id, GRANT_RIGHT, self.nonce, payload)


class VirtualTown:
    """Peers of the simulator; every wait steps their kernel."""

    def __init__(self, plan):
        self.plan = plan
        self.kernel = Kernel(plan.start_ns)
        self.city = City(
            kernel=self.kernel, topology=plan.topology, genesis=plan.genesis,
            identities=plan.identities, work=SharedWork(), costs=load_costs(),
            journal=Journal(), streams=plan.streams, clocks=ClockConfig(offset_ns=0),
        )
        self.city.listener = self
        self.verdicts = []

    async def found(self):
        for index in range(LATE):
            self.city.start(index)

    def close(self):
        pass

    def upon_reply(self, at_ns, relay, client, transaction_id, verdict):
        self.verdicts.append(verdict)

    def upon_relay_final(self, at_ns, relay, height):
        pass

    def start(self, index):
        self.city.start(index)

    def kill(self, index, *, keep_disk=True):
        assert self.city.crash(index, keep_disk=keep_disk)

    async def fill_disk(self, index):
        assert self.city.fill_disk(index)

    def pause(self, index):
        assert self.city.pause(index)

    def resume(self, index):
        assert self.city.resume(index)

    async def submit(self, transaction):
        told = len(self.verdicts)
        self.city.submit(0, 0, transaction, self.kernel.now_ns)
        await self._wait(lambda: len(self.verdicts) > told)
        return self.verdicts[-1]

    async def reach(self, height, *indices):
        await self._wait(lambda: all(self.get_height(index) >= height for index in indices))

    async def wait_round_changes(self, count):
        await self._wait(lambda: self.city.round_changes >= count)

    async def _wait(self, is_there):
        limit_ns = self.kernel.now_ns + PATIENCE_S * SECOND_NS
        while not is_there():
            assert self.kernel.now_ns < limit_ns, "nothing comes"
            self.kernel.run_until(self.kernel.now_ns + SECOND_NS // 50)
            assert self.city.broken is None

    @property
    def round_changes(self):
        return self.city.round_changes

    def get_height(self, index):
        node = self.city.get_node(index)
        return 0 if node is None else node.chain.height

    def get_digest(self, index, height):
        return self.city.get_node(index).chain.get_digest(height)

    async def read_root(self, height):
        """The state after block ``height`` by the relay's header."""
        return self.city.get_node(RELAY).chain.get_header(height).state_root


class TcpTown:
    """Processes of ``veche node``, told of by their files of events."""

    def __init__(self, plan, folder):
        self.plan = plan
        self.folder = folder
        public = [identity.public for identity in plan.identities]
        places = plan_places(folder, plan.topology, plan.genesis, public)
        secrets = derive_secrets(SEED, plan.topology)
        furnish(places, plan.genesis, secrets, speed=1.0, origin_ns=plan.start_ns,
                get_dial_port=lambda _, other: places[other].port)
        self.processes = [Process(place) for place in places]
        self.followers = [Follower(place.events) for place in places]
        self.finals = [{} for _ in places]
        self.heights = [0] * len(places)
        self.listening = [False] * len(places)
        self.round_changes = 0

    async def found(self):
        for index in range(LATE):
            self.start(index)

    def close(self):
        """Ends all; a process that does not end in order fails the suite."""
        for process in self.processes:
            process.ask_to_stop()
        ended = [process.wait(PATIENCE_S) for process in self.processes]
        assert all(ended)
        shutil.rmtree(self.folder)

    def start(self, index):
        self.processes[index].start()

    def kill(self, index, *, keep_disk=True):
        self.processes[index].kill(keep_disk=keep_disk)
        self.look()
        self.heights[index] = 0
        self.listening[index] = False

    async def fill_disk(self, index):
        """Until the node has ended of it, in the way that it should."""
        process = self.processes[index]
        process.fill_disk()
        await self._wait(lambda: process.has_died)
        assert process.exit_code == 112
        assert "make room" in process.read_last_words()
        assert "Traceback" not in process.read_last_words()
        self.kill(index)

    def pause(self, index):
        self.processes[index].pause()

    def resume(self, index):
        self.processes[index].resume()

    async def submit(self, transaction):
        """The relay's verdict; a relay that has just been started is waited for."""
        return (await trio.to_thread.run_sync(self._post, encode([transaction])))[0]

    def _post(self, body):
        url = f"http://127.0.0.1:{self.processes[RELAY].place.http_port}/v1/transactions/batch"
        request = Request(url, body, {"content-type": "application/msgpack"})
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())["verdicts"]

    async def reach(self, height, *indices):
        await self._wait(lambda: all(self.heights[index] >= height for index in indices))

    async def wait_round_changes(self, count):
        await self._wait(lambda: self.round_changes >= count)

    async def _wait(self, is_there):
        with trio.fail_after(PATIENCE_S):
            self.look()
            # no event tells of what another process writes to a file
            while not is_there():
                await trio.sleep_until(trio.current_time() + POLL_S)
                self.look()

    def look(self):
        """Read what the nodes have told."""
        for index, follower in enumerate(self.followers):
            for told in follower.read():
                if told.name == "BlockFinal":
                    height, digest = told.fields["height"], bytes.fromhex(told.fields["digest"])
                    assert self.finals[index].setdefault(height, digest) == digest
                    if self.listening[index]:  # before, its doors are closed
                        self.heights[index] = height
                elif told.name == "Listening":
                    self.listening[index] = True
                    self.heights[index] = told.fields["height"]
                elif told.name == "RoundChanged":
                    self.round_changes += 1
                assert told.name != "ConflictSeen"

    def get_height(self, index):
        self.look()
        return self.heights[index]

    def get_digest(self, index, height):
        return self.finals[index][height]

    async def read_root(self, height):
        """The state after block ``height`` by what the relay serves."""
        block = await trio.to_thread.run_sync(self._get, f"/v1/block/{height}")
        return bytes.fromhex(block["state_root"])

    def _get(self, path):
        url = f"http://127.0.0.1:{self.processes[RELAY].place.http_port}{path}"
        with urlopen(url, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())


def make_virtual(_):
    return VirtualTown(Plan(time.time_ns()))


def make_tcp(folder):
    return TcpTown(Plan(time.time_ns()), folder)
