"""Invented results of the right shape, to drive the page and the terminal without a run."""

import numpy as np

from sim.metrics import Metrics
from sim.result import (
    FaultSpan,
    InvariantOutcome,
    RunResult,
    SlowTransaction,
    Stage,
    TheoryRow,
    TrafficRow,
    decide_verdict,
)
from sim.thresholds import Threshold

HOUR_NS = 3600 * 10**9
EPOCH_NS = 7 * 10**18 + 1
OPENS_NS = EPOCH_NS + 8 * HOUR_NS
STAGES = (
    ("door", "waiting at the city's door", 0.8, 190.0),
    ("relay", "sent, checked and gathered into a bundle", 0.31, 0.62),
    ("pool", "waiting for a block", 2.4, 4.9),
    ("block", "the block is built and executed", 0.12, 0.3),
    ("final", "the validators agree", 0.21, 0.44),
    ("seen by 95 %", "the block reaches the city", 0.9, 1.8),
)
RULES = (
    "lost.count == 0", "double.count == 0", "forks.count == 0", "latency.final.p99_s <= 30",
    "latency.seen95.p95_s <= 15", "throughput.final.peak_per_s >= 50",
    "tally.spoiled.count == 0", "wall_over_floor <= 2.5",
)


def build_metrics(users, random):
    """A day's ballots: a morning peak, an outage at 10:20, latencies around half a block."""
    metrics = Metrics(start_ns=OPENS_NS - HOUR_NS // 2, midnight_ns=EPOCH_NS)
    hours = np.concatenate([
        random.normal(10.2, 0.9, users // 2), random.uniform(8, 22, users // 2),
    ])
    hours = np.sort(hours[(hours > 8) & (hours < 22)])
    offered = (OPENS_NS + (hours - 8) * HOUR_NS).astype(np.int64)
    slot = random.uniform(0.4, 5.4, len(hours)) + random.lognormal(-1, 0.6, len(hours))
    outage = (hours > 10.33) & (hours < 10.5)
    slot[outage] += (10.5 - hours[outage]) * 3600
    latency = (slot * 1e9).astype(np.int64)
    metrics.mark_many("offered", offered)
    metrics.mark_many("accepted", offered + 10**8)
    final = offered + latency
    metrics.mark_many("final", final)
    metrics.record_latency(offered, latency)
    metrics.record_many("latency.final_uncorrected", np.minimum(latency, 9 * 10**9))
    metrics.record_many("latency.accepted", latency // 20)
    metrics.record_many("latency.seen95", latency + 9 * 10**8)
    for at_ns in range(OPENS_NS, OPENS_NS + 14 * HOUR_NS, 60 * 10**9):
        waiting = np.searchsorted(offered, at_ns) - np.count_nonzero(final <= at_ns)
        metrics.level("backlog", at_ns, int(waiting))
    metrics.level("door_waiting", OPENS_NS + 2 * HOUR_NS, users / 300)
    metrics.level("door_waiting", OPENS_NS + 3 * HOUR_NS, 0)
    return metrics, len(hours)


def build_blocks(random, count=10_080):
    """Columns of one row per block, 5 s apart, with later rounds in the outage."""
    interval = np.full(count, 5.0) + random.normal(0, 0.02, count)
    at_s = 8 * 3600 + np.cumsum(interval)
    rounds = np.zeros(count)
    late = (at_s > 10.33 * 3600) & (at_s < 10.5 * 3600) & (random.uniform(size=count) < 0.3)
    rounds[late] = 1
    interval[late] = 15
    return {
        "height": np.arange(1.0, count + 1), "at_s": at_s, "interval_s": interval,
        "round": rounds, "transactions": np.full(count, 148.0),
        "bytes": np.full(count, 61_000.0),
        "propagation_p50_s": random.lognormal(-1.2, 0.2, count),
        "propagation_p95_s": random.lognormal(-0.4, 0.25, count),
    }


def put_counts(metrics, ballots):
    """Numbers that the simulation would count or compute."""
    for name, value in {
        "offered.count": ballots, "accepted.count": ballots, "final.count": ballots,
        "lost.count": 0, "double.count": 0, "forks.count": 0, "blocks.count": 10_080,
        "rounds.changed.count": 41, "network.bytes": 691_000_000_000,
        "network.frames": 61_204_113, "engine.events": 58_112_009,
        "engine.events_per_s": 161_422.0, "tally.counted.count": ballots - 40,
        "tally.spoiled.count": 0, "throughput.final.peak_per_s": 74.2,
        "throughput.final.steady_per_s": 29.8, "little.ratio": 1.0004,
        "low_load_wait.ratio": 1.012, "wall_s": 341.6, "crypto_floor_s": 201.0,
        "wall_over_floor": 1.7, "rss_peak_mb": 3410.0,
    }.items():
        metrics.put(name, value)


def build_slowest():
    """Ten transactions that met the outage."""
    return tuple(
        SlowTransaction(
            identity=f"{0xA91F33C0FFEE + 7919 * index:016x}", intended_s=37_215.0 + 11 * index,
            total_s=618.0 - 9 * index, region=("south", "centre", "north-west")[index % 3],
            tries=4 - index % 3, block=2021 + index,
            stages=(
                ("door", 12.0), ("relay", 480.0 - 9 * index), ("pool", 121.0), ("block", 0.3),
                ("final", 4.7),
            ),
        )
        for index in range(10)
    )


def build_traffic():
    """What links carried, by role and by region."""
    roles = (
        ("validator", "validator", 2_112_000, 61e9), ("validator", "relay", 504_000, 33e9),
        ("relay", "validator", 812_000, 9e9), ("relay", "relay", 3_411_000, 88e9),
        ("relay", "observer", 9_110_000, 210e9), ("observer", "observer", 41_200_000, 290e9),
    )
    regions = ("centre", "north", "south", "east", "west")
    rows = [
        TrafficRow(kind="role", source=source, target=target, frames=frames, bytes=int(size))
        for source, target, frames, size in roles
    ]
    rows += [
        TrafficRow(
            kind="region", source=source, target=target, frames=1_000_000 * (i + 1) // (j + 1),
            bytes=2_000_000_000 * (9 - i - j) * (3 if i == j else 1),
        )
        for i, source in enumerate(regions)
        for j, target in enumerate(regions)
    ]
    return tuple(rows)


def build_theory():
    """The laws of the theory panel."""
    return (
        TheoryRow(
            law="Little: ballots in the system = arrival rate times stay", predicted=98.1,
            measured=98.4, unit="ballots", slack_ratio=0.01,
        ),
        TheoryRow(
            law="Wait at low load = half a block interval + propagation", predicted=2.81,
            measured=2.844, unit="s", slack_ratio=0.03,
        ),
    )


def build_election(users=60_000, *, stopped=False, rules=RULES, broken=False):
    """An election day with an outage at 10:20."""
    random = np.random.default_rng(7)
    metrics, ballots = build_metrics(users, random)
    put_counts(metrics, ballots)
    numbers = metrics.build_numbers()
    outcomes = tuple(
        Threshold(rule).evaluate(numbers, whole=not stopped) for rule in rules
    )
    invariants = (
        InvariantOutcome(name="one chain", passed=True, detail="10,080 heights, 1,000 peers"),
        InvariantOutcome(
            name="nothing lost", passed=not broken,
            detail="every accepted ballot is final and counted once",
        ),
        InvariantOutcome(
            name="the tally is right", passed=True,
            detail="the judge's own count of 15 districts equals the chain's",
        ),
    )
    return RunResult(
        verdict=decide_verdict(thresholds=outcomes, invariants=invariants, stopped=stopped),
        digest="5b3cf0a2d7e94c1186aa0f5e23b1c97d5b3cf0a2d7e94c1186aa0f5e23b1c97d",
        scenario="election-day", seed=7, commit="1a2b3c4d5e6f",
        costs="reference-2026", costs_hash="00112233aabbccdd",
        config={"users": users, "peers": 1000, "workload": {"opens": "08:00", "districts": 15}},
        versions={"python": "3.11.7", "veche": "0.1.0", "numpy": "2.4.6"},
        question="Can the city vote in one day, and can every citizen check the result?",
        note="Stopped by the user at 12:41:07." if stopped else "", subject="ballot",
        reproduce="veche run election-day --seed 7",
        thresholds=outcomes, metrics=numbers, series=metrics.build_series(),
        histograms=metrics.histograms, blocks=build_blocks(random),
        faults=(
            FaultSpan(label="crash of 8 validators", start_s=37_200.0, end_s=37_800.0),
            FaultSpan(label="slow links", start_s=64_800.0, end_s=66_600.0),
        ),
        stages=tuple(
            Stage(name=name, about=about, p50_s=p50, p99_s=p99)
            for name, about, p50, p99 in STAGES
        ),
        slowest=build_slowest(), traffic=build_traffic(), theory=build_theory(),
        invariants=invariants,
    )


def build_fairs():
    """A window of the fairs: other names, no stages, no faults, no theory."""
    numbers = {
        "offered.count": 14_000, "final.count": 13_900, "lost.count": 0,
        "fairs.allocated.count": 2736, "fairs.waiting.count": 11_164,
        "fairs.inversions.count": 812, "fairs.money_conserved": 1, "wall_s": 9.1,
    }
    outcomes = tuple(
        Threshold(rule).evaluate(numbers)
        for rule in ("lost.count == 0", "fairs.double.count == 0")
    )
    return RunResult(
        verdict=decide_verdict(thresholds=outcomes, invariants=()), digest="77" * 32,
        scenario="stall-window", seed=1, config={"places": 2736},
        costs="reference-2026", costs_hash="00112233aabbccdd",
        thresholds=outcomes, metrics=numbers, subject="application",
    )
