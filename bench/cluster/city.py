"""The city of processes, as its people, its judges and its faults see it.

It implements the same faces as the simulated one (``sim.hosted``, ``sim.faults``): users and
auditors are told the same things by the same names, and cannot know who hosts the city.
Instants are those of the nodes' own clocks, which all processes of a cluster share.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from bench.cluster.archive import Archive, HeldPart, RealMember
from bench.cluster.door import Door, Handed
from bench.cluster.follower import Follower, Json, Told, decode_event
from bench.cluster.process import Process
from node.codec import decode
from node.events import BlockFinal, BlockProposed, ConflictSeen, InputRefused, RoundChanged
from node.inputs import Role
from node.params import Genesis, Params
from node.state import State
from node.transaction import compute_transaction_id
from node.work import Work
from sim.blocks import BlockTable
from sim.cityface import Nanoseconds
from sim.costs import CostTable
from sim.errors import InvariantBroken
from sim.journal import Journal
from sim.kernel import Kernel
from sim.last_miles import LastMiles
from sim.rules import RuleSet
from sim.shared import SharedWork
from sim.topology import Topology
from sim.traffic import Traffic

PEAK = "process.peak_mb"
"""The one counter that does not add up over a node's starts."""

SETTLED_NS = 2_000_000
"""Real nanoseconds after which what a node has told is in its file, and can be read in order
with what the others told."""


