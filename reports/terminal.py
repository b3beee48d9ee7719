"""What the terminal says: configuration, then progress, then the verdict before all results.

Results fit 80 columns. The progress line lives in place on a terminal; elsewhere plain lines
come at intervals.
"""

from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from reports.wording import (
    VERDICT_WORDS,
    describe_verdict,
    format_bytes,
    format_clock,
    format_metric,
    format_number,
    format_seconds,
)
from sim.progress import Progress
from sim.result import RunResult, Verdict
from sim.thresholds import Threshold

WIDTH = 80
PLAIN_EVERY_S = 10.0
LIVE_EVERY_S = 0.2
BAR = 12

_GOOD = {Verdict.PASSED: "bold white on dark_green", Verdict.STOPPED: "bold black on yellow"}

LATENCIES: tuple[tuple[str, str], ...] = (
    ("latency.accepted", "accepted"), ("latency.included", "in a block"),
    ("latency.final", "final"), ("latency.final_uncorrected", "  uncorrected"),
    ("latency.seen95", "seen by 95 %"),
)

# Each line: its label, and metrics with a word for each; absent metrics are left out
LINES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("count", (("offered.count", "offered"), ("final.count", "final"))),
    ("safety", (
        ("lost.count", "lost"), ("double.count", "double"), ("forks.count", "forks"),
        ("auditor.mismatch.count", "mismatches"),
    )),
    ("users", (
        ("users.abandoned.count", "abandoned"), ("users.revoted.count", "voted again"),
        ("users.retries.count", "retries"), ("users.gave_up.count", "gave up"),
    )),
    ("tally", (("tally.counted.count", "counted"), ("tally.spoiled.count", "spoiled"))),
    ("fairs", (
        ("fairs.allocated.count", "places given"), ("fairs.waiting.count", "waiting"),
        ("fairs.sold.count", "lots sold"), ("fairs.inversions.count", "out of turn"),
    )),
    ("rate", (
        ("throughput.final.steady_per_s", "steady"), ("throughput.final.peak_per_s", "peak"),
        ("backlog.max", "largest backlog"),
    )),
    ("blocks", (
        ("blocks.count", "final"), ("blocks.interval.p50_s", "apart"),
        ("blocks.propagation.p95_s", "to 95 %"), ("rounds.changed.count", "round changes"),
    )),
    ("network", (
        ("network.bytes", "sent"), ("network.frames", "frames"),
        ("network.dropped.count", "dropped"),
    )),
    ("engine", (
        ("engine.events", "events"), ("engine.events_per_s", ""),
        ("engine.events_per_block_and_peer", "per block and peer"),
    )),
    ("machine", (
        ("wall_s", "wall"), ("wall_over_floor", "times the crypto floor"),
        ("rss_peak_mb", "peak memory"),
    )),
    ("theory", (
        ("little.ratio", "of Little's law"), ("low_load_wait.ratio", "of the wait at low load"),
    )),
)


