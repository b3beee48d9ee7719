"""``veche cluster``: what was asked for, made into a cluster, run, and reported."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bench.cluster.run import Cluster, ClusterSettings
from bench.cluster.session import claim_nodes, keep
from bench.cluster.stay import Stay
from bench.cluster.window import Window, cut
from reports.screen import Screen, tolerate_closed_pipe
from sim.costs import load_costs
from sim.errors import ConfigurationError
from sim.result import RunResult, Verdict
from sim.scenario import PEERS_MIN, Scenario
from sim.times import format_duration

WELL = (Verdict.PASSED, Verdict.STOPPED)


class Watch(Protocol):
    """Runs a cluster with a progress line; Ctrl-C stops it, and the second discards it."""

    def __call__(
        self, simulation: Cluster, screen: Screen, discard: Callable[[], None], /
    ) -> RunResult:
        """The result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The command line's choice; ``users`` None is what the scenario's curve has."""

    scenario: Scenario
    validators: int
    relays: int
    observers: int
    users: int | None
    speed: float
    for_ns: int
    workers: int
    stay: Stay | None = None

    def build_words(self, length: str) -> list[str]:
        """Its own options, for the line that repeats it: ``veche run`` has others."""
        words = ["--validators", str(self.validators), "--relays", str(self.relays),
                 "--observers", str(self.observers), "--speed", f"{self.speed:g}",
                 "--for", length]
        return words if self.users is None else [*words, "--users", str(self.users)]

    def cut(self) -> Window:
        """The part of the day, on so many processes. Raises ConfigurationError."""
        peers = self.validators + self.relays + self.observers
        if peers < PEERS_MIN:
            raise ConfigurationError(
                "validators, relays and observers", peers,
                f"give {PEERS_MIN} or more of them together",
            )
        late = self.scenario.late
        if late is not None:
            late = replace(late, observers=min(late.observers, max(1, self.observers)))
        sized = replace(
            self.scenario, peers=peers, validators=self.validators, relays=self.relays,
            late=late,
        )
        return cut(sized, for_ns=self.for_ns, users=self.users, speed=self.speed)


def run_cluster(
    request: Request, folder: Path, *, as_json: bool, quiet: bool, watch: Watch,
    finish: Callable[[RunResult], RunResult], hot_path: str,
) -> int:
    """Run it into the empty ``folder``; the exit code.

    The nodes' own folders stay there if anything went wrong.
    """
    window = request.cut()
    screen = Screen(as_json=as_json, quiet=quiet)
    costs = load_costs()
    with claim_nodes(folder) as nodes:
        settings = ClusterSettings(
            folder=nodes.absolute(), speed=request.speed, workers=request.workers,
            stay=request.stay,
        )
        cluster = Cluster(window.scenario, settings, costs)
        with tolerate_closed_pipe():
            screen.before(window.scenario, None, hot_path, (
                ("host", f"a cluster of {window.scenario.peers} real processes, over TCP"),
                ("part", window.about),
                ("speed", f"{request.speed:g} times the clock: a block each "
                          f"{describe_interval(window.scenario, request.speed)}"),
                ("after", "the nodes stop (--stay keeps them up for citizens who join)"
                 if request.stay is None else "the nodes stay up"),
            ))
        result = finish(watch(cluster, screen, cluster.discard))
        if result.verdict not in WELL:
            keep(nodes, folder)
    with tolerate_closed_pipe():
        screen.after(result, folder)
    return int(result.exit_code)


def describe_interval(scenario: Scenario, speed: float) -> str:
    """Between blocks, by the wall clock."""
    return format_duration(int(scenario.params.block_interval_ns / speed))
