"""The page's tables, as HTML from a saved result; a table without rows is left out."""

import html
from collections.abc import Iterable, Sequence

from reports.wording import (
    SIGNS,
    describe_measured,
    describe_rule,
    format_bytes,
    format_clock,
    format_metric,
    format_number,
    format_seconds,
    is_simulated,
    list_metrics,
    plural,
)
from sim.registry import get_metric
from sim.result import ProcessRow, RunResult, SlowTransaction, TrafficRow
from sim.thresholds import Threshold

escape = html.escape


def build_table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: str = "") -> str:
    """Cells are HTML; ``numeric`` has one letter per column, ``n`` sets it to the right."""
    kinds = [' class="n"' if letter == "n" else "" for letter in numeric.ljust(len(head), "-")]
    top = "".join(f"<th{kind}>{cell}</th>" for kind, cell in zip(kinds, head, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def mark(*, passed: bool | None) -> str:
    """A tick, a cross, or a dash where nothing was judged, that is read aloud as a word."""
    word, kind = ("holds", "good") if passed else ("fails", "bad")
    if passed is None:
        word, kind = "not judged", "open"
    return f'<b class="{kind}" role="img" aria-label="{word}">{SIGNS[passed]}</b>'


GLANCE: tuple[tuple[str, str], ...] = (
    ("offered.count", "{noun}s offered"),
    ("final.count", "final"),
    ("refused.count", "refused"),
    ("lost.count", "lost"),
    ("double.count", "counted twice"),
    ("latency.final.p50_s", "time to final (median)"),
    ("latency.final.p99_s", "time to final (99 %)"),
    ("latency.seen95.p95_s", "seen by 95 % of peers"),
    ("throughput.final.peak_per_s", "best minute"),
    ("backlog.max", "largest backlog"),
    ("blocks.count", "blocks"),
    ("forks.count", "forks"),
    ("tally.counted.count", "counted by the tally"),
    ("fairs.allocated.count", "places given"),
    ("fairs.sold.count", "lots sold"),
    ("fairs.waiting.count", "on the waiting list"),
    ("fairs.inversions.count", "served out of turn"),
    ("network.bytes", "sent over links"),
    ("wall_s", "wall time"),
)


def build_glance(result: RunResult) -> str:
    """The figures that matter at once, with the limit that each was held to."""
    tiles = []
    for name, label in GLANCE:
        if name not in result.metrics:
            continue
        value = format_metric(name, result.metrics[name])
        tiles.append(
            f"<div><dt>{escape(label.format(noun=result.subject))}</dt>"
            f"<dd>{escape(value)}</dd>{_limits(result, name)}</div>"
        )
    return f'<dl class="glance">{"".join(tiles)}</dl>'


def _limits(result: RunResult, name: str) -> str:
    return "".join(
        f'<p class="limit">{mark(passed=outcome.passed)} '
        f"{escape(describe_rule(outcome.rule))}</p>"
        for outcome in result.thresholds
        if Threshold(outcome.rule).metric == name
    )


def build_thresholds(result: RunResult) -> str:
    """Every rule with what was measured."""
    if not result.thresholds:
        return "<p>The scenario sets no thresholds.</p>"
    rows = []
    for outcome in result.thresholds:
        metric = Threshold(outcome.rule).metric
        rows.append((
            mark(passed=outcome.passed),
            f"<code>{escape(outcome.rule)}</code>"
            f"<small>{escape(get_metric(metric).about)}</small>",
            escape(describe_measured(result, outcome)),
        ))
    return build_table(("", "Rule", "Measured"), rows, "--n")


def build_invariants(result: RunResult) -> str:
    """Every property that must hold whatever happens."""
    rows = [
        (mark(passed=outcome.passed), escape(outcome.name), escape(outcome.detail))
        for outcome in result.invariants
    ]
    return build_table(("", "Invariant", "How it was judged"), rows) if rows else ""


def build_theory(result: RunResult) -> str:
    """Laws that any queueing system obeys: prediction, measurement, and their ratio.

    They judge the simulator, which was told the delays of which they speak; nothing real.
    """
    is_judged = is_simulated(result)
    rows = [
        (
            mark(passed=row.agrees if is_judged else None), escape(row.law),
            _quantity(row.predicted, row.unit), _quantity(row.measured, row.unit),
            f"{row.ratio:.3f}" + (f"<small>within {row.slack_ratio * 100:g} %</small>"
                                  if is_judged else ""),
        )
        for row in result.theory
    ]
    head = ("", "Law", "Predicted", "Measured", "Ratio")
    return build_table(head, rows, "--nnn") if rows else ""


def _quantity(value: float, unit: str) -> str:
    if unit == "s":
        return escape(format_seconds(value))
    return escape(f"{format_number(value)} {unit}".strip())


def build_stages(result: RunResult) -> str:
    """What each stage of the way is, and how long it takes."""
    rows = [
        (
            f"{escape(stage.name)}<small>{escape(stage.about)}</small>",
            format_seconds(stage.p50_s), format_seconds(stage.p99_s),
        )
        for stage in result.stages
    ]
    return build_table(("Stage", "p50", "p99"), rows, "-nn") if rows else ""


def build_traffic(result: RunResult, kind: str, title: str) -> str:
    """A matrix of what peers of one role or region sent to those of another."""
    rows = [row for row in result.traffic if row.kind == kind]
    if not rows:
        return ""
    names = list(dict.fromkeys([row.source for row in rows] + [row.target for row in rows]))
    cells = {(row.source, row.target): row for row in rows}
    most = max(row.bytes for row in rows) or 1
    dense = len(names) > DENSE
    body = [
        [
            escape(source),
            *(_cell(cells.get((source, target)), most, dense=dense) for target in names),
        ]
        for source in names
        if any(row.source == source for row in rows)
    ]
    head = ["from \\ to", *(escape(name) for name in names)]
    table = build_table(head, body, "-" + "n" * len(names))
    kind = "dense" if dense else "matrix"
    return f'<div class="{kind}"><h4>{escape(title)}</h4>{table}</div>'


# With more columns than this a matrix shows bytes only, and small
DENSE = 6


def _cell(row: TrafficRow | None, most: int, *, dense: bool) -> str:
    if row is None or not row.frames:
        return '<span class="none">·</span>'
    share = round(100 * row.bytes / most)
    frames = plural(row.frames, "frame")
    if dense:
        inside = f'title="{frames}">{format_bytes(row.bytes)}'
    else:
        inside = f">{format_bytes(row.bytes)}<small>{frames}</small>"
    return f'<span class="heat" style="--share:{share}%" {inside}</span>'


def build_processes(result: RunResult) -> str:
    """What each real process cost, by kind of work, per final transaction of the whole run."""
    rows = result.processes
    final = result.metrics.get("final.count", 0)
    if not rows:
        return ""
    names = [name for name, _ in rows[0].kinds]
    body = [
        (
            escape(row.name) + _killed(row), format_seconds(row.cpu_s),
            *(_per_transaction(spent_s, final) for _, spent_s in row.kinds),
            _per_transaction(row.cpu_s, final), format_bytes(int(row.peak_mb * 2**20)),
        )
        for row in rows
    ]
    kinds = (f"{escape(name)}, µs" for name in (*names, "all"))
    head = ("Process", "In all", *kinds, "Memory")
    return build_table(head, body, "-" + "n" * (len(head) - 1))


def _per_transaction(spent_s: float, final: float) -> str:
    return format_number(round(spent_s * 1e6 / final, 1)) if final else "—"


def _killed(row: ProcessRow) -> str:
    if not row.killed:
        return ""
    times = plural(row.killed, "time")
    return f"<small>killed {times}: as far as told, up to 2 s of each are missing</small>"


def build_slowest(result: RunResult) -> str:
    """The slowest transactions, each with a bar of where its time went."""
    rows = result.slowest
    if not rows:
        return ""
    # bars share one scale, and a stage has one colour in all of them
    longest = max(row.total_s for row in rows)
    names = list(dict.fromkeys(name for row in rows for name, _ in row.stages))
    body = [
        (
            f"<code>{escape(row.identity[:12])}</code>", format_clock(row.intended_s),
            escape(row.region), str(row.tries),
            "—" if row.block is None else format_number(row.block),
            format_seconds(row.total_s), _bar(row, longest, names),
        )
        for row in rows
    ]
    keys = "".join(
        f'<span><i class="block s{index % 6}"></i>{escape(name)}</span>'
        for index, name in enumerate(names)
    )
    head = ("Transaction", "Meant at", "Region", "Tries", "Block", "Took", "Where it waited")
    return f'<p class="keys">{keys}</p>' + build_table(head, body, "---nnn-")


def _bar(row: SlowTransaction, longest: float, names: list[str]) -> str:
    parts = "".join(
        f'<i class="s{names.index(name) % 6}" title="{escape(name)} {format_seconds(seconds)}" '
        f'style="width:{100 * seconds / max(longest, 1e-9):.2f}%"></i>'
        for name, seconds in row.stages
    )
    return f'<span class="bar">{parts}</span>'


def build_metrics(result: RunResult) -> str:
    """All metrics by name, with what each says."""
    rows = [
        (
            f"<code>{escape(name)}</code><small>{escape(get_metric(name).about)}</small>",
            escape(format_metric(name, value)),
        )
        for name, value in sorted(list_metrics(result).items())
    ]
    return build_table(("Metric", "Value"), rows, "-n")