def print_configuration(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """What is about to run, one fact per line."""
    console.print()
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        line = Text(f"  {name.ljust(width)}  ", style="dim")
        console.print(line.append(value, style="default"))
    console.print()


def format_progress(progress: Progress, *, bar: bool) -> str:
    """One line: local time, share, speed, what is final, backlog, wall time left."""
    clock = format_clock((progress.virtual_ns - progress.midnight_ns) / 1e9)
    filled = round(progress.share * BAR)
    drawn = f" {'━' * filled}{'╌' * (BAR - filled)}" if bar else ""
    minutes, seconds = divmod(round(progress.eta_s), 60)
    blocks = "" if bar else f"  {progress.blocks:,} blocks"
    return (
        f"{clock}{drawn} {progress.share * 100:3.0f} %  x{progress.speed_ratio:.0f}"
        f"  {progress.final_count:,} final{blocks}  backlog {progress.backlog:,}"
        f"  {minutes}:{seconds:02d} left"
    )


class ProgressLine:
    """A subscriber of progress, and a context manager that clears its line at the end.

    ``quiet`` shows nothing. Its pace is that of the progress's own wall time.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._live: Live | None = None
        self._quiet = quiet
        self._due_s = 0.0

    def __enter__(self) -> "ProgressLine":
        if self._console.is_terminal and not self._quiet:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show this moment, if the last one shown is long enough ago."""
        if self._quiet or progress.wall_s < self._due_s:
            return
        line = format_progress(progress, bar=self._live is not None)
        if self._live is not None:
            self._due_s = progress.wall_s + LIVE_EVERY_S
            self._live.update(Text(line, no_wrap=True, overflow="crop"), refresh=True)
        else:
            self._due_s = progress.wall_s + PLAIN_EVERY_S
            self._console.print(Text(line), soft_wrap=True)


def print_verdict(console: Console, result: RunResult) -> None:
    """The word, why, and the exit code."""
    style = _GOOD.get(result.verdict, "bold white on dark_red")
    word = Text(f" {VERDICT_WORDS[result.verdict].upper()} ", style=style)
    line = word.append(f"  {describe_verdict(result)}", style="default on default")
    console.print(Padding(line, (0, 0, 0, 2)))
    if result.verdict is Verdict.STOPPED:
        console.print(Text("  A partial result: nothing below is a verdict.", style="yellow"))
    console.print(Text(f"  exit code {int(result.exit_code)}", style="dim"))


def print_result(console: Console, result: RunResult) -> None:
    """Verdict, thresholds with what was measured, invariants, results."""
    print_verdict(console, result)
    if result.thresholds:
        _title(console, "thresholds")
    for outcome in result.thresholds:
        actual = format_metric(Threshold(outcome.rule).metric, outcome.actual)
        _judged(console, outcome.rule.ljust(48) + actual.rjust(22), passed=outcome.passed)
    if result.invariants:
        _title(console, "invariants")
    for invariant in result.invariants:
        text = f"{invariant.name}: {invariant.detail}"
        _judged(console, text, passed=invariant.passed)
    _title(console, f"results: {result.subject}s")
    for line in (*_results(result), *_latencies(result)):
        console.print(Text(f"  {line}", no_wrap=True, overflow="crop"))


def print_ending(console: Console, result: RunResult, folder: str) -> None:
    """Where the run lies, and as the last line how to run it again."""
    console.print()
    console.print(Text(f"  digest  {result.digest}", style="dim"), soft_wrap=True)
    console.print(Text(f"  folder  {folder}"), soft_wrap=True)
    console.print(Text(f"  page    {folder}/report.html"), soft_wrap=True)
    console.print(Text(result.reproduce), soft_wrap=True)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(f"  {text}", style="bold"))


def _judged(console: Console, text: str, *, passed: bool) -> None:
    sign = Text("  ✓ ", style="green") if passed else Text("  ✗ ", style="bold red")
    console.print(sign.append(text, style="default" if passed else "red"))


def _results(result: RunResult) -> Iterable[str]:
    for label, parts in LINES:
        found = [
            f"{_compact(name, result.metrics[name])} {word}".rstrip()
            for name, word in parts
            if name in result.metrics
        ]
        if found:
            yield f"{label.ljust(9)}{' · '.join(found)}"


def _compact(name: str, value: float) -> str:
    if name == "rss_peak_mb":
        return format_bytes(value * 1e6)
    return format_metric(name, value)


def _latencies(result: RunResult) -> Iterable[str]:
    head = ("p50", "p90", "p95", "p99", "p99.9", "max")
    keys = ("p50_s", "p90_s", "p95_s", "p99_s", "p999_s", "max_s")
    rows = [
        (label, [result.metrics[f"{name}.{key}"] for key in keys])
        for name, label in LATENCIES
        if f"{name}.p50_s" in result.metrics
    ]
    if rows:
        yield ""
        yield "time to…".ljust(15) + "".join(part.rjust(10) for part in head)
    for label, values in rows:
        yield label.ljust(15) + "".join(_narrow(value).rjust(10) for value in values)


def _narrow(seconds: float) -> str:
    """Nine characters at most; long waits lose what nobody reads."""
    text = format_seconds(seconds)
    return text if len(text) < 10 else f"{format_number(round(seconds / 60))} min"
