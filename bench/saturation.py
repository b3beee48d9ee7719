"""How much a real cluster carries: 4 validators and a relay, processes over TCP, one machine.

Ballots are signed before anything starts, and pushed into the relay as fast as it takes them.
What is told is the steady part: from ``warm_up_s`` after the first ballot until the last has
been handed in; what came before and after is shown beside it.

The floor is what the cores would reach if they did nothing but the Ed25519 checks of all
processes: each validator checks each transaction once, and so does the relay.
"""

import statistics
from collections.abc import Callable, Sequence

import numpy as np

from bench.cluster.saturated import Load, Pushed, run
from bench.figures import Figure, MeasurementFailed, Target
from bench.processors import count_cores
from bench.steady import WINDOWS, SteadyBlocks
from node.host.meter import Spent

TARGET_SHARE = 0.6


class Steady(SteadyBlocks):
    """The steady part of a run, in whole blocks, and what its processes told of it."""

    def __init__(self, pushed: Pushed) -> None:
        self.pushed = pushed
        super().__init__(
            pushed.seen.final_ns, pushed.seen.count, began_ns=pushed.began_ns,
            handed_ns=pushed.handed_ns, warm_up_s=pushed.load.warm_up_s,
        )

    def list_latencies_s(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Of the ballots that were handed in within it."""
        sent_ns = np.array(self.pushed.feed.sent_ns, dtype=np.int64)
        chosen = (sent_ns >= self.begin_ns) & (sent_ns <= self.end_ns)
        latencies: np.ndarray[tuple[int], np.dtype[np.float64]]
        latencies = self.pushed.latencies_ns[chosen] / 1e9
        return latencies

    def compute_cpu(self, index: int) -> dict[str, float]:
        """Processor seconds per second of one process by kind, "other" what is no kind's."""
        told = self.pushed.seen.counters[index]
        within = [item for item in told if self.begin_ns <= item[0] <= self.end_ns]
        if len(within) < 2:
            raise MeasurementFailed("too few counters were told in the steady part")
        (from_ns, first), (to_ns, last) = within[0], within[-1]
        span_s = (to_ns - from_ns) / 1e9
        spent = {
            str(kind): (last[f"cpu.{kind}_s"] - first[f"cpu.{kind}_s"]) / span_s
            for kind in Spent
        }
        total = (last["process.cpu_s"] - first["process.cpu_s"]) / span_s
        return {**spent, "other": total - sum(spent.values()), "total": total}

    def compute_check_ns(self) -> float:
        """What a bare check took meanwhile, on the cores in turn."""
        looks = [
            look.crypto_ns for look in self.pushed.looks
            if self.begin_ns <= look.at_ns <= self.end_ns
        ]
        if not looks:
            raise MeasurementFailed("nobody could look how fast the machine was: run it again")
        return statistics.fmean(looks)

    def compute_cores(self) -> float:
        """How many cores all processes together kept busy."""
        return sum(
            self.compute_cpu(index)["total"] for index in range(self.pushed.load.processes)
        )


def measure_saturation(
    repeats: int, load: Load | None = None, upon_run: Callable[[], None] = lambda: None
) -> list[Figure]:
    """Figures of ``repeats`` whole runs, ``upon_run`` after each; raises MeasurementFailed."""
    load = load or Load()
    runs = []
    for _ in range(repeats):
        runs.append(Steady(run(load)))
        upon_run()
    cores = count_cores()
    rates = tuple(steady.compute_rate() for steady in runs)

    checking = tuple(
        rate * load.processes * one.compute_check_ns() / 1e9
        for one, rate in zip(runs, rates, strict=True)
    )
    about = (
        f"{load.validators} validators and a relay as processes over TCP, {load.ballots:,} "
        f"ballots pushed, at most {load.backlog_max:,} accepted and not final; steady part "
        f"of {', '.join(f'{steady.seconds:.0f}' for steady in runs)} s after "
        f"{load.warm_up_s:g} s, drain excluded"
    )
    floor = (
        f"of what {cores} cores reach that only check {load.processes} signatures for each "
        "transaction"
    )
    figures = [
        Figure(name="cluster.final_per_s", unit="1/s", values=rates, about=about),
        Figure(name="cluster.final_window_per_s", unit="1/s",
               values=tuple(rate for steady in runs for rate in steady.compute_rates()),
               about=f"the same in {WINDOWS} windows of each run"),
        Figure(name="cluster.blocks_per_s", unit="1/s", about="final blocks in the steady part",
               values=tuple(one.compute_block_rate() for one in runs)),
        Figure(name="cluster.floor_share", unit="",
               target=Target(sense=">=", value=TARGET_SHARE), about=floor
               + ", at what a check takes on them in the same seconds",
               values=tuple(each / cores for each in checking)),
    ]
    figures += [
        Figure(
            name="cluster.cores", unit="", values=tuple(one.compute_cores() for one in runs),
            about=f"of {cores}, kept busy by the cluster's processes: where it is far less, "
                  "others had them, and the share below counts",
        ),
        Figure(
            name="cluster.check_share", unit="", values=tuple(
                each / one.compute_cores() for one, each in zip(runs, checking, strict=True)
            ), about="bare checks, of the processor time that the cluster had",
        ),
    ]
    figures += [
        Figure(
            name=f"cluster.final_p{percent}_s", unit="s",
            about="from handing a ballot to the relay until the relay holds it final",
            values=tuple(float(np.percentile(one.list_latencies_s(), percent))
                         for one in runs),
        )
        for percent in (50, 99)
    ]
    return figures + list_costs(runs, rates) + list_edges(runs)


def list_costs(runs: Sequence[Steady], rates: Sequence[float]) -> list[Figure]:
    """Processor time per transaction, of all validators together and of the relay, by kind."""
    relay = runs[0].pushed.load.validators
    figures = []
    for role, indices in (("validators", range(relay)), ("relay", range(relay, relay + 1))):
        spent = [[one.compute_cpu(index) for index in indices] for one in runs]
        for kind in (*map(str, Spent), "other", "total"):
            values = tuple(
                sum(each[kind] for each in of_run) / rate * 1e6
                for of_run, rate in zip(spent, rates, strict=True)
            )
            figures.append(Figure(
                name=f"cpu.{role}.{kind}_us", unit="us", values=values,
                about="processor time per final transaction, of all processes of the role "
                      "together; other is event loop, links, HTTP and the collector",
            ))
    figures.append(Figure(
        name="cpu.driver_us", unit="us", about="the load generator's own, on the same cores",
        values=tuple(one.pushed.driver_cpu_s * 1e6 / one.pushed.load.ballots for one in runs),
    ))
    return figures


def list_edges(runs: Sequence[Steady]) -> list[Figure]:
    """What the steady part leaves out, and signs that it was not steady."""
    return [
        Figure(name="cluster.warm_up_per_s", unit="1/s",
               values=tuple(one.compute_warm_up_rate() for one in runs),
               about="final transactions per second before the steady part"),
        Figure(name="cluster.drain_s", unit="s",
               values=tuple(one.compute_drain_s() for one in runs),
               about="from the last ballot handed in to the last final block that has any"),
        Figure(name="cluster.round_changes", unit="", values=tuple(
            float(one.pushed.seen.round_changes) for one in runs
        ), about="rounds that failed, all validators together"),
        Figure(name="cluster.check_ns", unit="ns",
               values=tuple(one.compute_check_ns() for one in runs),
               about="one bare Ed25519 check, timed all along on the cores in turn"),
    ]
