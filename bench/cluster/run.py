"""The composition root of a cluster: builds it for a scenario, runs it, gathers the result.

    people ─ kernel ── stepped to the wall clock ──► doors (HTTP) ──► relays' processes
              ▲                                                          │ events in files
              └── what nodes told ◄── followers ◄────────────────────────┤
                                      archive   ◄── blocks over a link ◄─┘

People, faults and judges are those of the simulation. One task steps their kernel; what comes
from outside is put on it at the moment at which it is seen.
"""

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from bench.cluster.archive import Archive
from bench.cluster.city import PEAK, ClusterCity
from bench.cluster.errors import ClusterFailed, single_out
from bench.cluster.places import LINK_LIMITS, furnish, plan_places
from bench.cluster.process import Process, require_alive
from bench.cluster.proxy import Proxies, Way
from bench.cluster.stay import Stay, describe_stay
from bench.cluster.window import needs_proxies
from bench.processors import count_cores
from node.crypto import SEED_BYTES, Identity
from node.host.clock import Clock
from node.host.genesis import encode_genesis
from node.host.limits import Limits
from node.host.link import Happening
from node.host.links import Links, Target
from node.host.meter import Spent
from node.host.process import COUNT_EVERY_S
from node.host.settings import LOOPBACK
from node.inputs import Role
from node.types import PeerHandle
from sim.costs import CostTable
from sim.errors import InvariantBroken
from sim.faults import FaultSchedule
from sim.floor import measure_crypto_floor
from sim.gather import Ended, gather_result
from sim.identities import derive_identities, derive_identity, derive_secrets, make_genesis
from sim.kernel import Kernel
from sim.last_miles import LastMiles
from sim.links import Links as LinkTables
from sim.people import People
from sim.progress import Progress
from sim.public import make_people
from sim.result import ProcessRow, RunResult, Verdict
from sim.rules import RuleSet
from sim.scenario import Scenario
from sim.shared import SharedWork
from sim.simulation import measure_peak_mb
from sim.streams import Streams
from sim.timeline import choose_late, require_events_in_time
from sim.times import SECOND_NS, parse_time_ns
from sim.topology import Topology

HOST = "cluster"
POLL_S = 0.004
PROGRESS_S = 0.25
WATCH_S = 1.0
START_S = 2.0
START_CPU_S = 1.2
"""Processor time until a node listens, on a slow machine."""

READY_TIMEOUT_S = 120.0
SETTLE_S = 15.0
STOP_TIMEOUT_S = 15.0
EVENTS_MAX = 1_024
LATE_SHARE = 0.1
"""Of a block interval: a driver later than that measures itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How the cluster runs: ``speed`` times as fast as the clock, its files in ``folder``.

    ``stay`` is None unless its nodes stay up after the day.
    """

    folder: Path
    speed: float
    workers: int
    stay: Stay | None = None


