"""``python -m bench``: measure, print a table, and write it as JSON if asked.

What takes real processes has commands of its own: ``python -m bench cluster`` and ``fidelity``.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench.anvil.installed import FOLDER, INSTALL, NotInstalled, find_installed
from bench.anvil.measure import Anvil
from bench.cluster.saturated import Load
from bench.elections import (
    LINEAR_GROWTH,
    LINEAR_PEERS,
    SHORT_DAY,
    Day,
    count_workers,
    measure_election,
    measure_linearity,
)
from bench.fidelity.command import fidelity
from bench.figures import Figure, Json, MeasurementFailed, build_report
from bench.floor import measure_floor
from bench.kernel import measure_kernel
from bench.memory import measure_observer
from bench.nodes import measure_nodes
from bench.saturation import measure_saturation
from bench.table import WIDTH, format_table
from bench.transactions import measure_transactions
from bench.writable import WRITABLE
from sim.errors import SimError

# Elections first: the peak memory of a process is at least what its parent held.
NAMES = ("election", "linearity", "kernel", "nodes", "transactions", "observer", "crypto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line asks for."""

    users: int
    peers: int
    workers: int
    repeats: int
    days: int

    def build_json(self) -> dict[str, Json]:
        """As they stand in the JSON file."""
        return {
            "users": self.users, "peers": self.peers, "workers": self.workers,
            "repeats": self.repeats, "days": self.days,
        }


def list_measurements(settings: Settings) -> dict[str, Callable[[], list[Figure]]]:
    """What ``--only`` chooses from, in the order in which it is measured."""
    repeats, days, workers = settings.repeats, settings.days, settings.workers
    day = Day(users=settings.users, peers=settings.peers, workers=workers)
    short = Day(
        users=max(1, settings.users // LINEAR_GROWTH), peers=LINEAR_PEERS, workers=workers,
        settings=SHORT_DAY,
    )
    return {
        "election": lambda: measure_election(days, day),
        "linearity": lambda: measure_linearity(days, short),
        "kernel": lambda: measure_kernel(repeats),
        "nodes": lambda: measure_nodes(repeats),
        "transactions": lambda: measure_transactions(repeats),
        "observer": lambda: measure_observer(min(3, repeats)),
        "crypto": lambda: measure_floor(repeats),
    }


@click.group(
    invoke_without_command=True,
    epilog="Example: python -m bench --only kernel --only nodes --json bench.json",
)
@click.pass_context
@click.option("--json", "path", type=WRITABLE, metavar="FILE",
              help="Write the figures there too.")
@click.option("--users", type=click.IntRange(10), default=20_000, show_default=True,
              help="Voters of the election; linearity goes from a tenth of them to all.")
@click.option("--peers", type=click.IntRange(10), default=200, show_default=True,
              help="Peers of the election.")
@click.option("--workers", type=click.IntRange(0, 64), default=count_workers, metavar="N",
              help="Processes that make ballots. Default: as many as cores.")
@click.option("--repeats", type=click.IntRange(1, 100), default=5, show_default=True,
              help="Of each small measurement.")
@click.option("--days", type=click.IntRange(1, 100), default=1, show_default=True,
              help="Repeats of the election parts.")
@click.option("--only", multiple=True, type=click.Choice(NAMES),
              help="Measure only this. Repeatable.")
def main(
    context: click.Context, path: Path | None, users: int, peers: int, workers: int,
    repeats: int, days: int, only: Sequence[str],
) -> None:
    """Measure what Veche costs on this machine: medians over repeats, smallest and largest."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings(users=users, peers=peers, workers=workers, repeats=repeats, days=days)
    figures: list[Figure] = []
    for name, measure in list_measurements(settings).items():
        if only and name not in only:
            continue
        click.echo(f"measuring {name} ...", err=True)
        try:
            figures += measure()
        except (MeasurementFailed, SimError) as error:
            raise click.ClickException(f"{name}: {error}") from error
    report(figures, settings.build_json(), path)


@main.command(epilog="Example: python -m bench cluster --repeats 3")
@click.option("--json", "path", type=WRITABLE, metavar="FILE",
              help="Write the figures there too.")
@click.option("--ballots", type=click.IntRange(50_000), default=Load().ballots,
              show_default=True,
              help="Signed before the start and pushed in each run; fewer are over too soon.")
@click.option("--backlog", type=click.IntRange(1_000), default=Load().backlog_max,
              show_default=True, help="Accepted and not final, at most.")
@click.option("--repeats", type=click.IntRange(1, 100), default=1, show_default=True,
              help="Whole runs, of a minute or two each.")
@click.option("--anvil", "folder", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Where npm has installed anvil and ethers. Default: bench/anvil, if there.")
@click.option("--no-anvil", is_flag=True, help="Leave it out.")
def cluster(
    path: Path | None, ballots: int, backlog: int, repeats: int, folder: Path | None,
    no_anvil: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """What 4 validators and a relay carry as real processes, and what it costs them.

    Right after each run anvil is given twice as many transfers, if npm has installed it
    (make anvil). bench/ANVIL.md says what the two have in common and what not.
    """
    load = Load(ballots=ballots, backlog_max=backlog)
    if no_anvil and folder is not None:
        raise click.UsageError("--anvil or --no-anvil, not both")
    anvil, told = (None, "anvil: left out") if no_anvil else find_anvil(folder, load)
    try:
        if anvil is not None:
            click.echo(f"signing {anvil.count:,} transfers for anvil ...", err=True)
            anvil.sign()
        upon_run = (lambda: None) if anvil is None else anvil.run
        figures = measure_saturation(repeats, load, upon_run)
    except (MeasurementFailed, SimError) as error:
        raise click.ClickException(f"cluster: {error}") from error
    if anvil is not None:
        beside = anvil.list_figures(figures[0].values)
        told = anvil.describe(beside)
        figures += beside
    settings: dict[str, Json] = {
        "ballots": ballots, "backlog": backlog, "repeats": repeats, "anvil": told,
    }
    report(figures, settings, path)
    click.echo(f"\n{click.wrap_text(told, WIDTH)}")


def find_anvil(folder: Path | None, load: Load) -> tuple[Anvil | None, str]:
    """It, or None and what to do about that; an error if it was asked for by its folder."""
    try:
        return Anvil(installed=find_installed(folder or FOLDER), load=load), ""
    except NotInstalled as error:
        if folder is not None:
            raise click.UsageError(f"--anvil {folder}: {error}") from error
        return None, f"anvil: not installed, so not measured; with Node.js: {INSTALL}"


def report(figures: list[Figure], settings: dict[str, Json], path: Path | None) -> None:
    """The table, and the file if there is to be one."""
    click.echo(format_table(figures))
    if path is not None:
        text = json.dumps(build_report(figures, settings), indent=2)
        try:
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"--json {path}: {error.strerror}") from error


main.add_command(fidelity)


if __name__ == "__main__":
    if not __debug__:
        sys.exit("bench: run it without python -O, as simulations run")
    main()
