"""The load on virtual peers that share one machine's cores, in virtual time."""

from collections import Counter

from bench.fidelity.load import DEED, SECOND_NS, TICK_NS, Load, Pacer, Town
from bench.fidelity.speed import AS_PRICED, Speeds
from bench.fidelity.trace import SeenBlock, Spent, Trace, list_ids, read_blocks
from bench.figures import MeasurementFailed
from node.host.openapi import BATCH_MAX
from node.work import WorkKind
from sim.city import City
from sim.cityface import ACCEPTED
from sim.clocks import ClockConfig
from sim.cores import Cores, Thread
from sim.costs import CostTable, Speed
from sim.journal import Journal
from sim.kernel import EPOCH_NS, Kernel
from sim.shared import SharedWork
from sim.streams import Streams
from sim.tenant import Tenant

HOST = "simulated"
FOUNDING_NS_MAX = 600 * SECOND_NS
SETTLE_NS_MAX = 30 * SECOND_NS


class VirtualRun:
    """One load on one town. ``run`` may be called once.

    It raises MeasurementFailed if what was handed in does not become final.

    The machine on which all of it runs is as fast as ``speeds`` tell, against ``costs``.
    ``driver_us`` is what handing in one ballot took there beside the nodes, and ``strangers``
    how many cores others had, whom nobody here has started.
    """

    def __init__(
        self, town: Town, load: Load, costs: CostTable, *, cores: int, driver_us: float,
        strangers: float = 0.0, speeds: Speeds = AS_PRICED, seed: int = 1,
    ) -> None:
        self.town = town
        self.load = load
        self.kernel = Kernel(EPOCH_NS)
        self.cores = Cores(self.kernel, cores, costs.contention.ratio)
        self.city = City(
            kernel=self.kernel, topology=town.topology, genesis=town.genesis,
            identities=town.identities, work=SharedWork(), costs=costs,
            journal=Journal(), streams=Streams(seed), clocks=ClockConfig(offset_ns=0),
            cores=self.cores,
        )
        self.city.listener = self
        self._speeds = speeds
        self._driver = Thread(self.kernel, self.cores)
        self._strangers = Thread(self.kernel, self.cores)
        self._strangers_ns = round(strangers * TICK_NS)
        self._listed_ns = self._driver_ns = driver_us * 1_000 / speeds.stretch_ratio
        self._relay_ns: dict[tuple[int, int], int] = {}
        self._accepted_ns: list[int] = []
        self._refused: Counter[str] = Counter()
        self._final = 0
        self._killed_height = 0

    # What the city tells (sim.city.Listener).

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay's verdict."""
        if client == DEED:
            assert verdict == ACCEPTED, verdict
            return
        if verdict == ACCEPTED:
            self._accepted_ns[client] = at_ns
        else:
            self._refused[verdict] += 1

    def upon_relay_final(self, at_ns: int, relay: int, height: int) -> None:
        """A relay holds a block: the generator counts what the first of them has."""
        self._relay_ns[height, relay] = at_ns
        if relay == 0:
            self._final += self.city.blocks.transactions[height]

    # The run.

    def run(self) -> Trace:
        """Found the town, load it, and wait until nothing is under way."""
        for index in range(len(self.city.peers)):
            self.city.start(index)
        self._found(self.town.grants)
        granted_root = self.city.read_final_state().root
        self._found(self.town.deeds)
        begin_ns = self.kernel.now_ns + 2 * SECOND_NS
        for second, speed in enumerate(self._speeds.seconds):
            self.kernel.at(begin_ns + second * SECOND_NS, self._set_speed, speed)
        self.kernel.run_until(begin_ns)
        pacer = Pacer(self.load, begin_ns, len(self.town.ballots))
        before = self._final
        edges: list[Spent] = []
        since_ns = begin_ns + round(self.load.warm_s * SECOND_NS)
        until_ns = pacer.end_ns - round(self.load.cool_s * SECOND_NS)
        killed_ns = 0
        while (now_ns := self.kernel.now_ns) < pacer.end_ns:
            if (now_ns >= since_ns and not edges) or (now_ns >= until_ns and len(edges) == 1):
                edges.append(self._read_spent())
            numbers = pacer.take(now_ns, self._final - before)
            self._accepted_ns += [0] * len(numbers)
            if numbers:
                cost_ns = round(len(numbers) * self._driver_ns)
                self._driver.work(cost_ns, self._hand_in, numbers)
            if self._strangers_ns:
                self._strangers.work(self._strangers_ns, _tell_nobody, None)
            height = self.city.blocks.height
            self.kernel.run_until(now_ns + TICK_NS)
            if self.load.kills and not killed_ns and (
                now_ns > (begin_ns + pacer.end_ns) // 2 and self.city.blocks.height > height
            ):
                killed_ns = self._kill_next()
        self._settle(len(pacer.intended_ns) + before)
        return self._gather(pacer, edges, granted_root, killed_ns)

    def _set_speed(self, speed: Speed) -> None:
        self._driver_ns = self._listed_ns / speed.other_ratio
        for peer, spec in zip(self.city.peers, self.town.topology.peers, strict=True):
            peer.price(self.city.get_prices(spec.profile).at(speed))

    def _hand_in(self, numbers: range) -> None:
        """What comes at one moment comes in as few requests as may be, to each relay."""
        first, relays = self.town.topology.config.validators, self.town.topology.config.relays
        for relay in range(min(relays, len(numbers))):
            requests = -(-len(numbers) // (relays * BATCH_MAX))
            self.city.peers[first + relay].serve(WorkKind.REQUEST, requests)
        for number in numbers:
            ballot = self.town.ballots[number]
            self.city.submit(number % relays, number, ballot, self.kernel.now_ns)

    def _found(self, transactions: list[bytes]) -> None:
        for transaction in transactions:
            self.city.submit(0, DEED, transaction, self.kernel.now_ns + SECOND_NS)
        self._settle(self._final + len(transactions), FOUNDING_NS_MAX)

    def _settle(self, count: int, patience_ns: int = SETTLE_NS_MAX) -> None:
        limit_ns = self.kernel.now_ns + patience_ns
        while self._final < count and self.kernel.now_ns < limit_ns:
            self.kernel.run_until(self.kernel.now_ns + SECOND_NS // 10)
            assert self.city.broken is None, self.city.broken
        if self._final < count:
            raise MeasurementFailed(
                f"{self._final:,} of {count:,} handed in to virtual peers are final, "
                f"refused: {dict(self._refused)}"
            )
        self.kernel.run_until(self.kernel.now_ns + SECOND_NS // 2)

    def _kill_next(self) -> int:
        chain = self.city.find_longest_chain()
        self._killed_height = chain.height
        validators = self.town.genesis.validators
        victim = (validators.index(chain.head.proposer) + 1) % len(validators)
        assert self.city.crash(victim, keep_disk=True)
        return self.kernel.now_ns

    def _read_spent(self) -> Spent:
        peers = self.city.peers
        busy = [peer.thread.busy_ns / 1e9 for peer in peers if isinstance(peer, Tenant)]
        assert len(busy) == len(peers)
        count = self.town.topology.config.validators
        return Spent(sum(busy[:count]), sum(busy[count:]), self._driver.busy_ns / 1e9)

    def _gather(
        self, pacer: Pacer, edges: list[Spent], granted_root: bytes, killed_ns: int
    ) -> Trace:
        load, city = self.load, self.city
        relays = self.town.topology.config.relays
        chain = city.find_longest_chain()
        blocks = []
        for height, ids in read_blocks(chain).items():
            held = [(height, relay) for relay in range(relays)]
            if all(each in self._relay_ns for each in held):
                blocks.append(SeenBlock(
                    height, city.blocks.proposed_ns[height], city.blocks.first_ns[height],
                    tuple(self._relay_ns[each] for each in held), ids,
                ))
        first, last = edges
        return Trace(
            host=HOST, load=load, begin_ns=pacer.begin_ns,
            ids=list_ids(self.town.ballots[: len(pacer.intended_ns)]),
            intended_ns=pacer.intended_ns, accepted_ns=self._accepted_ns,
            relay_of=[number % relays for number in range(len(pacer.intended_ns))],
            blocks=blocks, spent=last.since(first),
            spent_over_s=load.seconds - load.warm_s - load.cool_s,
            sent_bytes=city.traffic.bytes, sent_frames=city.traffic.frames,
            transactions=self._final, granted_root=granted_root, head_root=chain.state.root,
            is_replayed=True, killed_ns=killed_ns, killed_height=self._killed_height,
        )


def _tell_nobody(_: None) -> None:
    """What strangers do has no effect but that it takes a core."""
