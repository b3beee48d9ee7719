"""The composition root: builds a city for a scenario, runs it, and gathers the result.

It knows everyone and decides nothing: what happens is said by the scenario, the city, the
people and the faults, and whether it was right by the judges.
"""

import gc
import os
import resource
import time
from collections.abc import Callable

from node.work import Work
from sim.city import City
from sim.clocks import ClockConfig
from sim.costs import CostTable, load_costs
from sim.errors import ConfigurationError, InvariantBroken
from sim.faults import FaultSchedule
from sim.fidelity import load_fidelity
from sim.floor import FloorMeter
from sim.gather import Ended, gather_result
from sim.identities import derive_identities, derive_identity, derive_secrets, make_genesis
from sim.journal import Journal
from sim.kernel import EPOCH_NS, Kernel
from sim.notary import Notary
from sim.people import People
from sim.progress import Progress
from sim.public import make_people
from sim.result import RunResult
from sim.scenario import Scenario
from sim.shared import SharedWork
from sim.streams import Streams
from sim.timeline import choose_late, require_events_in_time
from sim.times import SECOND_NS, parse_time_ns
from sim.topology import Topology

SLICE_NS = 20 * SECOND_NS
"""From one look at the people to the next; a run may end and be stopped there."""

SETTLE_NS = 60 * SECOND_NS
"""After the people's end, for all peers to reach one head."""