class Listener(Protocol):
    """Whoever speaks for the city's people and offices."""

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay answered a submission."""

    def upon_relay_final(self, at_ns: int, relay: int, height: int) -> None:
        """Relay number ``relay`` holds final block ``height``."""


class ClusterCity:
    """Processes by index: validators, then relays, then observers.

    ``read_now_ns`` tells the time of the nodes' clocks. ``counters`` are those that each node
    told when it stopped, or last before it was killed, which was ``killed`` times; ``late_ns``
    by how much each submission left after its moment.
    """

    def __init__(
        self, *, kernel: Kernel, midnight_ns: int, topology: Topology, genesis: Genesis,
        costs: CostTable, rules: RuleSet, miles: LastMiles, processes: Sequence[Process],
        archive: Archive, work: SharedWork, read_now_ns: Callable[[], int], speed: float,
    ) -> None:
        self.kernel = kernel
        self.midnight_ns = midnight_ns
        self.topology = topology
        self.genesis = genesis
        self.costs = costs
        self.rules = rules
        self.work: Work = work
        self._shared = work
        self.journal = Journal()
        self.blocks = BlockTable(len(topology.peers))
        self.traffic = Traffic(topology)
        self.traffic.has_regions = False  # links count by role
        self.archive = archive
        self.processes = processes
        self.listener: Listener | None = None
        self.broken: InvariantBroken | None = None
        self.round_changes = 0
        self.refused: dict[tuple[str, str], int] = {}
        self.counters: list[dict[str, float]] = [{} for _ in processes]
        self.killed = [0] * len(processes)
        # what each has told since it started, for those who will tell no more
        self._counted: list[Json] = [None] * len(processes)
        self.late_ns: list[int] = []
        self.doors: list[Door] = []
        self._miles = miles
        self._read_now_ns = read_now_ns
        self._settled_ns = int(SETTLED_NS * speed)
        self._followers = [Follower(process.place.events) for process in processes]
        self._waiting: list[deque[Told]] = [deque() for _ in processes]
        # None while a process does not listen
        self._heights: list[int | None] = [None] * len(processes)
        for number in range(topology.config.relays):
            self.doors.append(self._make_door(number))

    def _make_door(self, relay: int) -> Door:
        port = self.processes[self._get_index(relay)].place.http_port
        assert port is not None

        def told(handed: Handed, verdict: str) -> None:
            at_ns = max(self.kernel.now_ns, self._read_now_ns())
            self.kernel.at(at_ns, self._reply, (relay, handed, verdict))

        return Door(port, told)

    def _get_index(self, relay: int) -> int:
        return self.topology.config.validators + relay

    def _reply(self, replied: tuple[int, Handed, str]) -> None:
        relay, handed, verdict = replied
        if self.listener is not None:
            self.listener.upon_reply(
                self.kernel.now_ns, relay, handed.client, read_id(handed.transaction), verdict
            )

    # What the nodes tell.

    def poll(self) -> None:
        """Take in what the nodes have told since the last call."""
        now_ns = self._read_now_ns()
        for queue, follower in zip(self._waiting, self._followers, strict=True):
            queue.extend(follower.read())
        due: list[tuple[int, int, Told]] = []
        for peer, queue in enumerate(self._waiting):
            while queue and queue[0].at_ns <= now_ns - self._settled_ns:
                if not self._is_known(queue[0]):
                    break
                due.append((queue[0].at_ns, peer, queue.popleft()))
        due.sort(key=lambda item: item[0])
        for at_ns, peer, told in due:
            self.kernel.at(
                max(at_ns, self.kernel.now_ns), self._upon_told, (peer, told)
            )

    def _is_known(self, told: Told) -> bool:
        """Whether the block that the node tells of has come to the archive, too."""
        height = told.fields.get("height")
        if told.name not in ("BlockFinal", "Listening"):
            return True
        assert isinstance(height, int)
        return height <= self.archive.height

    def _upon_told(self, item: tuple[int, Told]) -> None:
        peer, told = item
        if told.name == "Listening":
            self._bury(peer)
            height = told.fields["height"]
            assert isinstance(height, int)
            self._heights[peer] = height
            self._count_up()
        elif told.name == "Stopped":
            self._upon_stopped(peer, told.fields["counters"])
        elif told.name == "Counted":
            self._counted[peer] = told.fields["counters"]
        else:
            try:
                self._upon_event(peer, told)
            except InvariantBroken as error:
                self.break_off(error)

    def _bury(self, peer: int) -> None:
        """If it was killed, what it told last is all that is known."""
        if self._counted[peer] is not None:
            self.killed[peer] += 1
            self._upon_stopped(peer, self._counted[peer])

    def _upon_stopped(self, peer: int, counters: Json) -> None:
        assert isinstance(counters, dict)
        self._counted[peer] = None
        total = self.counters[peer]
        for name, value in counters.items():
            assert isinstance(value, int | float)
            before = total.get(name, 0)
            total[name] = max(before, value) if name == PEAK else before + value
        self.traffic.sent_bytes[peer] = int(total.get("links.bytes_out", 0))
        self.traffic.sent_frames[peer] = int(total.get("links.frames_out", 0))
        for role in Role:
            frames = counters.get(f"links.frames_from.{role.value}", 0)
            size = counters.get(f"links.frame_bytes_from.{role.value}", 0)
            assert isinstance(frames, int)
            assert isinstance(size, int)
            self.traffic.deliver(role, peer, frames, size)

    def _upon_event(self, peer: int, told: Told) -> None:
        event = decode_event(told)
        at_ns = told.at_ns
        if isinstance(event, BlockFinal):
            self._upon_final(at_ns, peer, event)
            return
        assert event is not None, told.name
        self.journal.event(at_ns, peer, event)
        if isinstance(event, BlockProposed):
            self.blocks.upon_proposed(at_ns, event.digest, event.transactions)
        elif isinstance(event, InputRefused):
            key = (event.verdict, event.reason)
            self.refused[key] = self.refused.get(key, 0) + 1
        elif isinstance(event, RoundChanged):
            self.round_changes += 1
        elif isinstance(event, ConflictSeen):
            self.break_off(InvariantBroken(
                "one chain", at_ns, f"peer {peer} saw two sealed blocks {event.height}"
            ))

    def _upon_final(self, at_ns: int, peer: int, event: BlockFinal) -> None:
        height = event.height
        if self.archive.get_digest(height) != event.digest:
            raise InvariantBroken(
                "one chain", at_ns, f"peer {peer} holds another block {height} than the relays"
            )
        if height <= self.blocks.height:  # two processes may tell within a microsecond
            at_ns = max(at_ns, self.blocks.first_ns[height])
        if self.blocks.upon_final(at_ns, peer, height, event.digest):
            self.journal.event(at_ns, peer, event)
        self._heights[peer] = height
        relay = peer - self.topology.config.validators
        if 0 <= relay < self.relay_count and self.listener is not None:
            self.listener.upon_relay_final(at_ns, relay, height)

    def break_off(self, error: InvariantBroken) -> None:
        """Something is broken: the run ends here."""
        if self.broken is None:
            self.broken = error
        self.kernel.stop()

    def _count_up(self) -> None:
        up = sum(height is not None for height in self._heights)
        self.blocks.set_peers(max(1, up))

    def read_endings(self) -> None:
        """What the nodes said as they stopped; blocks of that time do not count any more."""
        for peer, follower in enumerate(self._followers):
            self._read_counters(peer, follower)
            self._bury(peer)

    def stop_following(self) -> None:
        """Nodes go on, and what they have told until now is all that counts of them."""
        for peer, follower in enumerate(self._followers):
            self._read_counters(peer, follower)
            if self.processes[peer].is_up and self._counted[peer] is not None:
                self._upon_stopped(peer, self._counted[peer])
            self._bury(peer)
        self._followers.clear()

    def _read_counters(self, peer: int, follower: Follower) -> None:
        for told in (*self._waiting[peer], *follower.read()):
            if told.name == "Listening":
                self._bury(peer)
            elif told.name == "Counted":
                self._counted[peer] = told.fields["counters"]
            elif told.name == "Stopped":
                self._upon_stopped(peer, told.fields["counters"])

    # Faults (sim.faults.City).

    def crash(self, peer: int, *, keep_disk: bool) -> bool:
        """kill -9."""
        process = self.processes[peer]
        if not process.is_up:
            return False
        process.kill(keep_disk=keep_disk)
        self._heights[peer] = None
        self._count_up()
        return True

    def restart(self, peer: int) -> bool:
        """A new process upon what the disk holds."""
        process = self.processes[peer]
        if process.is_doomed:
            self.crash(peer, keep_disk=True)
        if process.is_up:
            return False
        process.start()
        return True

    def fill_disk(self, peer: int) -> bool:
        """Writes beyond a limit fail; the process ends by itself, within a few blocks."""
        process = self.processes[peer]
        if not process.is_up:
            return False
        process.fill_disk()
        return True

    def bury_doomed(self) -> None:
        """Those whose disk was filled, and who ended of it, are down from now on."""
        for peer, process in enumerate(self.processes):
            if process.is_doomed and process.has_died:
                self.crash(peer, keep_disk=True)

    def pause(self, peer: int) -> bool:
        """SIGSTOP."""
        process = self.processes[peer]
        if not process.is_up or process.is_paused:
            return False
        process.pause()
        return True

    def resume(self, peer: int) -> bool:
        """SIGCONT."""
        process = self.processes[peer]
        if not process.is_paused:
            return False
        process.resume()
        return True

    def slow(self, peer: int, factor: float) -> None:
        """Nobody can do that to a process: refused before the run."""
        raise AssertionError("refused before the run")

    def step_clock(self, peer: int, by_ns: int) -> None:
        """Nobody can do that to one process alone: refused before the run."""
        raise AssertionError("refused before the run")

    # The relays from outside (sim.cityface.City), and what judges see (sim.hosted).

    @property
    def chain_id(self) -> bytes:
        """For which chain transactions are signed."""
        return self.archive.chain_id

    @property
    def params(self) -> Params:
        """The chain's rules."""
        return self.genesis.params

    @property
    def relay_count(self) -> int:
        """Relays are numbered from 0."""
        return self.topology.config.relays

    def submit(self, relay: int, client: int, transaction: bytes, at_ns: int) -> None:
        """A transaction goes to ``relay`` at ``at_ns``."""
        handed = Handed(client, transaction)
        self.kernel.at(max(at_ns, self.kernel.now_ns), self._submit, (relay, at_ns, handed))

    def _submit(self, submitted: tuple[int, int, Handed]) -> None:
        relay, at_ns, handed = submitted
        self.late_ns.append(self._read_now_ns() - at_ns)
        self.doors[relay].put(handed)

    def compute_late_ns(self) -> int:
        """By how much the latest hundredth of all submissions left too late."""
        return int(np.quantile(self.late_ns, 0.99)) if self.late_ns else 0

    def last_mile_ns(self, rows: Nanoseconds) -> Nanoseconds:
        """One way between each user and a relay: the same as in the simulated city."""
        return self._miles.get_ns(rows)

    def read_load(self, relay: int, requests: int, at_ns: int) -> None:
        """Users look; what is too much for one machine is left out, and counted."""
        self.kernel.at(max(at_ns, self.kernel.now_ns), self._read, (relay, requests))

    def _read(self, wanted: tuple[int, int]) -> None:
        relay, requests = wanted
        self.doors[relay].read(requests)

    def remember_made(self, key: bytes, message: bytes, signature: bytes) -> None:
        """The nodes check for themselves; here nobody does."""

    def remember_checked(self, key: bytes, message: bytes, signature: bytes) -> None:
        """A worker process has checked that this signature holds."""
        self._shared.remember_checked(key, message, signature)

    def remember_opened(self, box: bytes, plain: bytes | None) -> None:
        """A worker process has opened this box."""
        self._shared.remember_opened(box, plain)

    def get_height(self, index: int) -> int | None:
        """How far a process has told that it is; None while it does not listen."""
        return self._heights[index]

    def get_node(self, index: int) -> RealMember | None:
        """The process at ``index``, None while it does not listen."""
        height = self._heights[index]
        return None if height is None else RealMember(HeldPart(self.archive, height))

    def read_records(self, relay: int) -> State | None:
        """The latest final state that ``relay`` holds; None while it is down."""
        height = self._heights[self._get_index(relay)]
        return None if height is None else self.archive.get_state(height)

    def get_nodes(self) -> list[RealMember]:
        """All processes that listen."""
        found = map(self.get_node, range(len(self.processes)))
        return [member for member in found if member is not None]

    def find_longest_chain(self) -> HeldPart:
        """Up to the last block that a process holds, or has held."""
        return HeldPart(self.archive, self.blocks.height)

    def read_final_state(self) -> State:
        """The state after the longest chain."""
        return self.find_longest_chain().state


def read_id(encoded: bytes) -> bytes:
    """The id of an encoded transaction."""
    match decode(encoded, len(encoded)):
        case [bytes(body), bytes()]:
            return compute_transaction_id(body)
    raise AssertionError("a transaction is [body, signature]")
