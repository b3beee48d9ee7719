"""The command line: a thin group that names the verbs.

Every verb returns the exit code of its result; a user's mistake is one line on standard error.
Functions import what they use of ``sim`` and ``reports``: ``veche --help`` must not wait for
numpy and matplotlib.
"""

import math
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from bench.compiled import activate, is_active
from bench.manual import ClusterHelp, RunHelp

if TYPE_CHECKING:
    from bench.cluster.run import Cluster
    from reports.screen import Screen
    from sim.costs import CostTable
    from sim.progress import Progress
    from sim.result import RunResult
    from sim.scenario import Scenario
    from sim.simulation import Simulation

BAD_CONFIGURATION = 104
STOPPED = 105
WORKERS_MAX = 64
COMMIT_MARK = "  # commit "
RUNS = Path("runs")
UNTIL_STOPPED = "until stopped"
USERS_HELP = "How many users there are; the shape of the day stays."


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line changes in a scenario."""

    users: int | None
    peers: int | None
    seed: int | None
    engine: str | None
    settings: dict[str, str]
    faults: tuple[str, ...]
    costs: Path | None


@click.group(epilog="Example: veche run smoke")
def cli() -> None:
    """Veche simulates a city's Proof-of-Authority chain with its voters and market stalls.

    Exit codes: 0 passed; 99 a threshold failed; 104 bad configuration; 105 stopped by the
    user; 107 error in a scenario file; 110 an invariant broke; 111 the run is invalid.
    """


@cli.command(
    cls=RunHelp,
    epilog="Example: veche run election-day --users 20000 --peers 200 --seed 7 --out runs/x",
)
@click.argument("scenario")
@click.option("--users", type=int, metavar="N", help=USERS_HELP)
@click.option("--peers", type=int, metavar="N", help="Validators, relays, observers together.")
@click.option("--seed", type=int, metavar="N", help="The number from which all chance comes.")
@click.option("--engine", metavar="NAME", help="The consensus engine.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Change a setting of the scenario, its workload or the chain. Repeatable.")
@click.option("--help-settings", is_flag=True,
              help="List SCENARIO's settings with their values and units, and run nothing.")
@click.option("--fault", "faults", multiple=True, metavar="SPEC",
              help="Add a fault, as below. Repeatable.")
@click.option("--costs", type=click.Path(path_type=Path), metavar="FILE",
              help="What work costs, by veche calibrate. Default: the reference table.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="A new folder for the run. Default: runs/SCENARIO-SEED-N.")
@click.option("--workers", type=click.IntRange(0, WORKERS_MAX), metavar="N",
              help="Processes that make ballots ahead. Results do not depend on it.")
@click.option("--json", "as_json", is_flag=True, help="Print result.json, and nothing else.")
@click.option("--quiet", is_flag=True, help="Print the verdict and its last line only.")
def run(
    scenario: str, users: int | None, peers: int | None, seed: int | None, engine: str | None,
    settings: tuple[str, ...], help_settings: bool,  # noqa: FBT001 - click passes by name
    faults: tuple[str, ...], costs: Path | None, out: Path | None, workers: int | None,
    as_json: bool, quiet: bool,  # noqa: FBT001
) -> int:
    """Run SCENARIO: a name that comes with Veche, or the path of a .py file."""
    from reports.screen import Screen, tolerate_closed_pipe
    from sim.errors import ConfigurationError

    overrides = Overrides(
        users=users, peers=peers, seed=seed, engine=engine, settings=parse_settings(settings),
        faults=faults, costs=costs,
    )
    chosen, table = load(scenario, overrides), load_table(costs)
    screen = Screen(as_json=as_json, quiet=quiet)
    if help_settings:
        with tolerate_closed_pipe():
            screen.settings(chosen)
        return 0
    line = build_reproduce_line(scenario, chosen.seed, overrides)
    with claim_folder(out, f"{chosen.name}-{chosen.seed}") as folder:
        try:
            # built first, so that every mistake is told before anything is printed
            simulation = build(chosen, table, workers)
            with tolerate_closed_pipe():
                screen.before(
                    chosen, table, describe_hot_path(), (("fidelity", simulation.fidelity),)
                )
            result = watch(simulation, screen)
        except ConfigurationError:
            raise
        except Exception as error:
            # a run that breaks ends with the line that meets it again, too
            error.add_note(line)
            raise
        result = finish(result, folder, line)
    with tolerate_closed_pipe():
        screen.after(result, folder)
    return int(result.exit_code)


@cli.command(epilog="Example: veche report runs/election-day-1-1")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print result.json instead of a summary.")
@click.option("--quiet", is_flag=True, help="Print nothing.")
def report(folder: Path, as_json: bool, quiet: bool) -> int:  # noqa: FBT001 - click's flags
    """Write FOLDER's page and summaries again from its saved result."""
    from reports.folder import write_reports
    from reports.screen import Screen, tolerate_closed_pipe
    from sim.result import RunResult

    result = RunResult.load(folder)
    write_reports(result, folder)
    screen = Screen(as_json=as_json, quiet=quiet)
    if as_json or not quiet:
        with tolerate_closed_pipe():
            screen.after(result, folder, saved=True)
    return 0


