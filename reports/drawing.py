"""How a figure becomes part of the page: inline SVG whose bytes repeat.

A painter draws with the names of ``Ink``; they are stand-in colours that become CSS variables
of the page, so that one drawing serves light and dark. Each figure is drawn twice, wide and
narrow, and the page's style shows the one that fits: scaled-down text cannot be read.
"""

import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MultipleLocator

from reports.wording import format_clock, format_tick


class Ink:
    """Stand-ins for the page's colours; ``drawing`` replaces each with its CSS variable."""

    TEXT = "#0b0b01"
    MUTED = "#0b0b02"
    RULE = "#0b0b03"
    PAPER = "#0b0b04"
    FAULT = "#0b0b05"
    MAIN = "#0b0b06"
    MAIN_SOFT = "#0b0b07"
    MAIN_FAINT = "#0b0b08"
    LOAD = "#0b0b09"
    WARM = "#0b0b0a"
    BAD = "#0b0b0b"


VARIABLES: dict[str, str] = {
    Ink.TEXT: "--ink", Ink.MUTED: "--muted", Ink.RULE: "--rule", Ink.PAPER: "--paper",
    Ink.FAULT: "--fault", Ink.MAIN: "--main", Ink.MAIN_SOFT: "--main-soft",
    Ink.MAIN_FAINT: "--main-faint", Ink.LOAD: "--load", Ink.WARM: "--warm", Ink.BAD: "--bad",
}

_AXES: dict[str, str | float | bool] = {
    "edgecolor": Ink.RULE, "labelcolor": Ink.MUTED, "facecolor": "none", "linewidth": 0.8,
    "spines.top": False, "spines.right": False, "spines.left": False, "axisbelow": True,
    "grid": True, "grid.axis": "y", "titlesize": 8.5, "titlelocation": "left",
    "titlecolor": Ink.MUTED,
}
_TICKS: dict[str, str | float] = {"color": Ink.MUTED, "minor.size": 0, "major.width": 0.8}

WIDE_IN = 8.6
NARROW_IN = 4.1

Painter = Callable[[Figure], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a figure's legend; ``dashed`` or ``block`` says how its sample looks."""

    label: str
    ink: str
    shape: str = "line"


def draw(
    name: str, painter: Painter, *, title: str, caption: str, keys: tuple[Key, ...] = (),
    height_in: float = 2.6, narrow_height_in: float = 2.4,
) -> str:
    """The whole ``<figure>``: heading, legend, both drawings, caption."""
    wide = _render(f"{name}-wide", painter, WIDE_IN, height_in, title)
    narrow = _render(f"{name}-narrow", painter, NARROW_IN, narrow_height_in, title)
    legend = "".join(_legend(key) for key in keys)
    return (
        f'<figure id="figure-{name}"><h3>{html.escape(title)}</h3>'
        + (f'<p class="keys">{legend}</p>' if keys else "")
        + f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        + f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def is_narrow(figure: Figure) -> bool:
    """Whether a painter draws for a phone."""
    return float(figure.get_figwidth()) < 6


def get_root(axes: Axes) -> Figure:
    """The figure that the axes stand in."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def label_clock(axes: Axes, start_s: float, end_s: float) -> None:
    """Times of day below an axis, at whole steps that leave room."""
    span = max(end_s - start_s, 1.0)
    room = 5 if is_narrow(get_root(axes)) else 9
    # what clocks show; the decimal steps of plots would put marks at 08:20:50
    steps = (1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200)
    step = next((step for step in steps if span / step <= room), 86_400)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    cut = 8 if step < 60 else 5
    axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: format_clock(max(0, s))[:cut]))
    axes.set_xlim(start_s, end_s)


def label_seconds(axes: Axes, *, which: str = "y") -> None:
    """Durations on an axis, as people read them."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda s, _: format_tick(s)))


def _legend(key: Key) -> str:
    variable = VARIABLES[key.ink]
    return (
        f'<span><i class="{key.shape}" style="--c:var({variable})"></i>'
        f"{html.escape(key.label)}</span>"
    )


def _render(name: str, painter: Painter, width: float, height: float, title: str) -> str:
    # the salt is the name, so that no two figures of the page share an id
    with mpl.rc_context():
        _apply_style()
        mpl.rc("svg", hashsalt=name, fonttype="none")
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03)
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasSVG(figure)
        painter(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _embed(out.getvalue(), title)


def _apply_style() -> None:
    mpl.rc("font", family="DejaVu Sans", size=8.5)
    mpl.rc("text", color=Ink.TEXT)
    mpl.rc("figure", facecolor="none")
    mpl.rc("axes", **_AXES)
    mpl.rc("grid", color=Ink.RULE, linewidth=0.6)
    mpl.rc("xtick", **_TICKS, **{"major.size": 3})
    mpl.rc("ytick", **_TICKS, **{"major.size": 0})
    mpl.rc("lines", linewidth=1.4, solid_joinstyle="round")
    mpl.rc("path", simplify=True, simplify_threshold=0.25)


def _embed(svg: str, title: str) -> str:
    # inline in HTML: no XML prologue, no metadata, and none of the ids that nothing refers to
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    # without a size of its own it takes the width of the column
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt" ', "", svg, count=1)
    svg = re.sub(r"\n\s*", "\n", svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    label = html.escape(title, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()
