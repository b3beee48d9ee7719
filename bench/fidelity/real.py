"""The load on real processes: TCP, HTTP, disks, the system's scheduler, and the clock."""

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import trio

from bench.cluster.door import Door, Handed
from bench.cluster.errors import ClusterFailed, single_out
from bench.cluster.places import furnish, plan_places
from bench.cluster.process import Process, require_alive
from bench.fidelity.load import DEED, SECOND_NS, TICK_NS, Load, Pacer, Town
from bench.fidelity.trace import SeenBlock, Spent, Trace, list_ids, read_blocks
from bench.fidelity.watch import Watch
from bench.figures import MeasurementFailed
from bench.processors import CLOCK_TICKS, read_machine_s
from bench.speedometer import EVERY_TICKS, Speedometer
from node.host.replay import Checked
from node.host.store import Store
from node.inputs import Role
from sim.cityface import ACCEPTED

HOST = "measured"
START_S_MAX = 60.0
FOUNDING_S_MAX = 300.0
SETTLE_S_MAX = 30.0
STOP_S_MAX = 30.0
PAUSE_S = 2.0
FRESH_NS = SECOND_NS // 5
"""So long after a block at half load the next has not been proposed: one is due each second."""


class KilledTooLate(MeasurementFailed):
    """The proposer that was killed had proposed before: on a machine that stood still."""