@cli.command(epilog="Example: veche calibrate --out mine.json")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="A new file; its stem names the table. Default: costs-N.json.")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", default=".",
              help="On which disk syncs are timed. Default: the current folder's.")
@click.option("--repeats", type=click.IntRange(2, 1_000), default=15, show_default=True,
              help="Rounds; a price is their median.")
@click.option("--json", "as_json", is_flag=True, help="Print the table's file, nothing else.")
@click.option("--quiet", is_flag=True, help="Print the name of the file only.")
def calibrate(
    out: Path | None, folder: Path, repeats: int, as_json: bool, quiet: bool,  # noqa: FBT001
) -> int:
    """Measure on this machine what the node's work costs, for veche run --costs."""
    from bench.calibrate import build_table, choose_path, measure_costs, write_table
    from bench.table import format_table
    from reports.screen import tolerate_closed_pipe

    path = choose_path(out)
    hushed = quiet or as_json
    figures = measure_costs(
        repeats, folder, lambda step: None if hushed else click.echo(step, err=True)
    )
    write_table(build_table(figures, path.stem, Path(__file__).parent), path)
    with tolerate_closed_pipe():
        if as_json:
            click.echo(path.read_text(encoding="utf-8"), nl=False)
        elif quiet:
            click.echo(str(path))
        else:
            click.echo(format_table(figures))
            click.echo(f"\nveche run smoke --costs {shlex.quote(str(path))}")
    return 0


@cli.command("compile", epilog="Example: veche compile --quiet")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def compile_hot_path(quiet: bool) -> int:  # noqa: FBT001 - click passes flags by name
    """Compile the hot path for this machine, so that runs take less than half the time.

    Needs a C compiler and the extra [fast]. Results stay the same to the bit: a small run is
    made with and without, and a build whose digest differs is thrown away. An edit of the
    sources sets the build aside until the next compile; VECHE_PURE=1 does so for one run.
    """
    from bench.compiled import CompilationFailed, compile_checked

    say = (lambda _: None) if quiet else click.echo
    try:
        compile_checked(say)
    except CompilationFailed as error:
        click.echo(f"veche: {error}", err=True)
        return BAD_CONFIGURATION
    return 0


@cli.command(
    cls=ClusterHelp,
    epilog="Example: veche cluster smoke --fault 'crash validators=1 at=+4m for=30s'",
)
@click.argument("scenario")
@click.option("--validators", type=click.IntRange(1, 50), default=4, show_default=True)
@click.option("--relays", type=click.IntRange(1, 50), default=2, show_default=True)
@click.option("--observers", type=click.IntRange(0, 200), default=2, show_default=True)
@click.option("--users", type=int, metavar="N",
              help="How many come in that time. Default: as many as the scenario's curve has.")
@click.option("--speed", type=click.FloatRange(0.1, 200), default=20.0, show_default=True,
              help="How many times as fast as the clock its day passes.")
