"""The page's figures, each from a saved result; a figure without data is left out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator

from reports.drawing import Ink, Key, draw, get_root, is_narrow, label_clock, label_seconds
from reports.wording import format_number, format_seconds
from sim.histogram import FloatArray
from sim.result import RunResult, Stage

LATER_KEY = Key(label="a later round was needed", ink=Ink.BAD, shape="dot")
FAULT_KEY = Key(label="a fault is in force", ink=Ink.FAULT, shape="block")


def _fault_keys(result: RunResult) -> tuple[Key, ...]:
    return (FAULT_KEY,) if result.faults else ()


def _shade_faults(axes: Axes, result: RunResult) -> None:
    for fault in result.faults:
        axes.axvspan(fault.start_s, fault.end_s, color=Ink.FAULT, linewidth=0, zorder=0)


def _count_axis(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_ylim(bottom=0)


def draw_flow(result: RunResult) -> str:
    """Offered and final per second, and below them what waits, over the day."""
    series = result.series
    if "offered_per_s" not in series or len(series["t_s"]) < 2:
        return ""
    times = series["t_s"]

    def paint(figure: Figure) -> None:
        rates, waiting = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        rates.set_title("per second")
        rates.fill_between(
            times, series["offered_per_s"], color=Ink.LOAD, alpha=0.35, step="post", linewidth=0
        )
        if "final_per_s" in series:
            rates.step(times, series["final_per_s"], color=Ink.MAIN, where="post", lw=1.2)
        waiting.set_title("waiting")
        for name, ink in (("door_waiting", Ink.MUTED), ("backlog", Ink.WARM)):
            if name in series and series[name].any():
                waiting.plot(times, series[name], color=ink, linewidth=1.1)
        for axes in (rates, waiting):
            _shade_faults(axes, result)
            _count_axis(axes)
        _cut_peak(rates, result)
        label_clock(waiting, float(times[0]), float(times[-1] + times[1] - times[0]))

    noun = result.subject
    door = (Key(label="waiting at the door", ink=Ink.MUTED),) if _has_door(result) else ()
    return draw(
        "flow", paint, title=f"What came and what became final: {noun}s",
        caption=(
            "The shaded area is what users meant to send, the line what the chain made final; "
            "where they part, the backlog below grows: accepted by a relay, not yet final."
        ),
        keys=(
            Key(label="offered", ink=Ink.LOAD, shape="block"), Key(label="final", ink=Ink.MAIN),
            Key(label="backlog", ink=Ink.WARM), *door, *_fault_keys(result),
        ),
        height_in=3.9, narrow_height_in=3.6,
    )


def _cut_peak(axes: Axes, result: RunResult) -> None:
    """After an outage one bin may dwarf the day; it is cut, and says how high it was."""
    offered, final = result.series["offered_per_s"], result.series.get("final_per_s")
    if final is None or not offered.any() or final.max() <= 3 * offered.max():
        return
    top = 1.6 * float(offered.max())
    peak = int(final.argmax())
    axes.set_ylim(0, top)
    label = f" ▲ {format_number(round(float(final[peak])))} per second"
    axes.text(float(result.series["t_s"][peak]), top, label, va="top", color=Ink.MAIN)


def _has_door(result: RunResult) -> bool:
    return "door_waiting" in result.series and bool(result.series["door_waiting"].any())


def draw_latency(result: RunResult) -> str:
    """Percentiles of the time to finality, over the day."""
    series = result.series
    if "latency_p50_s" not in series or len(series["t_s"]) < 2:
        return ""
    times, low, high = series["t_s"], series["latency_p50_s"], series["latency_p99_s"]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.fill_between(times, low, high, color=Ink.MAIN_FAINT, linewidth=0)
        axes.plot(times, high, color=Ink.MAIN_SOFT, linewidth=1)
        axes.plot(times, series["latency_p90_s"], color=Ink.MAIN_SOFT, lw=1, ls=(0, (4, 2)))
        axes.plot(times, low, color=Ink.MAIN, linewidth=1.3)
        _log_seconds(axes, low, high)
        _shade_faults(axes, result)
        label_clock(axes, float(times[0]), float(times[-1] + times[1] - times[0]))

    return draw(
        "latency", paint, title=f"How long a {result.subject} takes to be final, over the day",
        caption=(
            f"By the moment at which a {result.subject} was meant to be sent; "
            "half of them are final below the dark line, 99 in 100 within the band."
        ),
        keys=(
            Key(label="half (p50)", ink=Ink.MAIN),
            Key(label="9 in 10 (p90)", ink=Ink.MAIN_SOFT, shape="dashed"),
            Key(label="99 in 100 (p99)", ink=Ink.MAIN_SOFT), *_fault_keys(result),
        ),
    )


def _log_seconds(axes: Axes, low: FloatArray, high: FloatArray) -> None:
    """A logarithmic axis only where the tail is far from the middle."""
    seen = np.concatenate([low, high])
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if len(seen) and seen.max() > 12 * seen.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=8))
        axes.yaxis.set_minor_locator(FixedLocator([]))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylim(bottom=0)
    label_seconds(axes)


NINES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def draw_cdf(result: RunResult) -> str:
    """The latency's distribution, corrected and uncorrected, with room for the tail."""
    lines = [
        (result.histograms[name], ink, style)
        for name, ink, style in (
            ("latency.final", Ink.MAIN, "-"), ("latency.final_uncorrected", Ink.WARM, "--"),
        )
        if name in result.histograms and result.histograms[name].total
    ]
    if not lines:
        return ""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        # the axis counts nines; the slowest of all would be infinitely many of them
        least = min(1 / histogram.total for histogram, _, _ in lines)
        for histogram, ink, style in lines:
            times, shares = histogram.build_cdf()
            rest = np.maximum(1 - shares, least / 2)
            width = 1.8 if style == "-" else 1.1
            axes.step(times, -np.log10(rest), where="post", color=ink, ls=style, lw=width)
        shown = [share for share in NINES if 1 - share >= least]
        axes.set_yticks([float(-np.log10(1 - share)) for share in shown])
        axes.set_yticklabels([f"{share * 100:.6g} %" for share in shown])
        axes.set_ylim(0, max(0.4, float(-np.log10(least))))
        _log_times(axes, [histogram.build_cdf()[0] for histogram, _, _ in lines])

    return draw(
        "cdf", paint, title=f"Share of {result.subject}s that are final within a time",
        caption=(
            "From the intended moment; beside it from the moment of sending, which hides the "
            "time lost before sending. The scale widens towards 100 % to show the tail."
        ),
        keys=(
            Key(label="from the intended moment", ink=Ink.MAIN),
            Key(label="uncorrected", ink=Ink.WARM, shape="dashed"),
        ),
    )


