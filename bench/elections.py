"""Whole election days in processes of their own: wall over crypto floor, and linearity.

Each day runs in a new process, so that peak memory is its own. The system counts what the
parent held at the start too: measure elections before anything large.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from bench.figures import Figure, MeasurementFailed, Target
from sim.result import Verdict
from sim.scenario import load_scenario
from sim.simulation import Simulation

LINEAR_PEERS = 40
LINEAR_GROWTH = 10
NET_SHARE_MIN = 0.1
SHORT_DAY = (
    ("starts", "07:50"), ("opens", "08:00"), ("closes", "09:00"), ("grace_s", "60"),
)
# A threshold of the full-size scenario may fail at another size; a broken run says nothing.
USABLE = (Verdict.PASSED, Verdict.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One ``election-day``, its day changed by ``settings``."""

    users: int
    peers: int
    workers: int
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a day took. ``wall_s`` counts from before the city is built."""

    wall_s: float
    main_s: float
    floor_s: float
    rss_mb: float


def run_day(day: Day) -> Outcome:
    """Run it in this process. Raises MeasurementFailed if the run broke."""
    began_s = time.perf_counter()
    scenario = load_scenario("election-day").with_overrides(
        users=day.users, peers=day.peers, settings=dict(day.settings)
    )
    result = Simulation(scenario, workers=day.workers).run(lambda _: None)
    wall_s = time.perf_counter() - began_s
    if result.verdict not in USABLE:
        raise MeasurementFailed(f"election-day: {result.verdict.value}: {result.note}")
    metrics = result.metrics
    return Outcome(
        wall_s=wall_s, main_s=metrics["engine.main_s"], floor_s=metrics["crypto_floor_s"],
        rss_mb=metrics["rss_peak_mb"],
    )


def run_day_apart(day: Day) -> Outcome:
    """As ``run_day``, in a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(run_day, day).result()


def count_workers() -> int:
    """As ``veche run``: as many processes as there are cores."""
    return os.cpu_count() or 1


def measure_election(repeats: int, day: Day) -> list[Figure]:
    """``election.*``: seconds and MB of a whole day of this size."""
    runs = [run_day_apart(day) for _ in range(repeats)]
    size = f"election-day, {day.users:,} users, {day.peers:,} peers, {day.workers} workers"
    if day.settings:
        size += f", {' '.join('='.join(item) for item in day.settings)}"
    target = Target(sense="<=", value=2.5)
    return [
        Figure(name="election.wall_s", unit="s", values=tuple(run.wall_s for run in runs),
               about=f"{size}; building the city included"),
        Figure(name="election.main_s", unit="s", values=tuple(run.main_s for run in runs),
               about="processor time of its main process, from the start of virtual time"),
        Figure(name="election.crypto_floor_s", unit="s",
               values=tuple(run.floor_s for run in runs),
               about="cryptography of its ballots and blocks over the cores"),
        Figure(name="election.wall_over_floor", unit="", target=target,
               values=tuple(run.wall_s / run.floor_s for run in runs),
               about="the target is for 1.5 million users; with few, blocks without ballots "
                     "are most of the day"),
        Figure(name="election.rss_mb", unit="MB", values=tuple(run.rss_mb for run in runs),
               about="peak of the main process and of the largest worker",
               target=Target(sense="<=", value=5_000)),
    ]


def measure_linearity(
    repeats: int, day: Day, run: Callable[[Day], Outcome] = run_day_apart
) -> list[Figure]:
    """``linearity.*``: the wall of a day with ten times the users over that of this one.

    ``net_ratio`` first takes off the wall of the same day with one user: blocks, peers, and
    the tally of nothing, which do not grow and would flatter. It is left out where that is
    nearly all of the smaller day.
    """
    many = replace(day, users=day.users * LINEAR_GROWTH)
    runs = [
        (run(replace(day, users=1)), run(day), run(many))
        for _ in range(repeats)
    ]
    rows = [(empty.wall_s, few.wall_s, most.wall_s) for empty, few, most in runs]
    size = f"{day.users:,} to {many.users:,} users, {day.peers} peers, a day of an hour"
    target = Target(sense="<=", value=11)
    net = tuple(
        (most - empty) / (few - empty)
        for empty, few, most in rows if few - empty > NET_SHARE_MIN * few
    )
    figures = [
        Figure(name="linearity.few_wall_s", unit="s", values=tuple(row[1] for row in rows),
               about=f"wall with {day.users:,} users"),
        Figure(name="linearity.many_wall_s", unit="s", values=tuple(row[2] for row in rows),
               about=f"wall with {many.users:,} users"),
        Figure(name="linearity.wall_ratio", unit="", target=target,
               values=tuple(row[2] / row[1] for row in rows), about=f"wall over wall, {size}"),
        Figure(name="linearity.user_us", unit="us",
               values=tuple((row[2] - row[1]) / (many.users - day.users) * 1e6 for row in rows),
               about="wall for each further user"),
    ]
    if net:
        figures.append(Figure(
            name="linearity.net_ratio", unit="", target=target, values=net,
            about="the same less the wall of that day with one user ("
                  f"{', '.join(f'{row[0]:.2f}' for row in rows)} s)",
        ))
    return figures
