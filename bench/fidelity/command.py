"""``python -m bench fidelity``: founds one town on both hosts, loads it, prints the table."""

import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.cluster.errors import ClusterFailed
from bench.cluster.process import VECHE
from bench.compiled import get_build
from bench.contention import STRANGERS_MAX
from bench.fidelity.compare import (
    HALF,
    KILLED,
    SATURATED,
    Row,
    build_json,
    compare,
    format_markdown,
    format_rows,
    require_equal,
)
from bench.fidelity.load import Load, Town, build_town, make_loopback
from bench.fidelity.real import KilledTooLate, RealRun
from bench.fidelity.speed import Speeds, compute_beside, compute_speeds, compute_usual_ns
from bench.fidelity.trace import (
    Trace,
    compute_recovery_s,
    compute_throughput,
    describe_saturation,
    describe_steady,
    describe_work,
)
from bench.fidelity.virtual import VirtualRun
from bench.figures import Json, MeasurementFailed, read_processor
from bench.processors import count_cores
from bench.speedometer import Speedometer
from bench.writable import WRITABLE
from sim.costs import CostTable, Speed, load_costs
from sim.errors import SimError
from sim.fidelity import Fidelity

ROUND_TRIPS = 2_000
CALIBRATIONS = 7
KILL_SECONDS = 16.0
LOOK_EVERY_S = 0.1
LOOK_SECONDS = 5.0
TRIES = 3
DISTURBED = 0.3
"""Cores: where others had more, half a load is no half, and the table is no comparison."""

HALF_ROOM = 1.5
"""Ballots are made for so much more than the first half load: a later one may be greater."""
SATURATION_PER_S = 8_000
"""Ballots made for a second of a load that saturates: more than two cores have ever carried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the command line asks for."""

    validators: int
    relays: int
    cores: int
    seconds: float
    repeats: int
    rate_per_s: float

    def build_json(self) -> dict[str, Json]:
        """As it stands in the JSON file."""
        return {
            "validators": self.validators, "relays": self.relays, "cores": self.cores,
            "seconds": self.seconds, "repeats": self.repeats, "rate_per_s": self.rate_per_s,
            "compiled": get_build().is_dir(),
        }


def measure_one_way_ns() -> int:
    """How long a small frame takes from socket to socket through the loopback, one way."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    with here, there:
        for one in (here, there):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        spans = []
        for _ in range(ROUND_TRIPS):
            began_ns = time.perf_counter_ns()
            here.sendall(bytes(200))
            there.recv(4_096)
            spans.append(time.perf_counter_ns() - began_ns)
    return round(statistics.median(spans))


def calibrate(folder: Path, speedometer: Speedometer) -> CostTable:
    """The table of this machine, measured now: by a process that runs what the nodes run.

    ``speedometer`` looks meanwhile.
    """
    path = folder / "this-machine.json"
    command = [
        sys.executable, str(VECHE), "calibrate", "--quiet", "--repeats", str(CALIBRATIONS),
        "--folder", str(folder), "--out", str(path),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        while True:
            try:
                speedometer.look()
                _, told = process.communicate(timeout=LOOK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                continue
            except BaseException:
                process.terminate()
                raise
    if process.returncode:
        raise MeasurementFailed(f"veche calibrate: {' '.join(told.split())}")
    return load_costs(path)


def look_for(speedometer: Speedometer, seconds: float) -> None:
    """How fast the machine is now, for whoever has measured its prices before."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        speedometer.look()
        time.sleep(LOOK_EVERY_S)


