"""What the terminal says: configuration, then progress, then the verdict before all results.

Results fit 80 columns. The progress line lives in place on a terminal; elsewhere plain lines
come at intervals.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from reports.wording import (
    SIGNS,
    VERDICT_WORDS,
    describe_host,
    describe_measured,
    describe_verdict,
    format_bytes,
    format_clock,
    format_metric,
    format_number,
    format_seconds,
    is_simulated,
    list_metrics,
)
from sim.progress import Progress
from sim.result import RunResult, Verdict
from sim.scenario import Setting

WIDTH = 80
PLAIN_EVERY_S = 10.0
LIVE_EVERY_S = 0.2
BAR = 12
LABEL = 9
TIMES = 17
MEASURED = 70
MIN_ROOM = 20

_GOOD = {Verdict.PASSED: "bold white on dark_green", Verdict.STOPPED: "bold black on yellow"}

LATENCIES: tuple[tuple[str, str], ...] = (
    ("latency.accepted", "accepted"), ("latency.included", "in a block"),
    ("latency.final", "final"), ("latency.final_uncorrected", "  uncorrected"),
    ("latency.seen95", "seen by 95 %"),
)

# Head and part of a distribution's metric names, as far as there is room
PERCENTILES = (
    ("p50", "p50"), ("p90", "p90"), ("p95", "p95"), ("p99", "p99"), ("p99.9", "p999"),
    ("max", "max"),
)

# Each line: its label, and metrics with a word for each; absent metrics are left out
LINES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("count", (
        ("offered.count", "offered"), ("final.count", "final"), ("refused.count", "refused"),
    )),
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
        ("cluster.cpu_s", "of processor, all nodes"), ("rss_peak_mb", "peak memory"),
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
        _hang(console, Text(f"  {name.ljust(width)}  ", style="dim"), value)
    console.print()


def print_settings(console: Console, parts: Mapping[str, Sequence[Setting]]) -> None:
    """What ``--set`` can change in a scenario: name, present value, unit."""
    rows = [row for settings in parts.values() for row in settings]
    name_width = max(len(row.name) for row in rows)
    value_width = max(len(row.value) for row in rows)
    console.print()
    _hang(console, Text("  "), "Settings and what they are now; --set NAME=VALUE changes one.")
    for part, settings in parts.items():
        _title(console, part)
        for row in settings:
            lead = Text(f"  {row.name.ljust(name_width)}  {row.value.ljust(value_width)}  ")
            _hang(console, lead, row.unit)


def format_progress(progress: Progress, *, bar: bool) -> str:
    """One line: local time, share, speed, what is final, backlog, wall time left if known."""
    clock = format_clock((progress.virtual_ns - progress.midnight_ns) / 1e9)
    filled = round(progress.share * BAR)
    drawn = f" {'━' * filled}{'╌' * (BAR - filled)}" if bar else ""
    blocks = "" if bar else f"  {progress.blocks:,} blocks"
    left = ""
    if progress.eta_s is not None:
        minutes, seconds = divmod(round(progress.eta_s), 60)
        left = f"  {minutes}:{seconds:02d} left"
    return (
        f"{clock}{drawn} {progress.share * 100:3.0f} %  x{progress.speed_ratio:.0f}"
        f"  {progress.final_count:,} final{blocks}  backlog {progress.backlog:,}{left}"
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
        # a line that is redrawn in place would fill a log file with itself
        if self._console.is_terminal and not self._quiet:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True,
                redirect_stderr=False,  # whose long lines it would break
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show this moment, if the last one shown is long enough ago, or the run's end."""
        is_early = progress.wall_s < self._due_s and progress.virtual_ns != progress.end_ns
        if self._quiet or is_early:
            return
        line = format_progress(progress, bar=self._live is not None)
        if self._live is not None:
            self._due_s = progress.wall_s + LIVE_EVERY_S
            self._live.update(Text(line, no_wrap=True, overflow="crop"), refresh=True)
        else:
            self._due_s = progress.wall_s + PLAIN_EVERY_S
            self._console.print(Text(line), soft_wrap=True)