class Simulation:
    """One run of one scenario. ``run`` may be called once.

    ``workers`` processes make users' cryptography ahead of time; ``share`` off makes every peer
    compute everything itself. Neither changes the digest; ``costs`` does, in place of the
    reference table. Raises ConfigurationError for what a scenario asks that its city cannot do.
    """

    def __init__(
        self, scenario: Scenario, *, workers: int = 0, share: bool = True,
        costs: CostTable | None = None,
    ) -> None:
        scenario.verify_times()
        self.scenario = scenario
        self.workers = workers
        # What can be refused comes before the people, who may start worker processes.
        streams = Streams(scenario.seed)
        self.start_ns = EPOCH_NS + parse_time_ns("starts", scenario.starts)
        self.kernel = Kernel(self.start_ns)
        self.journal = Journal()
        topology = Topology.build(scenario.build_topology_config(), streams)
        identities = derive_identities(scenario.seed, topology)
        chief = derive_identity(scenario.seed, "registrar")
        genesis = make_genesis(topology, identities, chief, scenario.params, self.start_ns)
        self.costs = load_costs() if costs is None else costs
        self.fidelity = load_fidelity().label
        work: Work = SharedWork() if share else Work()
        self.city = City(
            kernel=self.kernel, topology=topology, genesis=genesis, identities=identities,
            work=work, costs=self.costs, journal=self.journal, streams=streams,
            clocks=ClockConfig(),
        )
        self.faults = FaultSchedule(scenario.faults)
        self.faults.install(
            self.kernel, self.city, streams, midnight_ns=EPOCH_NS, start_ns=self.start_ns
        )
        self.late = choose_late(scenario, topology)
        self.people: People = make_people(
            scenario=scenario, city=self.city, chief=chief, streams=streams,
            midnight_ns=EPOCH_NS, workers=workers,
        )
        self.city.listener = self.people
        try:
            require_events_in_time(
                scenario, self.faults.planned, midnight_ns=EPOCH_NS, start_ns=self.start_ns,
                goal_ns=self.people.goal_ns,
            )
        except ConfigurationError:
            self.people.close()
            raise
        self.caught_up_ns: dict[int, int] = {}
        self.stopped = False
        self.converged = False
        self.broken: InvariantBroken | None = None

    def run(self, progress: Callable[[Progress], None]) -> RunResult:
        """Run to the end and judge. ``progress`` is told each 20 virtual seconds.

        A KeyboardInterrupt from ``progress`` stops the run; its result is marked as partial.
        One that comes at any other moment finds the city between two states and passes on.
        """
        assert self.kernel.events == 0, "a simulation runs once"
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        floor = FloorMeter(time.process_time_ns, time.perf_counter)
        floor.sample_if_due()
        # The city lives as long as the run, and no event leaves a cycle behind: to search a
        # heap of gigabytes for garbage again and again would find none.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            self._start()
            self._advance(progress, began_s, floor)
            self._finish()
        except InvariantBroken as error:
            self.broken = error
        finally:
            gc.enable()
            gc.unfreeze()
            self._close()
        self.broken = self.broken or self.city.broken
        self.city.blocks.finish()
        ended = Ended(
            scenario=self.scenario, city=self.city, people=self.people, start_ns=self.start_ns,
            faults=self.faults.planned, late=self.late, caught_up_ns=self.caught_up_ns,
            stopped=self.stopped, converged=self.converged, broken=self.broken,
            workers=self.workers, cores=len(os.sched_getaffinity(0)), fidelity=self.fidelity,
        )
        return gather_result(
            ended, floor=floor.costs, wall_s=time.perf_counter() - began_s,
            main_s=time.process_time() - began_cpu_s, measure_peak_mb=measure_peak_mb,
        )

    def _finish(self) -> None:
        # what a run tells is worth nothing if a signature on which it rests does not hold
        if (notary := self._notary) is not None:
            notary.finish()

    def _close(self) -> None:
        try:
            self.people.close()
        finally:
            if (notary := self._notary) is not None:
                notary.close()

    @property
    def _notary(self) -> Notary | None:
        work = self.city.work
        return work.notary if isinstance(work, SharedWork) else None

    def _start(self) -> None:
        work = self.city.work
        if self.workers and isinstance(work, SharedWork):
            secrets = derive_secrets(self.scenario.seed, self.city.topology)
            validators = self.city.genesis.validators
            work.notary = Notary({key: secrets[key] for key in validators})
        late = set(self.late)
        for spec in self.city.topology.peers:
            if spec.index not in late:
                self.city.start(spec.index)
        if self.scenario.late is not None:
            at_ns = EPOCH_NS + parse_time_ns("late.at", self.scenario.late.at)
            for index in self.late:
                self.kernel.at(at_ns, self.city.start, index)
        self.people.start()

    def _advance(
        self, progress: Callable[[Progress], None], began_s: float, floor: FloorMeter
    ) -> None:
        kernel, people, city = self.kernel, self.people, self.city
        end_ns = people.end_ns
        while kernel.now_ns < end_ns and not people.is_done and not people.is_stuck:
            if not kernel.run_until(min(end_ns, kernel.now_ns + SLICE_NS)):
                return
            floor.sample_if_due()
            self._tell(progress, began_s)
            if self.stopped:
                return
        # Then heal and demand agreement: everyone who is up reaches the same head.
        limit_ns = kernel.now_ns + SETTLE_NS
        goal = city.blocks.height
        while kernel.now_ns < limit_ns and not self.converged:
            if not kernel.run_until(kernel.now_ns + SECOND_NS):
                return
            self.converged = all(node.chain.height >= goal for node in city.get_nodes())

    def _tell(self, progress: Callable[[Progress], None], began_s: float) -> None:
        self._note_late()
        counts = self.people.count()
        moment = Progress(
            virtual_ns=self.kernel.now_ns, start_ns=self.start_ns, end_ns=self.people.goal_ns,
            midnight_ns=EPOCH_NS, wall_s=time.perf_counter() - began_s,
            backlog=counts.accepted - counts.final, blocks=self.city.blocks.height,
            final_count=counts.final, offered_count=counts.offered,
        )
        try:
            progress(moment)
        except KeyboardInterrupt:
            self.stopped = True

    def _note_late(self) -> None:
        height = self.city.blocks.height
        for index in self.late:
            node = self.city.get_node(index)
            if index in self.caught_up_ns or node is None:
                continue
            # the newest block is on its way to everybody
            if node.chain.height >= height - 1:
                self.caught_up_ns[index] = self.kernel.now_ns


def measure_peak_mb() -> float:
    """Peak resident memory of this process and of its finished children together, in MB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children) / 1_024