class RealRun:
    """One load on one town of processes, whose files are in ``folder``. ``run`` once.

    Raises KilledTooLate if that happened.
    Raises ClusterFailed if a process does not come up, ends by itself or not in order, or if
    what was handed in does not become final.
    """

    def __init__(self, town: Town, load: Load, folder: Path) -> None:
        self.town = town
        self.load = load
        public = [identity.public for identity in town.identities]
        self._places = plan_places(folder, town.topology, town.genesis, public)
        furnish(
            self._places, town.genesis, town.derive_secrets(), speed=1.0, origin_ns=0,
            get_dial_port=lambda _, other: self._places[other].port,
        )
        self._processes = [Process(place) for place in self._places]
        self._validators = town.topology.config.validators
        self._watch = Watch(self._places, self._validators)
        self._doors = [self._make_door(place.http_port) for place in self._places
                       if place.role is Role.RELAY]
        self._accepted_ns: list[int] = []
        self._refused: Counter[str] = Counter()
        self._handed = 0
        self._gone_s = 0.0
        self._speed = Speedometer()
        self._killed_height = 0
        self._victim = -1

    def run(self) -> Trace:
        """Start, found the town, load it, wait until nothing is under way, stop, and read."""
        try:
            with single_out():
                trace = trio.run(self._live)
        finally:
            for process in self._processes:
                process.kill(keep_disk=True)
        return trace

    def _make_door(self, port: int | None) -> Door:
        assert port is not None

        def told(handed: Handed, verdict: str) -> None:
            if handed.client == DEED:
                assert verdict == ACCEPTED, verdict
                return
            if verdict == ACCEPTED:
                self._accepted_ns[handed.client] = time.time_ns()
            else:
                self._refused[verdict] += 1

        return Door(port, told)

    async def _live(self) -> Trace:
        watch = self._watch
        for process in self._processes:
            process.start()
        async with trio.open_nursery() as nursery:
            await self._wait(lambda: watch.has_begun, START_S_MAX, "the cluster begins")
            for door in self._doors:
                nursery.start_soon(door.run)
            await self._found(self.town.grants)
            granted = watch.height
            await self._found(self.town.deeds)
            begin_ns = time.time_ns() + round(PAUSE_S * SECOND_NS)
            pacer = Pacer(self.load, begin_ns, len(self.town.ballots))
            edges, killed_ns = await self._drive(pacer)
            if len(edges) != 2:
                raise MeasurementFailed("the load generator stood still: run it again")
            await self._wait_final(self._handed + len(pacer.intended_ns), SETTLE_S_MAX)
            nursery.cancel_scope.cancel()
        for process in self._processes:
            process.ask_to_stop()
        for process in self._processes:
            if not await trio.to_thread.run_sync(process.wait, STOP_S_MAX):
                raise ClusterFailed(f"{process.place.name} did not end in order")
        watch.look()
        if killed_ns and watch.find_proposer(self._killed_height + 1) == self._victim:
            raise KilledTooLate("a proposer was killed after it had proposed: run it again")
        return self._gather(pacer, edges, granted, killed_ns)

    async def _found(self, transactions: list[bytes]) -> None:
        for transaction in transactions:
            self._doors[0].put(Handed(DEED, transaction))
        self._handed += len(transactions)
        await self._wait_final(self._handed, FOUNDING_S_MAX)

    async def _wait_final(self, count: int, patience_s: float) -> None:
        await self._wait(
            lambda: self._watch.final >= count, patience_s, "all that was handed in is final"
        )

    async def _wait(
        self, is_there: Callable[[], bool], patience_s: float, what: str
    ) -> None:
        deadline_s = trio.current_time() + patience_s
        while not is_there():
            if trio.current_time() > deadline_s:
                raise ClusterFailed(
                    f"after {patience_s:g} s it is not so that {what}; "
                    f"refused: {dict(self._refused)}"
                )
            require_alive(self._processes)
            self._watch.look()
            await trio.sleep(TICK_NS / SECOND_NS)

    async def _drive(self, pacer: Pacer) -> tuple[list[Spent], int]:
        load, watch, doors = self.load, self._watch, self._doors
        edges: list[Spent] = []
        killed_ns = 0
        before = watch.final
        since_ns = pacer.begin_ns + round(load.warm_s * SECOND_NS)
        until_ns = pacer.end_ns - round(load.cool_s * SECOND_NS)
        due_ns = pacer.begin_ns
        ticks = 0
        while due_ns < pacer.end_ns:
            await trio.sleep(max(0, due_ns - time.time_ns()) / SECOND_NS)
            ticks += 1
            if not ticks % EVERY_TICKS:
                self._speed.look()
            now_ns = time.time_ns()
            due_ns = max(due_ns + TICK_NS, now_ns)
            if (now_ns >= since_ns and not edges) or (now_ns >= until_ns and len(edges) == 1):
                edges.append(self._read_spent())
            height = watch.height
            watch.look()
            numbers = pacer.take(now_ns, watch.final - before)
            self._accepted_ns += [0] * len(numbers)
            for number in numbers:
                doors[number % len(doors)].put(Handed(number, self.town.ballots[number]))
            is_half = now_ns > (pacer.begin_ns + pacer.end_ns) // 2
            if load.kills and not killed_ns and is_half and watch.height > height and (
                time.time_ns() - watch.final_ns < FRESH_NS
            ):
                killed_ns = self._kill_next()
        if load.kills and not killed_ns:
            raise MeasurementFailed("the load generator came too late to kill a proposer")
        return edges, killed_ns

    def _kill_next(self) -> int:
        self._killed_height = self._watch.height
        victim = self._victim = (
            self._watch.find_proposer(self._killed_height) + 1
        ) % self._validators
        self._gone_s += read_cpu_s(self._processes[victim].pid)
        self._processes[victim].kill(keep_disk=True)
        return time.time_ns()

    def _read_spent(self) -> Spent:
        spent = [read_cpu_s(process.pid) for process in self._processes]
        count = self._validators
        return Spent(
            sum(spent[:count]) + self._gone_s, sum(spent[count:]), read_cpu_s(os.getpid()),
            read_machine_s(),
        )

    def _gather(
        self, pacer: Pacer, edges: list[Spent], granted: int, killed_ns: int
    ) -> Trace:
        load, watch = self.load, self._watch
        relays = range(self._validators, len(self._places))
        data = self._places[relays[0]].data
        with closing(Store.open(data, self.town.genesis)) as store:
            head_root = store.verify(Checked()).state_root
            chain = store.load().chain
            contents = read_blocks(chain)
            granted_root = chain.get_header(granted).state_root
        blocks = [
            SeenBlock(
                height, watch.proposed[watch.finals[relays[0]][height][1]].at_ns,
                min(final[height][0] for final in watch.finals if height in final),
                tuple(watch.finals[relay][height][0] for relay in relays), ids,
            )
            for height, ids in contents.items()
            if height <= watch.height and all(height in watch.finals[relay] for relay in relays)
        ]
        first, last = edges
        handed = len(pacer.intended_ns)
        sent = [counters.get("links.bytes_out", 0) for counters in watch.counters]
        frames = [counters.get("links.frames_out", 0) for counters in watch.counters]
        return Trace(
            host=HOST, load=load, begin_ns=pacer.begin_ns,
            ids=list_ids(self.town.ballots[:handed]),
            intended_ns=pacer.intended_ns, accepted_ns=self._accepted_ns,
            relay_of=[number % len(relays) for number in range(handed)],
            blocks=blocks, spent=last.since(first),
            spent_over_s=load.seconds - load.warm_s - load.cool_s,
            sent_bytes=int(sum(sent)), sent_frames=int(sum(frames)),
            transactions=watch.final, granted_root=granted_root, head_root=head_root,
            is_replayed=head_root == chain.state.root, killed_ns=killed_ns,
            killed_height=self._killed_height, looks=self._speed.looks,
        )


def read_cpu_s(pid: int | None) -> float:
    """Processor seconds of a process so far, all its threads; 0 for one that is down."""
    if pid is None:
        return 0.0
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        # the name, in brackets, may hold anything; user and system time are 14 and 15 of all
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
