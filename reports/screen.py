"""Who hears what of a run: results on standard output, progress on standard error."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from reports.terminal import (
    WIDTH,
    ProgressLine,
    print_configuration,
    print_ending,
    print_result,
    print_settings,
    print_verdict,
)
from sim.costs import CostTable
from sim.progress import Progress
from sim.result import RunResult
from sim.scenario import Scenario


@contextmanager
def tolerate_closed_pipe() -> Iterator[None]:
    """Whoever reads us may have seen enough: what the run had to save is saved."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich ends the process for a closed pipe
        # or the interpreter would complain when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Screen:
    """Who hears what: results on standard output, progress on standard error."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        columns = shutil.get_terminal_size((WIDTH, 24)).columns
        self._out = Console(width=min(WIDTH, columns), highlight=False)
        self._err = Console(stderr=True, highlight=False)
        self._json = as_json
        self._quiet = quiet or as_json

    def before(
        self, scenario: Scenario, costs: CostTable | None, hot_path: str,
        more: Sequence[tuple[str, str]] = (),
    ) -> None:
        """The configuration; ``more`` is what a host adds, and a real one has no ``costs``."""
        if self._quiet:
            return
        parts = scenario.build_topology_config()
        faults = "; ".join(map(str, scenario.faults))
        print_configuration(self._out, (
            ("scenario", f"{scenario.name}: {scenario.question}"),
            ("users", f"{scenario.users:,}"),
            ("peers", f"{scenario.peers:,}: {parts.validators} validators, "
                      f"{parts.relays} relays, {parts.observers} observers"),
            ("engine", scenario.params.engine),
            ("blocks", f"every {scenario.params.block_interval_ns / 1e9:g} s"),
            ("seed", str(scenario.seed)),
            *(() if costs is None else (
                ("costs", f"{costs.name}, {costs.digest}, on {costs.machine}"),
            )),
            ("day", f"{scenario.workload.opens} to {scenario.workload.closes}"),
            ("faults", faults or "none"),
            ("hot path", hot_path), *more,
        ))

    def settings(self, scenario: Scenario) -> None:
        """What ``--set`` can change."""
        print_settings(self._out, scenario.list_settings())

    @contextmanager
    def watch(self) -> Iterator[Callable[[Progress], None]]:
        """A subscriber of progress."""
        with ProgressLine(self._err, quiet=self._quiet) as line:
            yield line.show

    def after(self, result: RunResult, folder: Path, *, saved: bool = False) -> None:
        """The verdict first, the line that reproduces the run last."""
        if self._json:
            click.echo(json.dumps(result.build_json(), indent=2, ensure_ascii=False))
            return
        if self._quiet:
            print_verdict(self._out, result)
            self._out.print(result.reproduce, soft_wrap=True, markup=False)
            return
        print_result(self._out, result, saved=saved)
        print_ending(self._out, result, str(folder))