def print_verdict(console: Console, result: RunResult, *, saved: bool = False) -> None:
    """The word, why, and the exit code: of this process, or of the run if it was ``saved``."""
    style = _GOOD.get(result.verdict, "bold white on dark_red")
    word = Text(f" {VERDICT_WORDS[result.verdict].upper()} ", style=style)
    _hang(console, Text.assemble("  ", word, "  "), describe_verdict(result))
    if result.verdict is Verdict.STOPPED:
        console.print(Text("  A partial result: nothing below is a verdict.", style="yellow"))
    whose = "the run's exit code was" if saved else "exit code"
    host = describe_host(result)
    _hang(console, Text("  "), f"{whose} {int(result.exit_code)}; {host}", style="dim")


def print_result(console: Console, result: RunResult, *, saved: bool = False) -> None:
    """Verdict, thresholds with what was measured, invariants, results."""
    print_verdict(console, result, saved=saved)
    if result.thresholds:
        _title(console, "thresholds")
    for outcome in result.thresholds:
        measured = describe_measured(result, outcome)
        room = min(MEASURED, console.width - 4) - len(outcome.rule)
        _judged(console, f"{outcome.rule} {measured.rjust(room - 1)}", passed=outcome.passed)
    if result.invariants:
        _title(console, "invariants")
    for invariant in result.invariants:
        text = f"{invariant.name}: {invariant.detail}"
        _judged(console, text, passed=invariant.passed)
    _title(console, f"results: {result.subject}s")
    for label, parts in _results(result):
        lines = _pack(parts, console.width - LABEL - 2)
        _hang(console, Text(f"  {label.ljust(LABEL)}"), *lines)
    for line in _latencies(result, (console.width - TIMES) // 10):
        console.print(Text(line), soft_wrap=True)


def print_ending(console: Console, result: RunResult, folder: str) -> None:
    """Where the run lies, and as the last line how to run it again."""
    console.print()
    if is_simulated(result):  # what is real does not repeat to the bit
        console.print(Text(f"  digest  {result.digest}", style="dim"), soft_wrap=True)
    console.print(Text(f"  folder  {folder}"), soft_wrap=True)
    console.print(Text(f"  page    {folder}/report.html"), soft_wrap=True)
    console.print(Text(result.reproduce), soft_wrap=True)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(f"  {text}", style="bold"))


def _hang(console: Console, lead: Text, *texts: str, style: str = "default") -> None:
    """Text beside its lead; what does not fit goes on below itself, not below the lead."""
    room = max(MIN_ROOM, console.width - lead.cell_len)
    lines = [line for text in texts for line in textwrap.wrap(text, room)] or [""]
    for line in lines:
        shown = Text.assemble(lead, (line, style))
        shown.rstrip()
        console.print(shown, soft_wrap=True)
        lead = Text(" " * lead.cell_len)


def _judged(console: Console, text: str, *, passed: bool | None) -> None:
    style = {True: "green", False: "bold red", None: "yellow"}[passed]
    lead = Text(f"  {SIGNS[passed]} ", style=style)
    _hang(console, lead, text, style="red" if passed is False else "default")


def _pack(parts: Sequence[str], room: int) -> list[str]:
    """Lines that are broken between parts only."""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]} · {part}"
        if len(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _results(result: RunResult) -> Iterable[tuple[str, list[str]]]:
    metrics = dict(list_metrics(result))
    if result.verdict is Verdict.STOPPED:
        # a recount of what is half done finds what is not done, and looks like a fraud
        metrics.pop("auditor.mismatch.count", None)
    for label, parts in LINES:
        found = [
            f"{_compact(name, metrics[name])} {word}".rstrip()
            for name, word in parts
            if name in metrics
        ]
        if found:
            yield label, found


def _compact(name: str, value: float) -> str:
    if name == "rss_peak_mb":
        return format_bytes(value * 1e6)
    return format_metric(name, value)


def _latencies(result: RunResult, columns: int) -> Iterable[str]:
    """A table without the columns that a narrow terminal has no room for."""
    parts = PERCENTILES[:columns]
    rows = [
        (label, [result.metrics[f"{name}.{part}_s"] for _, part in parts])
        for name, label in LATENCIES
        if f"{name}.p50_s" in result.metrics
    ]
    if rows:
        yield ""
        yield "  time to…".ljust(TIMES) + "".join(head.rjust(10) for head, _ in parts)
    for label, values in rows:
        yield f"  {label}".ljust(TIMES) + "".join(_narrow(value).rjust(10) for value in values)


def _narrow(seconds: float) -> str:
    """Nine characters at most; long waits lose what nobody reads."""
    text = format_seconds(seconds)
    return text if len(text) < 10 else f"{format_number(round(seconds / 60))} min"