class Comparison:
    """Runs loads on both hosts; ``rows`` is what came of it.

    ``strangers`` is what others had of the machine in each run, in cores, and ``speeds`` how
    fast it was, by load. ``granted_root`` is the state after the last town's grants, the
    same on both.
    """

    def __init__(
        self, setup: Setup, costs: CostTable, usual_ns: float, folder: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.setup = setup
        self.costs = costs
        self._usual_ns = usual_ns
        self._folder = folder
        self._tell = tell
        self._profile = make_loopback(measure_one_way_ns(), round(costs.disk_sync_ns))
        self._simulated: dict[str, list[dict[str, float]]] = {}
        self._measured: dict[str, list[dict[str, float]]] = {}
        self.granted_root = b""
        self.strangers: list[float] = []
        self.speeds: dict[str, list[Speeds]] = {}

    @property
    def rows(self) -> list[Row]:
        """The table so far."""
        return compare(self._simulated, self._measured)

    def run(self) -> None:
        """Capacity, then half of it, then half of it with a proposer killed; so each repeat.

        Half is that of the capacity a minute ago: of a machine whose speed swings, half of an
        older one may be all of today's.
        """
        setup = self.setup
        rate_per_s, longest_s = setup.rate_per_s, max(setup.seconds, KILL_SECONDS)
        full = half = None
        for _ in range(setup.repeats):
            if not setup.rate_per_s:
                full = full or self._build(round(SATURATION_PER_S * setup.seconds))
                load = Load(rate_per_s=0, seconds=setup.seconds)
                self._run_both(SATURATED, full, load, describe_saturation)
                rate_per_s = self._measured[SATURATED][-1]["capacity_per_s"] / 2
            half = half or self._build(round(rate_per_s * HALF_ROOM * longest_s))
            rate_per_s = min(round(rate_per_s), half.voters // longest_s)
            load = Load(rate_per_s=rate_per_s, seconds=setup.seconds)
            self._run_both(HALF, half, load, describe_steady)
            kill = Load(rate_per_s=rate_per_s, seconds=KILL_SECONDS, kills=True)
            self._run_both(KILLED, half, kill, describe_recovery)

    def _build(self, voters: int) -> Town:
        self._tell(f"making {voters:,} ballots ...")
        town = build_town(
            validators=self.setup.validators, relays=self.setup.relays, voters=voters,
            profile=self._profile,
        )
        assert town.deeds
        assert town.ballots
        return town

    def _run_both(
        self, name: str, town: Town, load: Load, describe: Callable[[Trace], dict[str, float]]
    ) -> None:
        number = len(self._measured.get(name, ())) + 1
        self._tell(f"{name}, {number} of {self.setup.repeats}: processes ...")
        trace = self._run_undisturbed(town, load)
        speeds = compute_speeds(self.costs, self._usual_ns, trace, count_cores())
        measured = describe(trace)
        self._tell(f"{name}, {number} of {self.setup.repeats}: virtual peers ...")
        twin = VirtualRun(
            town, load, self.costs, cores=self.setup.cores,
            driver_us=measured.get("driver_us", 0.0), strangers=trace.strangers,
            speeds=speeds, seed=number,
        ).run()
        self.granted_root = require_equal(
            "state roots after the same grants differ",
            (trace.granted_root, twin.granted_root),
        )
        if not trace.is_replayed:
            raise MeasurementFailed("the processes' blocks lead to another state than theirs")
        self.speeds.setdefault(name, []).append(speeds)
        self._measured.setdefault(name, []).append(measured)
        self._simulated.setdefault(name, []).append(describe(twin))

    def _run_undisturbed(self, town: Town, load: Load) -> Trace:
        """What the processes told.

        Of a few runs that in which others had the least of the machine, chosen by that alone;
        the first will do if they had next to nothing, or not much if the proposer is killed:
        then one waits for a timer and not for the processor.
        """
        tries: list[Trace] = []
        for _ in range(TRIES):
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            try:
                trace = RealRun(town, load, folder).run()
            except KilledTooLate as error:
                self._tell(f"  {error}")
                continue
            finally:
                shutil.rmtree(folder)
            tries.append(trace)
            if trace.strangers <= (DISTURBED if load.kills else STRANGERS_MAX):
                break
            self._tell(f"  others took {trace.strangers:.2f} cores meanwhile")
        if not tries:
            raise MeasurementFailed("the machine stands still too often: run it again")
        trace = min(tries, key=lambda one: one.strangers)
        self.strangers.append(trace.strangers)
        return trace


def describe_recovery(trace: Trace) -> dict[str, float]:
    """The figures of a load in which a proposer was killed."""
    work = describe_work(trace, compute_throughput(trace))
    return {"recovery_s": compute_recovery_s(trace), "driver_us": work["driver_us"]}


def write_json(path: Path, content: dict[str, Json]) -> None:
    """Write it. Raises click.ClickException if that is not possible."""
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"--json {path}: {error.strerror}") from error


def require_calm(strangers: Sequence[float]) -> None:
    """Raises MeasurementFailed if others had so much that nothing can be said."""
    if max(strangers) > DISTURBED:
        raise MeasurementFailed(
            f"others had up to {max(strangers):.2f} cores of this machine, which makes no "
            "comparison; no label is kept: run it again when the machine is quiet"
        )


def make_label(rows: Sequence[Row], setup: Setup) -> Fidelity:
    """What later results say of the rows that have a target."""
    ratios = {row.kind.figure: row.ratio for row in rows if row.kind.has_target}
    return Fidelity(
        date=time.strftime("%Y-%m-%d", time.gmtime()), machine=read_processor(),
        cores=setup.cores, validators=setup.validators, relays=setup.relays,
        capacity_ratio=round(ratios["capacity_per_s"], 5),
        final_p50_ratio=round(ratios["final_p50_s"], 5),
        final_p99_ratio=round(ratios["final_p99_s"], 5),
    )


def describe_range(ratios: Sequence[float]) -> str:
    """Their median, and the least and the greatest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def report(
    rows: Sequence[Row], costs: CostTable, speeds: Sequence[Speed],
    strangers: Sequence[float], *, as_markdown: bool,
) -> str:
    """The table, and what it was measured with."""
    table = format_markdown(rows) if as_markdown else format_rows(rows)
    near = [row.is_near for row in rows if row.is_near is not None]
    return "\n".join([
        table, "",
        f"within 10 %: {sum(near)} of {len(near)}; costs: {costs.name} ({costs.digest})",
        f"contention of all cores at work: {costs.contention.ratio:.2f}",
        "speed second by second, against the costs: cryptography "
        f"{describe_range([speed.crypto_ratio for speed in speeds])},",
        f"  all else {describe_range([speed.other_ratio for speed in speeds])}",
        "equal on both hosts: the state root after the same transactions",
        f"others had up to {max(strangers, default=0.0):.2f} cores of the machine meanwhile",
    ])


@click.command(epilog="Example: python -m bench fidelity --json fidelity.json")
@click.option("--validators", type=click.IntRange(4, 16), default=4, show_default=True)
@click.option("--relays", type=click.IntRange(1, 8), default=1, show_default=True)
@click.option("--cores", type=click.IntRange(1, 256), default=count_cores,
              help="What the simulated machine has. Default: as many as this one.")
@click.option("--seconds", type=click.FloatRange(10, 300), default=20.0, show_default=True,
              help="Of each load; 5 at its beginning and 2 at its end are cut off.")
@click.option("--repeats", type=click.IntRange(1, 20), default=3, show_default=True,
              help="Of each load on each host; the table has medians.")
@click.option("--rate", "rate_per_s", type=click.FloatRange(0), default=0.0, metavar="N",
              help="Ballots a second. Default: look for the capacity, and take half of it.")
@click.option("--costs", type=click.Path(path_type=Path), metavar="FILE",
              help="By veche calibrate on this machine, just before. Default: calibrate now.")
@click.option("--json", "path", type=WRITABLE, metavar="FILE",
              help="Write the figures there too.")
@click.option("--keep", is_flag=True,
              help="Every later simulated result carries these ratios; not with --rate.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the README's table.")
def fidelity(
    validators: int, relays: int, cores: int, seconds: float, repeats: int, rate_per_s: float,
    costs: Path | None, path: Path | None, keep: bool, as_markdown: bool,  # noqa: FBT001 - click
) -> None:
    """Run one load on real processes and on virtual peers, and compare what they tell.

    The virtual peers share one machine, as the processes do. Its price list is measured on it,
    with what its cores take from one another, and so is its speed during each run. What the
    load generator itself takes, and what others take of the machine, is measured and given to
    the simulation.
    """
    setup = Setup(
        validators=validators, relays=relays, cores=cores, seconds=seconds, repeats=repeats,
        rate_per_s=rate_per_s,
    )
    if keep and rate_per_s:
        raise click.UsageError("--keep wants the capacity, for which --rate does not look")

    def tell(step: str) -> None:
        click.echo(step, err=True)

    try:
        with tempfile.TemporaryDirectory(prefix="veche-fidelity-") as folder:
            if costs is None:
                tell("measuring what work costs on this machine ...")
            speedometer = Speedometer()
            if costs:
                table = load_costs(costs)
                look_for(speedometer, LOOK_SECONDS)
            else:
                table = calibrate(Path(folder), speedometer)
            usual_ns = compute_usual_ns(speedometer.looks)
            if not costs:
                usual_ns /= compute_beside(table, 1, count_cores())
            comparison = Comparison(setup, table, usual_ns, Path(folder), tell)
            comparison.run()
    except (ClusterFailed, MeasurementFailed, SimError) as error:
        raise click.ClickException(str(error)) from error
    rows = comparison.rows
    speeds = [
        speed for runs in comparison.speeds.values() for run in runs for speed in run.seconds
    ]
    click.echo(report(rows, table, speeds, comparison.strangers, as_markdown=as_markdown))
    if path is not None:
        root = comparison.granted_root
        ratios: dict[str, Json] = {
            load: [[asdict(speed) for speed in run.seconds] for run in runs]
            for load, runs in comparison.speeds.items()
        }
        write_json(path, build_json(
            rows, setup.build_json(), table, root, ratios, comparison.strangers
        ))
    try:
        require_calm(comparison.strangers)
        if keep:
            make_label(rows, setup).save()
    except (MeasurementFailed, SimError) as error:
        raise click.ClickException(str(error)) from error
