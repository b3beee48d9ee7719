"""Numbers and verdicts as people read them; the same words on the page and in the terminal."""

from collections.abc import Mapping

from sim.registry import get_metric
from sim.result import SIMULATED, RunResult, Verdict
from sim.thresholds import Threshold, ThresholdOutcome

VERDICT_WORDS: dict[Verdict, str] = {
    Verdict.PASSED: "Passed",
    Verdict.FAILED: "Failed",
    Verdict.STOPPED: "Stopped",
    Verdict.BROKEN: "Broken",
    Verdict.INVALID: "Invalid",
}

# Of what was judged to hold, to fail, or not at all
SIGNS: dict[bool | None, str] = {True: "✓", False: "✗", None: "—"}

OF_THE_SIMULATOR = {"crypto_floor_s", "wall_over_floor", "little.ratio", "low_load_wait.ratio"}
"""What judges how a simulation computes, and nothing that is real."""

NOT_MEASURED = "not measured"


def format_number(value: float) -> str:
    """``1,500,000``; fractions with three significant digits; never in powers of ten."""
    if value == int(value):
        return f"{int(value):,}"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    if size < 0.01:
        return f"{value:.2g}" if size >= 1e-4 else f"{value:.1e}"
    return f"{value:,.{digits}f}"


def format_seconds(value: float) -> str:
    """``340 µs``, ``42 ms``, ``5.31 s``, ``2 min 05 s``, ``14 h``."""
    size = abs(value)
    if size == 0:
        return "0 s"
    if size < 0.0995:
        return f"{_short(value * 1e3)} ms" if size >= 0.001 else f"{_short(value * 1e6)} µs"
    if size < 120:
        return f"{_short(value)} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"


def format_tick(value: float) -> str:
    """A duration beside an axis, without idle zeros: ``0.5 s``."""
    number, _, unit = format_seconds(value).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def format_bytes(value: float) -> str:
    """Decimal units: ``512 B``, ``4.2 kB``, ``1.91 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{_short(value)} {unit}"
        value /= 1000
    return f"{_short(value)} TB"


def format_clock(seconds: float) -> str:
    """Seconds of the local day as ``09:00:05``; later days go on with hours beyond 24."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def format_metric(name: str, value: float | None) -> str:
    """A metric's value with its unit."""
    if value is None:
        return NOT_MEASURED
    unit = get_metric(name).unit
    if unit == "s":
        return format_seconds(value)
    if unit == "bytes":
        return format_bytes(value)
    if unit == "MB":
        return format_bytes(value * 1e6)
    if unit == "1/s":
        return f"{format_number(value)} /s"
    return format_number(value)


def describe_rule(rule: str) -> str:
    """The operator and limit of a rule with the metric's unit: ``≤ 30 s``."""
    threshold = Threshold(rule)
    sign = {"<=": "≤", ">=": "≥", "==": "=", "!=": "≠"}.get(threshold.operator)
    return f"{sign or threshold.operator} {format_metric(threshold.metric, threshold.limit)}"


def describe_measured(result: RunResult, outcome: ThresholdOutcome) -> str:
    """What a threshold was held against, or why it was held against nothing."""
    if outcome.passed is None:
        return f"not judged: {result.verdict.value}"
    return format_metric(Threshold(outcome.rule).metric, outcome.actual)


def describe_verdict(result: RunResult) -> str:
    """One sentence that says why the verdict is what it is."""
    failed = sum(not outcome.passed for outcome in result.thresholds)
    broken = [outcome.name for outcome in result.invariants if not outcome.passed]
    if result.verdict is Verdict.BROKEN:
        return f"An invariant broke: {', '.join(broken)}."
    if result.verdict is Verdict.INVALID:
        return _sentence(result.note or "the run proves nothing")
    if result.verdict is Verdict.STOPPED:
        return _sentence(result.note or "stopped by the user")
    if result.verdict is Verdict.FAILED:
        return f"{failed} of {plural(len(result.thresholds), 'threshold')} failed."
    if not result.thresholds:
        return "The scenario sets no thresholds; every invariant held."
    return f"All {plural(len(result.thresholds), 'threshold')} hold, every invariant held."


def is_simulated(result: RunResult) -> bool:
    """Whether peers, their work and their time were virtual, and words about that mean much."""
    return result.host == SIMULATED


def list_metrics(result: RunResult) -> Mapping[str, float]:
    """Those that say something of this host: a cluster has no engine, and the clock's pace."""
    if is_simulated(result):
        return result.metrics
    return {name: value for name, value in result.metrics.items()
            if not name.startswith("engine.") and name not in OF_THE_SIMULATOR}


def describe_host(result: RunResult) -> str:
    """What ran the peers, for whoever must not take one for the other."""
    if is_simulated(result):
        return "simulated: virtual peers in virtual time"
    return f"{result.host}: real processes on one machine, over TCP, by the wall clock"


def plural(count: int, noun: str) -> str:
    """``1 ballot``, ``2 ballots``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _sentence(note: str) -> str:
    return note[0].upper() + note[1:].rstrip(".") + "."


def _short(value: float) -> str:
    size = abs(value)
    if value == int(value) or size >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
