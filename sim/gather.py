"""From a finished simulation to its result: judges' verdicts, numbers, series, tables."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.consensus.quorum import compute_quorum
from node.events import RoundChanged
from node.inputs import Role
from sim.errors import InvariantBroken
from sim.faults import PlannedFault
from sim.floor import FloorCosts
from sim.hosted import HostedCity
from sim.metrics import Metrics
from sim.people import People
from sim.result import (
    SIMULATED,
    FaultSpan,
    InvariantOutcome,
    RunResult,
    TrafficRow,
    decide_verdict,
    describe_config,
)
from sim.scenario import Scenario
from sim.times import format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A simulation that will not run any further, however it ended.

    ``late`` peers joined late; ``caught_up_ns`` says when those that did reached the head.
    ``fidelity`` is the label of the last comparison; what ran on real peers has none.
    """

    scenario: Scenario
    city: HostedCity
    people: People
    start_ns: int
    faults: tuple[PlannedFault, ...]
    late: tuple[int, ...]
    caught_up_ns: dict[int, int]
    stopped: bool
    converged: bool
    broken: InvariantBroken | None
    workers: int
    cores: int
    host: str = SIMULATED
    fidelity: str = ""

    def __post_init__(self) -> None:
        assert self.cores > 0
        assert self.host, "somebody ran the peers"
        assert self.start_ns <= self.city.kernel.now_ns


def gather_result(
    simulation: Ended, *, floor: FloorCosts, wall_s: float, main_s: float,
    measure_peak_mb: Callable[[], float],
) -> RunResult:
    """Everything that is known at the end; memory is measured when all is judged."""
    scenario = simulation.scenario
    metrics = Metrics(start_ns=simulation.start_ns, midnight_ns=simulation.city.midnight_ns)
    findings = simulation.people.conclude(metrics)
    _measure_blocks(simulation, metrics)
    _measure_engine(simulation, metrics, floor, wall_s, main_s, measure_peak_mb())
    metrics.put_throughput()
    _measure_late(simulation, metrics)
    counts = simulation.people.count()
    metrics.put("backlog.end", counts.accepted - counts.final)
    numbers = metrics.build_numbers()
    # an invariant that breaks ends the run there, as the user does
    whole = not simulation.stopped and simulation.broken is None
    thresholds = tuple(rule.evaluate(numbers, whole=whole) for rule in scenario.thresholds)
    # what people were promised for the end cannot be held against half a day
    invariants = _judge(simulation) + (() if simulation.stopped else findings.invariants)
    invalid = findings.late_ns > 0
    verdict = decide_verdict(
        thresholds=thresholds, invariants=invariants, stopped=simulation.stopped,
        invalid=invalid,
    )
    return RunResult(
        verdict=verdict, digest=simulation.city.journal.digest(), scenario=scenario.name,
        seed=scenario.seed, config=describe_config(scenario), costs=simulation.city.costs.name,
        costs_hash=simulation.city.costs.digest, thresholds=thresholds, metrics=numbers,
        question=scenario.question,
        note=_describe_end(simulation, findings.late_ns), subject=simulation.people.subject,
        series=metrics.build_series(), blocks=_tabulate_blocks(simulation),
        histograms=metrics.histograms, faults=_list_faults(simulation),
        stages=findings.stages, slowest=findings.slowest, traffic=_list_traffic(simulation),
        theory=findings.theory, invariants=invariants, journal=simulation.city.journal,
        host=simulation.host,
        fidelity=simulation.fidelity,
    )


def _describe_end(simulation: Ended, late_ns: int) -> str:
    at = format_time(simulation.city.kernel.now_ns - simulation.city.midnight_ns)
    if simulation.broken is not None:
        return str(simulation.broken)
    if simulation.stopped:
        return f"stopped by the user at {at} of the city's day: a partial result"
    if late_ns:
        return f"the load generator was {late_ns} ns late; make ticks shorter"
    if simulation.people.obstacle:
        return simulation.people.obstacle
    if not simulation.people.is_done:
        return f"unfinished at {at}, the end of the run"
    return ""