def _log_times(axes: Axes, times: Sequence[FloatArray]) -> None:
    low = min(float(part[0]) for part in times)
    high = max(float(part[-1]) for part in times)
    axes.set_xscale("log")
    axes.set_xlim(max(low, 1e-6) / 1.15, max(high, 1e-6) * 1.15)
    numbers = (1, 2, 5) if high < 100 * low and not is_narrow(get_root(axes)) else (1, 5)
    marks = [10.0**power * number for power in range(-6, 1) for number in numbers]
    marks += [10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400]
    inside = [mark for mark in marks if low / 1.15 <= mark <= high * 1.15]
    room = 5 if is_narrow(get_root(axes)) else 10
    axes.xaxis.set_major_locator(FixedLocator(inside[:: 1 + len(inside) // room]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.grid(visible=True, axis="x")
    label_seconds(axes, which="x")


def draw_stages(result: RunResult) -> str:
    """Where the time goes: the stages laid end to end, for the middle and for the tail."""
    if not result.stages:
        return ""
    stages = result.stages

    def paint(figure: Figure) -> None:
        shape = (2, 1) if is_narrow(figure) else (1, 2)
        middle, tail = figure.subplots(*shape)
        _waterfall(middle, "half take no longer (p50)", stages, [s.p50_s for s in stages])
        _waterfall(tail, "99 in 100 take no longer (p99)", stages, [s.p99_s for s in stages])
        if not is_narrow(figure):
            tail.set_yticklabels([])

    rows = len(stages)
    return draw(
        "stages", paint, title=f"The way of a {result.subject}, stage by stage",
        caption=(
            "Each bar begins where the one above it ends. Each stage is measured by itself, so "
            "the bars of the tail add up to more than the tail of the whole."
        ),
        height_in=0.7 + 0.3 * rows, narrow_height_in=1.2 + 0.52 * rows,
    )


def _waterfall(axes: Axes, title: str, stages: Sequence[Stage], spans: list[float]) -> None:
    starts = np.concatenate([[0.0], np.cumsum(spans)[:-1]])
    whole = max(float(np.sum(spans)), 1e-9)
    # a stage that takes no time is a hairline, not a gap
    widths = np.maximum(spans, whole / 400)
    axes.barh(range(len(spans)), widths, left=starts, height=0.56, color=Ink.MAIN)
    for place, (start, span) in enumerate(zip(starts.tolist(), spans, strict=True)):
        axes.text(
            start + max(span, whole / 400) + whole * 0.015, place, format_seconds(span),
            va="center", color=Ink.TEXT,
        )
    axes.set_title(title)
    axes.set_yticks(range(len(spans)), [stage.name for stage in stages])
    axes.invert_yaxis()
    axes.set_xlim(0, whole * 1.24)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)


def draw_blocks(result: RunResult) -> str:
    """Block intervals over the day, and how fast a block reaches the peers."""
    blocks = result.blocks
    if len(blocks.get("at_s", ())) < 2:
        return ""
    times = blocks["at_s"]
    later = blocks.get("round", np.zeros(len(times))) > 0  # older results have none

    def paint(figure: Figure) -> None:
        spread = "propagation_p95_s" in blocks
        found = figure.subplots(2 if spread else 1, 1, sharex=True, squeeze=False)
        intervals = found[0][0]
        intervals.set_title("between one block and the next")
        _spread(intervals, times, blocks["interval_s"], Ink.MAIN, Ink.MAIN_FAINT)
        slow = blocks["interval_s"][later]
        intervals.plot(times[later], slow, "o", color=Ink.BAD, ms=2.4, markeredgewidth=0)
        if spread:
            found[1][0].set_title("until 95 % of the peers hold it")
            _spread(
                found[1][0], times, blocks["propagation_p95_s"], Ink.MAIN, Ink.MAIN_FAINT
            )
        for axes in found[:, 0]:
            _shade_faults(axes, result)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.set_ylim(bottom=0)
            label_seconds(axes)
        label_clock(found[-1][0], float(times[0]), float(times[-1]))

    return draw(
        "blocks", paint, title="How regular blocks are, and how fast they spread",
        caption=(
            "The line is the middle of neighbouring blocks, the band their smallest to "
            "largest; each block that needed a later round has its own dot."
            if len(times) > DOTS_MAX else "Each block is a dot."
        ),
        keys=(
            Key(label="block", ink=Ink.MAIN, shape="line" if len(times) > DOTS_MAX else "dot"),
            *((LATER_KEY,) if later.any() else ()),
            *_fault_keys(result),
        ),
        height_in=3.3, narrow_height_in=3.3,
    )


DOTS_MAX = 500


def _spread(axes: Axes, times: FloatArray, values: FloatArray, ink: str, faint: str) -> None:
    """A dot each, or where they would crowd the middle of neighbours within their range."""
    step = -(-len(times) // DOTS_MAX)
    if step == 1:
        axes.plot(times, values, "o", color=ink, markersize=2, markeredgewidth=0)
        return
    groups = [np.sort(values[begin : begin + step]) for begin in range(0, len(times), step)]
    low, high = [group[0] for group in groups], [group[-1] for group in groups]
    axes.fill_between(times[::step], low, high, color=faint, linewidth=0)
    axes.plot(times[::step], [group[len(group) // 2] for group in groups], color=ink, lw=1.1)