@click.option("--for", "length", default="10m", show_default=True, metavar="DURATION",
              help="How long the doors are open, in the city's time.")
@click.option("--seed", type=int, metavar="N", help="The number from which all chance comes.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Change a setting of the scenario, its workload or the chain. Repeatable.")
@click.option("--fault", "faults", multiple=True, metavar="SPEC",
              help="Add a fault, as below; it is done to real processes. Repeatable.")
@click.option("--stay", is_flag=False, flag_value=UNTIL_STOPPED, metavar="[DURATION]",
              help="Keep the nodes up after the day, until Ctrl-C or so long by the wall "
                   "clock; prints the command with which a citizen joins.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="A new folder for the run. Default: runs/cluster-SCENARIO-SEED-N.")
@click.option("--json", "as_json", is_flag=True, help="Print result.json, and nothing else.")
@click.option("--quiet", is_flag=True, help="Print the verdict and its last line only.")
def cluster(
    scenario: str, validators: int, relays: int, observers: int, users: int | None,
    speed: float, length: str, seed: int | None, settings: tuple[str, ...],
    faults: tuple[str, ...], stay: str | None, out: Path | None, as_json: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
) -> int:
    """Run a part of SCENARIO's day on real processes, over TCP, by the wall clock.

    Starts a node's process for each peer on this machine's loopback, drives them with the
    scenario's users, does its faults to them, judges and reports as veche run does, and stops
    all that it started.
    """
    from bench.cluster.command import Request, run_cluster
    from bench.cluster.stay import Stay
    from sim.times import parse_duration_ns

    overrides = Overrides(users=None, peers=None, seed=seed, engine=None,
                          settings=parse_settings(settings), faults=faults, costs=None)
    request = Request(
        scenario=load(scenario, overrides), validators=validators, relays=relays,
        observers=observers, users=users, speed=speed, workers=1,
        for_ns=parse_duration_ns("--for", length),
        stay=None if stay is None else Stay(
            math.inf if stay == UNTIL_STOPPED else parse_duration_ns("--stay", stay) / 1e9
        ),
    )
    words = [*build_reproduce_words("cluster", scenario, request.scenario.seed, overrides),
             *request.build_words(length)]
    line, chosen = complete_line(words), request.scenario
    with claim_folder(out, f"cluster-{chosen.name}-{chosen.seed}") as folder:
        return run_cluster(request, folder, as_json=as_json, quiet=quiet, watch=watch,
                           finish=lambda result: finish(result, folder, line),
                           hot_path=describe_hot_path())


@cli.command(
    "node", add_help_option=False, epilog="Example: veche node --config node.toml",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def run_node(words: tuple[str, ...]) -> int:
    """Run one node of a real network, make one, or join a city and recount its election."""
    from node.host.command import main as run_words

    return run_words(words)


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """``name=value`` each, a later one wins; ConfigurationError without name or ``=``."""
    from sim.errors import ConfigurationError

    settings = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ConfigurationError("--set", text, "write name=value")
        settings[name.strip()] = value.strip()
    return settings


def build_reproduce_line(scenario: str, seed: int, overrides: Overrides) -> str:
    """The command that repeats a run, with the commit that it belongs to."""
    return complete_line(build_reproduce_words("run", scenario, seed, overrides))


def build_reproduce_words(
    verb: str, scenario: str, seed: int, overrides: Overrides
) -> list[str]:
    """The words of that command."""
    words = ["veche", verb, scenario]
    for name, value in (("users", overrides.users), ("peers", overrides.peers), ("seed", seed),
                        ("engine", overrides.engine), ("costs", overrides.costs)):
        if value is not None:
            words += [f"--{name}", str(value)]
    for name, text in overrides.settings.items():
        words += ["--set", f"{name}={text}"]
    for fault in overrides.faults:
        words += ["--fault", fault]
    return words


def complete_line(words: Sequence[str]) -> str:
    """The words as a line for a shell, with the commit."""
    from reports.provenance import read_commit

    return f"{shlex.join(words)}{COMMIT_MARK}{read_commit(Path(__file__).parent)}"


@contextmanager
def claim_folder(out: Path | None, stem: str) -> Iterator[Path]:
    """A new folder, made before the run so that it cannot fail after; removed if left empty."""
    from sim.result import create_folder

    folder = out
    if folder is None:
        number = 1
        while (RUNS / f"{stem}-{number}").exists():
            number += 1
        folder = RUNS / f"{stem}-{number}"
    create_folder(folder)
    try:
        yield folder
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


def load(scenario: str, overrides: Overrides) -> "Scenario":
    """The scenario with the command line's changes."""
    from sim.scenario import load_scenario

    return load_scenario(scenario).with_overrides(
        users=overrides.users, peers=overrides.peers, seed=overrides.seed,
        engine=overrides.engine, settings=overrides.settings, faults=overrides.faults,
    )


def load_table(path: Path | None) -> "CostTable":
    """The table of costs in that file, or the reference."""
    from sim.costs import REFERENCE, load_costs

    return load_costs(path or REFERENCE)


def build(scenario: "Scenario", costs: "CostTable", workers: int | None) -> "Simulation":
    """The one place that knows how a simulation is made; by default it leaves one core idle."""
    from sim.simulation import Simulation

    # they give way to the simulating process, and the morning asks for more than one makes
    count = min(os.cpu_count() or 1, WORKERS_MAX) if workers is None else workers
    return Simulation(scenario, costs=costs, workers=count)


def interrupt() -> None:
    """In the middle of an event: nothing can be saved."""
    raise KeyboardInterrupt


def watch(
    simulation: "Simulation | Cluster", screen: "Screen",
    discard: Callable[[], None] = interrupt,
) -> "RunResult":
    """Run with a progress line; Ctrl-C stops at the next progress, a second one discards."""
    with screen.watch() as show, catch_interrupt(discard) as is_interrupted:

        def observe(progress: "Progress") -> None:
            if is_interrupted():
                raise KeyboardInterrupt
            show(progress)

        return simulation.run(observe)


def finish(result: "RunResult", folder: Path, line: str) -> "RunResult":
    """Add where the result comes from, and write the run folder."""
    from reports.folder import write_run
    from reports.provenance import read_versions

    result = replace(
        # the sources may have moved on since the line was made and they were loaded
        result, reproduce=line, commit=line.rpartition(COMMIT_MARK)[2],
        versions={**result.versions, **read_versions(), "hot_path": describe_hot_path()},
    )
    write_run(result, folder)
    return result


def describe_hot_path() -> str:
    """What runs; results do not depend on it."""
    return "compiled" if is_active() else "sources (veche compile makes runs faster)"


@contextmanager
def catch_interrupt(discard: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, or SIGTERM came; the run stops where its state is whole.

    Who presses again does not wait for that: ``discard`` is called in the signal's handler.
    """
    pressed: list[bool] = []

    def remember(_number: int, _frame: FrameType | None) -> None:
        if pressed:
            discard()
            return
        pressed.append(True)
        click.echo("stopping, saving what there is; press again to discard it", err=True)

    before = {number: signal.signal(number, remember)
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(pressed)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse, run, and exit with the verb's code."""
    if not __debug__:
        click.echo("veche: run it without python -O: its assertions are its safety", err=True)
        sys.exit(BAD_CONFIGURATION)
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        activate()
        code = answer(words)
    except KeyboardInterrupt:  # so early that nothing was loaded
        code = tell_stopped()
    sys.exit(code)


def tell_stopped() -> int:
    """The exit code."""
    click.echo("veche: stopped; nothing was saved", err=True)
    return STOPPED


def answer(words: list[str]) -> int:
    """The exit code for a command line; mistakes are told in one line."""
    from sim.errors import SimError

    try:
        code = cli.main(words, prog_name="veche", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return tell_stopped()
    except click.ClickException as error:
        click.echo(f"veche: {' '.join(error.format_message().split())}", err=True)
        return BAD_CONFIGURATION
    except SimError as error:
        click.echo(f"veche: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            click.echo(note, err=True)
        return error.exit_code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
