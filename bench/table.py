"""The figures as a table of at most 80 columns, with what was counted below it."""

import textwrap
from collections.abc import Sequence

from bench.figures import Figure, describe_machine

WIDTH = 80
ROW = "{:<29}{:>11} {:<5}{:>20} {:>13}"
MARKS = {None: "", True: " ok", False: " no"}


def format_number(value: float) -> str:
    """Four significant digits, thousands with commas."""
    if value == 0:
        return "0"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 10 else 3
    return f"{value:.{digits}f}" if abs(value) >= 0.01 else f"{value:.2e}"


def format_spread(figure: Figure) -> str:
    """min..max over the repeats; empty if there was one."""
    if len(figure.values) == 1:
        return "one run"
    return f"{format_number(min(figure.values))}..{format_number(max(figure.values))}"


def format_target(figure: Figure) -> str:
    """What it should be, and whether it is."""
    if figure.target is None:
        return ""
    return f"{figure.target.sense} {figure.target.value:,.10g}{MARKS[figure.is_met]}"


def format_table(figures: Sequence[Figure]) -> str:
    """Head, a row for each figure, the machine, and one note for each group of figures."""
    lines = [ROW.format("figure", "median", "unit", "min..max", "target").rstrip(), "-" * WIDTH]
    lines += [
        ROW.format(
            figure.name, format_number(figure.median), figure.unit, format_spread(figure),
            format_target(figure),
        ).rstrip()
        for figure in figures
    ]
    machine = describe_machine()
    lines += ["", *textwrap.wrap(
        f"{machine['cores']} cores of {machine['processor']}, {machine['python']}, "
        f"{machine['system']}; load {machine['load']}", WIDTH,
    )]
    notes: dict[str, list[str]] = {}
    for figure in figures:
        notes.setdefault(figure.about, []).append(figure.name)
    for about, names in notes.items():
        lines += textwrap.wrap(f"{', '.join(names)}: {about}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)