class Cluster:
    """One run of one scenario on real processes. ``run`` may be called once.

    Raises ConfigurationError for what this city cannot do, before any process starts.
    """

    def __init__(
        self, scenario: Scenario, settings: ClusterSettings, costs: CostTable
    ) -> None:
        scenario.verify_times()
        self.scenario = scenario
        self.settings = settings
        streams = Streams(scenario.seed)
        topology = Topology.build(scenario.build_topology_config(), streams)
        peers = len(topology.peers)
        cores = count_cores()
        lead_s = START_S + START_CPU_S * peers / cores
        self.start_ns = time.time_ns() + int(lead_s * SECOND_NS)
        self.midnight_ns = self.start_ns - parse_time_ns("starts", scenario.starts)
        self._clock = Clock(settings.speed, self.start_ns)
        self.kernel = Kernel(self.start_ns)
        identities = derive_identities(scenario.seed, topology)
        chief = derive_identity(scenario.seed, "registrar")
        genesis = make_genesis(topology, identities, chief, scenario.params, self.start_ns)
        self._secrets = derive_secrets(scenario.seed, topology)
        self._places = plan_places(
            settings.folder, topology, genesis, [each.public for each in identities]
        )
        self.processes = [Process(place) for place in self._places]
        rules = RuleSet(LinkTables(topology, streams).chances)
        work = SharedWork()
        self._links = Links(
            identity=Identity(os.urandom(SEED_BYTES)), role=Role.OBSERVER, genesis=genesis,
            genesis_file=encode_genesis(genesis), listen=None, random=random.random,
            limits=Limits(
                backoff_min_s=LINK_LIMITS.backoff_min_s, backoff_max_s=LINK_LIMITS.backoff_max_s
            ),
            targets=[Target(LOOPBACK, place.port, place.identity) for place in self._places
                     if place.role is Role.RELAY],
        )
        self.city = ClusterCity(
            kernel=self.kernel, midnight_ns=self.midnight_ns, topology=topology,
            genesis=genesis, costs=costs, rules=rules, miles=LastMiles(streams),
            processes=self.processes, archive=Archive(genesis, work, self._send), work=work,
            read_now_ns=self._read_now_ns, speed=settings.speed,
        )
        self._proxies = Proxies(rules, self._read_now_ns, settings.speed)
        self.late = choose_late(scenario, topology)
        self.caught_up_ns: dict[int, int] = {}
        self.stopped = False
        self.converged = False
        self._stayed_s = 0.0
        self._scope = trio.CancelScope()
        self._following = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_discarded = False
        self.faults = FaultSchedule(scenario.faults)
        self.faults.install(
            self.kernel, self.city, streams, midnight_ns=self.midnight_ns,
            start_ns=self.start_ns,
        )
        self.people: People = make_people(
            scenario=scenario, city=self.city, chief=chief, streams=streams,
            midnight_ns=self.midnight_ns, workers=settings.workers,
        )
        self.city.listener = self.people
        try:
            require_events_in_time(
                scenario, self.faults.planned, midnight_ns=self.midnight_ns,
                start_ns=self.start_ns, goal_ns=self.people.goal_ns,
            )
        except BaseException:
            self.people.close()
            raise

    def run(self, progress: Callable[[Progress], None]) -> RunResult:
        """Start it, live the day, stop it, judge. ``progress`` as for a simulation.

        Whatever happens, no process that was started outlives this call. Raises ClusterFailed
        for a process that does not come up or dies by itself, and KeyboardInterrupt if that
        came before there was a city or if the run was discarded.
        """
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        broken: InvariantBroken | None = None
        try:
            with single_out():
                trio.run(self._live, progress, began_s)
        except InvariantBroken as error:
            broken = error
        finally:
            for process in self.processes:
                process.kill(keep_disk=True)
            self.people.close()
        self._require_wanted()
        wall_s = time.perf_counter() - began_s - self._stayed_s
        self.city.blocks.finish()
        ended = Ended(
            scenario=self.scenario, city=self.city, people=self.people,
            start_ns=self.start_ns, faults=self.faults.planned, late=self.late,
            caught_up_ns=self.caught_up_ns, stopped=self.stopped, converged=self.converged,
            broken=broken or self.city.broken, workers=self.settings.workers,
            cores=count_cores(), host=HOST,
        )
        result = self._mark(gather_result(
            ended, floor=measure_crypto_floor(time.process_time_ns), wall_s=wall_s,
            main_s=time.process_time() - began_cpu_s, measure_peak_mb=measure_peak_mb,
        ))
        self._require_wanted()
        return result

    def discard(self) -> None:
        """End the run at once and without a result. Safe in a signal handler, at any moment."""
        self._is_discarded = True
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._give_up)

    def _require_wanted(self) -> None:
        if self._is_discarded:
            raise KeyboardInterrupt

    def _give_up(self) -> None:
        self._scope.cancel()
        for process in self.processes:
            process.kill(keep_disk=True)

    def _mark(self, result: RunResult) -> RunResult:
        """What a cluster knows besides; and a driver that was late makes the run invalid."""
        late_ns = self.city.compute_late_ns()
        metrics = {
            **result.metrics, "cluster.late_s": late_ns / 1e9,
            "cluster.cpu_s": sum(
                counters.get("process.cpu_s", 0) for counters in self.city.counters
            ),
            "cluster.reads.count": sum(door.reads for door in self.city.doors),
            "cluster.reads.left_out.count": sum(door.left_out for door in self.city.doors),
        }
        config = result.config
        assert isinstance(config, dict)
        result = replace(
            result, metrics=metrics, config={**config, "speed": self.settings.speed},
            processes=tuple(map(self._describe_process, self.processes)),
        )
        if late_ns > LATE_SHARE * self.scenario.params.block_interval_ns and (
            result.verdict in (Verdict.PASSED, Verdict.FAILED)
        ):
            note = (f"the users' transactions left up to {late_ns / 1e9:.1f} s of the city's "
                    "time late: this machine is too slow for it; give a lower --speed")
            return replace(result, verdict=Verdict.INVALID, note=note)
        return result

    def _describe_process(self, process: Process) -> ProcessRow:
        place = process.place
        counters = self.city.counters[place.index]
        cpu_s = counters.get("process.cpu_s", 0.0)
        kinds = [(str(kind), counters.get(f"cpu.{kind}_s", 0.0)) for kind in Spent]
        other_s = max(0.0, cpu_s - sum(spent_s for _, spent_s in kinds))
        return ProcessRow(
            name=place.name, role=place.role.value, starts=process.starts,
            killed=self.city.killed[place.index], cpu_s=cpu_s,
            peak_mb=counters.get(PEAK, 0.0), kinds=(*kinds, ("other", other_s)),
        )

    # The life of the cluster.

    def _read_now_ns(self) -> int:
        return self._clock.read().realtime_ns

    def _send(self, peer: PeerHandle, frame: bytes) -> None:
        self._links.send(peer, frame)

    async def _live(self, progress: Callable[[Progress], None], began_s: float) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            try:
                with self._scope:
                    if self._is_discarded:
                        return
                    await self._start(nursery)
                    await self._wait_one_chain(progress, began_s)
                    self.people.start()
                    await self._advance(progress, began_s)
                    await self._settle()
                    if not self.stopped:
                        self._tell(progress, began_s, is_last=True)
                    if self.settings.stay is not None:
                        await self._stay(self.settings.stay, progress)
            finally:
                with trio.CancelScope(shield=True):
                    await self._stop()
                nursery.cancel_scope.cancel()

    async def _start(self, nursery: trio.Nursery) -> None:
        ports: dict[tuple[int, int], int] = {}
        if needs_proxies(self.scenario.faults):
            for place in self._places:
                for other in place.dials:
                    way = Way(place.index, other, self._places[other].port)
                    ports[place.index, other] = await self._proxies.open(way)
            nursery.start_soon(self._proxies.run)

        def get_dial_port(dialler: int, other: int) -> int:
            return ports.get((dialler, other), self._places[other].port)

        furnish(
            self._places, self.city.genesis, self._secrets, speed=self.settings.speed,
            origin_ns=self.start_ns, get_dial_port=get_dial_port,
        )
        late = set(self.late)
        for process in self.processes:
            if process.place.index not in late:
                process.start()
        if self.scenario.late is not None:
            at_ns = self.midnight_ns + parse_time_ns("late.at", self.scenario.late.at)
            for index in self.late:
                self.kernel.at(at_ns, self.city.restart, index)
        nursery.start_soon(self._follow_chain)
        for door in self.city.doors:
            nursery.start_soon(door.run)

    async def _follow_chain(self) -> None:
        put, take = trio.open_memory_channel[Happening](EVENTS_MAX)
        with self._following:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._links.run, put)
                nursery.start_soon(self._keep_archive, take)

    async def _keep_archive(self, happenings: trio.MemoryReceiveChannel[Happening]) -> None:
        async for happening in happenings:
            try:
                self.city.archive.upon(self._read_now_ns(), happening)
            except InvariantBroken as error:
                self.city.break_off(error)
                return

    async def _wait_one_chain(
        self, progress: Callable[[Progress], None], began_s: float
    ) -> None:
        """Until all who have been started hold block 1, which the archive has checked."""
        late = set(self.late)
        waiting = [place.index for place in self._places if place.index not in late]
        deadline_s = trio.current_time() + READY_TIMEOUT_S
        while any((self.city.get_height(index) or 0) < 1 for index in waiting):
            if trio.current_time() > deadline_s:
                names = [self._places[index].name for index in waiting
                         if not self.city.get_height(index)]
                raise ClusterFailed(
                    f"after {READY_TIMEOUT_S:g} s these hold no block: {', '.join(names)}"
                )
            self._require_alive()
            self._tell(progress, began_s)
            if self.stopped:
                raise KeyboardInterrupt
            if not self._step():
                return
            await trio.sleep(POLL_S)

    def _step(self) -> bool:
        """The kernel up to now, with what has been told; False if it was stopped."""
        self.city.poll()
        now_ns = max(self._read_now_ns(), self.kernel.now_ns)
        return self.kernel.run_until(now_ns) and self.city.broken is None

    async def _advance(self, progress: Callable[[Progress], None], began_s: float) -> None:
        people, kernel = self.people, self.kernel
        due_s = watched_s = 0.0
        while kernel.now_ns < people.end_ns and not people.is_done and not people.is_stuck:
            if not self._step():
                return
            now_s = trio.current_time()
            if now_s >= watched_s:
                watched_s = now_s + WATCH_S
                self._require_alive()
                self.city.archive.ask()
                self._note_late()
            if now_s >= due_s:
                due_s = now_s + PROGRESS_S
                self._tell(progress, began_s)
                if self.stopped:
                    return
            await trio.sleep(self._compute_wait_s())

    def _compute_wait_s(self) -> float:
        next_ns = self.kernel.next_ns
        if next_ns is None:
            return POLL_S
        wait_s = (next_ns - self._read_now_ns()) / 1e9 / self.settings.speed
        return min(max(wait_s, 0.0), POLL_S)

    async def _settle(self) -> None:
        """All who are up reach one head; a stopped or broken run need not."""
        if self.stopped or self.city.broken is not None:
            return
        goal = self.city.blocks.height
        deadline_s = trio.current_time() + SETTLE_S
        while trio.current_time() < deadline_s and not self.converged:
            if not self._step():
                return
            heights = [self.city.get_height(place.index) for place in self._places]
            self.converged = all(height is None or height >= goal for height in heights)
            await trio.sleep(POLL_S)
        self._note_late()

    async def _stay(self, stay: Stay, progress: Callable[[Progress], None]) -> None:
        """The nodes go on, and nothing of it counts; Ctrl-C ends that and not the run."""
        if self.stopped or self.city.broken is not None:
            return
        began_s = time.perf_counter()
        stay.say(describe_stay(self._places, self.city.archive.chain_id, stay.for_s))
        self._following.cancel()
        is_counting = True
        while (passed_s := time.perf_counter() - began_s) < stay.for_s and not self.stopped:
            if is_counting and passed_s > COUNT_EVERY_S:  # all have told of the day's end
                self.city.stop_following()
                is_counting = False
            try:
                self._require_alive()
            except ClusterFailed as error:
                stay.say([f"  {error}"])
                break
            self._tell(progress, time.perf_counter())  # no time has passed: nothing is shown
            await trio.sleep(PROGRESS_S)
        self.stopped = False
        self._stayed_s = time.perf_counter() - began_s

    async def _stop(self) -> None:
        """Have all processes end in order, and read what they say at their end."""
        for process in self.processes:
            process.ask_to_stop()
        async with trio.open_nursery() as nursery:
            for process in self.processes:
                nursery.start_soon(trio.to_thread.run_sync, process.wait, STOP_TIMEOUT_S)
        self.city.read_endings()

    def _require_alive(self) -> None:
        self.city.bury_doomed()
        require_alive(self.processes)

    def _tell(
        self, progress: Callable[[Progress], None], began_s: float, *, is_last: bool = False
    ) -> None:
        counts = self.people.count()
        # the goal has room for a slow office; whoever needs none of it is done before
        end_ns = self.kernel.now_ns if is_last else self.people.goal_ns
        moment = Progress(
            virtual_ns=self.kernel.now_ns, start_ns=self.start_ns, end_ns=end_ns,
            midnight_ns=self.midnight_ns, wall_s=time.perf_counter() - began_s,
            backlog=counts.accepted - counts.final, blocks=self.city.blocks.height,
            final_count=counts.final, offered_count=counts.offered,
        )
        try:
            progress(moment)
        except KeyboardInterrupt:
            self.stopped = True

    def _note_late(self) -> None:
        for index in self.late:
            height = self.city.get_height(index)
            if index in self.caught_up_ns or height is None:
                continue
            if height >= self.city.blocks.height - 1:
                self.caught_up_ns[index] = self.kernel.now_ns