def _judge(simulation: Ended) -> tuple[InvariantOutcome, ...]:
    city, broken = simulation.city, simulation.broken
    nodes = city.get_nodes()
    states = all(node.chain.state.root == node.chain.head.state_root for node in nodes
                 if node.chain.height)
    name = "" if broken is None else broken.invariant
    detail = f"{city.blocks.height:,} heights, {len(nodes):,} peers"
    outcomes = [
        InvariantOutcome(
            name="one chain", passed=name != "one chain",
            detail=str(broken) if name == "one chain" else detail,
        ),
        InvariantOutcome(
            name="valid state", passed=states,
            detail="every peer's state has the root that its head commits to",
        ),
        InvariantOutcome(
            name="receipts provable", passed=name != "receipts provable",
            detail=str(broken) if name == "receipts provable" else "every proof held",
        ),
        _judge_bounds(simulation),
    ]
    if not simulation.stopped and broken is None:
        outcomes.append(InvariantOutcome(
            name="agreement at the end", passed=simulation.converged,
            detail="all peers that are up reached the head within 60 s",
        ))
    if broken is not None and name not in ("one chain", "receipts provable"):
        outcomes.append(InvariantOutcome(name=name, passed=False, detail=str(broken)))
    return tuple(outcomes)


def _judge_bounds(simulation: Ended) -> InvariantOutcome:
    city = simulation.city
    limit = city.params.mempool_bytes_max
    worst = max(
        (node.mempool.size_bytes for node in city.get_nodes() if node.mempool is not None),
        default=0,
    )
    return InvariantOutcome(
        name="bounded resources", passed=worst <= limit,
        detail=f"mempools hold at most {worst:,} of {limit:,} bytes at the end",
    )


def _measure_blocks(simulation: Ended, metrics: Metrics) -> None:
    blocks = simulation.city.blocks
    first, proposed = np.array(blocks.first_ns)[1:], np.array(blocks.proposed_ns)[1:]
    most, half = np.array(blocks.most_ns)[1:], np.array(blocks.half_ns)[1:]
    metrics.put("blocks.count", len(first))
    metrics.put("blocks.bytes", sum(_list_sizes(simulation.city)))
    metrics.put("blocks.empty.count", int((np.array(blocks.transactions)[1:] == 0).sum()))
    metrics.put("forks.count", int(simulation.broken is not None
                                   and simulation.broken.invariant == "one chain"))
    metrics.put("rounds.changed.count", simulation.city.round_changes)
    if len(first) > 1:
        metrics.record_many("blocks.interval", np.diff(first))
        # 0 stands for a share of the peers that never held the block
        metrics.record_many("blocks.propagation", (most - first)[most > 0])
        metrics.record_many("blocks.half", (half - first)[half > 0])
    assert len(proposed) == len(first)


def _measure_engine(
    simulation: Ended, metrics: Metrics, floor: FloorCosts, wall_s: float,
    main_s: float, rss_peak_mb: float,
) -> None:
    city = simulation.city
    kernel = city.kernel
    traffic, blocks = city.traffic, max(1, city.blocks.height)
    metrics.put("network.bytes", traffic.bytes)
    metrics.put("network.frames", traffic.frames)
    metrics.put("network.duplicates.count", traffic.duplicates)
    metrics.put("network.dropped.count", sum(traffic.dropped.values()))
    metrics.put("engine.events", kernel.events)
    metrics.put("engine.events_per_s", kernel.events / wall_s)
    metrics.put("engine.main_s", main_s)
    peers = len(city.topology.peers)
    metrics.put("engine.events_per_block_and_peer", kernel.events / blocks / peers)
    assert wall_s > 0
    virtual_s = (kernel.now_ns - simulation.start_ns) / 1e9
    metrics.put("wall_s", wall_s)
    metrics.put("virtual_s", virtual_s)
    metrics.put("speed_ratio", virtual_s / wall_s)
    metrics.put("rss_peak_mb", rss_peak_mb)
    metrics.put("workers.count", simulation.workers)
    validators = city.topology.config.validators
    # a proposal, and of each validator a prepare and a seal, each made once and checked once
    sealed = blocks * (1 + 2 * validators)
    floor_ns = simulation.people.compute_floor_ns(floor)
    floor_ns += sealed * (floor.sign_ns + floor.check_ns)
    assert floor_ns > 0
    floor_s = floor_ns / 1e9 / simulation.cores
    metrics.put("crypto_floor_s", floor_s)
    metrics.put("wall_over_floor", wall_s / floor_s)


def _measure_late(simulation: Ended, metrics: Metrics) -> None:
    if not simulation.late:
        return
    city = simulation.city
    best = city.read_final_state().root
    metrics.put("sync.late.count", len(simulation.late))
    metrics.put("sync.finished.count", len(simulation.caught_up_ns))
    recounted = sum(
        node is not None and node.chain.state.root == best
        for node in map(city.get_node, simulation.late)
    )
    metrics.put("sync.recounted.count", recounted)


def _tabulate_blocks(simulation: Ended) -> dict[str, NDArray[np.float64]]:
    blocks = simulation.city.blocks
    first = np.array(blocks.first_ns)[1:]
    most, half = np.array(blocks.most_ns)[1:], np.array(blocks.half_ns)[1:]
    count = len(first)
    return {
        "height": np.arange(1, count + 1, dtype=float),
        "at_s": (first - simulation.city.midnight_ns) / 1e9,
        "interval_s": np.diff(first, prepend=first[:1]) / 1e9,
        "round": _find_rounds(simulation.city),
        "transactions": np.array(blocks.transactions, dtype=float)[1:],
        "bytes": np.array(_list_sizes(simulation.city)[:count], dtype=float),
        "propagation_p50_s": np.where(half > 0, (half - first) / 1e9, np.nan),
        "propagation_p95_s": np.where(most > 0, (most - first) / 1e9, np.nan),
    }


def _list_sizes(city: HostedCity) -> list[int]:
    """The bytes of each final block; 0 for those that went with their holders' disks."""
    chain = city.find_longest_chain()
    sizes = [len(chain.get_encoded(height)) for height in range(1, chain.height + 1)]
    return sizes + [0] * (city.blocks.height - chain.height)


def _find_rounds(city: HostedCity) -> NDArray[np.float64]:
    """In which round each height was decided: the last to which a quorum of validators came.

    Who falls behind alone changes rounds too, and delays nobody.
    """
    changes = city.journal.get_events(RoundChanged)
    reached: dict[int, dict[int, int]] = {}
    columns = (changes[name].tolist() for name in ("height", "by", "round"))
    for height, validator, number in zip(*columns, strict=True):
        of_height = reached.setdefault(height, {})
        of_height[validator] = max(number, of_height.get(validator, 0))
    rounds = np.zeros(city.blocks.height)
    quorum = compute_quorum(len(city.topology.validators))
    assert quorum > 0
    for height, of_height in reached.items():
        if len(of_height) >= quorum and height <= len(rounds):
            rounds[height - 1] = sorted(of_height.values())[-quorum]
    return rounds


def _list_faults(simulation: Ended) -> tuple[FaultSpan, ...]:
    midnight_ns = simulation.city.midnight_ns
    spans = []
    for plan in simulation.faults:
        end_ns = simulation.city.kernel.now_ns if plan.end_ns is None else plan.end_ns
        spans.append(FaultSpan(
            label=f"{plan.fault.verb}: {len(plan.peers)} peers",
            start_s=(plan.begin_ns - midnight_ns) / 1e9, end_s=(end_ns - midnight_ns) / 1e9,
        ))
    return tuple(spans)


def _list_traffic(simulation: Ended) -> tuple[TrafficRow, ...]:
    topology = simulation.city.topology
    delivered = simulation.city.traffic.compute_delivered()
    by_role: dict[tuple[Role, Role], tuple[int, int]] = {}
    by_region: dict[tuple[int, int], tuple[int, int]] = {}
    for (role, region, to_role, to_region), (frames, size) in delivered.items():
        before = by_role.get((role, to_role), (0, 0))
        by_role[role, to_role] = (before[0] + frames, before[1] + size)
        before = by_region.get((region, to_region), (0, 0))
        by_region[region, to_region] = (before[0] + frames, before[1] + size)
    rows = [
        TrafficRow(kind="role", source=one.value, target=other.value, frames=frames, bytes=size)
        for (one, other), (frames, size) in by_role.items()
    ]
    if not simulation.city.traffic.has_regions:
        return tuple(rows)
    names = topology.regions
    rows += [
        TrafficRow(
            kind="region", source=names[one], target=names[other], frames=frames, bytes=size
        )
        for (one, other), (frames, size) in sorted(by_region.items())
    ]
    return tuple(rows)
