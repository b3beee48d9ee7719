"""Arrival curves: how many come when, read from CSV, and moments drawn from them.

A file has a header and three columns: ``start`` and ``end`` of a bin, as local time of day
(``08:15``, ``08:15:30``; hours go on beyond 24 for later days) or as seconds since midnight,
and ``count``. Lines that begin with # are comments. Bins follow one another without holes.

Load is open: moments are drawn before anything is known about how the city answers, and a
late answer delays nobody else's arrival.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigurationError, suggest
from sim.times import SECOND_NS, format_time, parse_time_ns

BINS_MAX = 1_000_000
DATA = Path(__file__).parent.parent / "scenarios" / "data"
_HEADER = ["start", "end", "count"]
_HOURS_MAX = 366 * 24

Moments = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrivalCurve:
    """Arrivals per bin: bin i lasts from ``edges_ns[i]`` to ``edges_ns[i + 1]``.

    Edges are nanoseconds since local midnight. Counts need not be whole: they are a shape, and
    ``sample`` decides how many come.
    """

    edges_ns: Moments
    counts: NDArray[np.float64]

    def __post_init__(self) -> None:
        assert len(self.edges_ns) == len(self.counts) + 1
        assert bool((np.diff(self.edges_ns) > 0).all())
        assert float(self.counts.sum()) > 0

    @classmethod
    def read(cls, path: Path) -> "ArrivalCurve":
        """The curve in a CSV file.

        Raises ConfigurationError, with the line's number, for a missing or empty file, text
        where a number should be, a negative count, a hole, or bins that overlap.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError("curve", str(path), f"cannot be read: {error}") from error
        lines = [
            (number, line) for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.startswith("#")
        ]
        if len(lines) < 2:
            raise ConfigurationError("curve", str(path), "give a header and at least one bin")
        number, header = lines[0]
        if [name.strip() for name in header.split(",")] != _HEADER:
            raise _complain(path, number, header, f"the header is {','.join(_HEADER)}")
        if len(lines) > BINS_MAX:
            raise ConfigurationError("curve", len(lines), f"at most {BINS_MAX} bins")
        return cls._from_lines(path, lines[1:])

    @classmethod
    def _from_lines(cls, path: Path, lines: list[tuple[int, str]]) -> "ArrivalCurve":
        edges: list[int] = []
        counts: list[float] = []
        for number, line in lines:
            start_ns, end_ns, count = _parse_bin(path, number, line)
            # a hole may be a quiet hour or a line that was lost: only the author knows
            if edges and start_ns > edges[-1]:
                raise _complain(path, number, line, "there is a hole before this bin")
            if edges and start_ns < edges[-1]:
                raise _complain(path, number, line, "it overlaps the bin before it")
            if end_ns <= start_ns:
                raise _complain(path, number, line, "a bin must end after its start")
            if not edges:
                edges.append(start_ns)
            edges.append(end_ns)
            counts.append(count)
        if sum(counts) <= 0:
            raise ConfigurationError("curve", str(path), "nobody arrives: all counts are zero")
        return cls(edges_ns=np.array(edges, np.int64), counts=np.array(counts))

    @property
    def start_ns(self) -> int:
        """When the first bin starts."""
        return int(self.edges_ns[0])

    @property
    def end_ns(self) -> int:
        """When the last bin ends."""
        return int(self.edges_ns[-1])

    @property
    def total(self) -> float:
        """Sum of all counts."""
        return float(self.counts.sum())

    def window(self, start_ns: int, end_ns: int) -> "ArrivalCurve":
        """The part from ``start_ns`` to ``end_ns``; a bin cut through keeps its rate.

        Raises ConfigurationError when nobody arrives within.
        """
        assert start_ns < end_ns, (start_ns, end_ns)
        low = np.maximum(self.edges_ns[:-1], start_ns)
        high = np.minimum(self.edges_ns[1:], end_ns)
        kept = high > low
        counts = self.counts * (high - low) / np.diff(self.edges_ns)
        if not kept.any() or float(counts[kept].sum()) <= 0:
            span = f"{format_time(start_ns)} to {format_time(end_ns)}"
            raise ConfigurationError("curve", span, "the curve has no arrivals in this time")
        edges = np.append(low[kept], high[kept][-1])
        return ArrivalCurve(edges_ns=edges, counts=counts[kept])

    def sample(self, n: int, stream: np.random.Generator) -> Moments:
        """``n`` sorted moments: an inhomogeneous Poisson process, given that n arrive.

        Given their number, the arrivals of a Poisson process are independent draws from its
        normalised rate: a multinomial choice of bins, then uniform within each.
        """
        assert n >= 0
        # Exactly n come, for users are rows: a Poisson number would leave some out.
        per_bin = stream.multinomial(n, self.counts / self.total)
        moments: Moments = np.repeat(self.edges_ns[:-1], per_bin)
        widths = np.repeat(np.diff(self.edges_ns), per_bin)
        moments += (stream.random(n) * widths).astype(np.int64)
        moments.sort()
        assert len(moments) == n
        return moments


def read_curve(name: str) -> ArrivalCurve:
    """A curve that comes with Veche, by its name, or anyone's own by its path."""
    path = next((path for path in (DATA / name, Path(name)) if path.is_file()), None)
    if path is None:
        known = sorted(file.name for file in DATA.glob("*.csv"))
        remedy = f"there is no such file; {suggest(name, known)}"
        raise ConfigurationError("curve", name, remedy)
    return ArrivalCurve.read(path)


def _parse_bin(path: Path, number: int, line: str) -> tuple[int, int, float]:
    fields = next(csv.reader([line]))
    if len(fields) != len(_HEADER):
        raise _complain(path, number, line, f"give {len(_HEADER)} columns: {','.join(_HEADER)}")
    try:
        start_ns, end_ns = _parse_edge_ns(fields[0]), _parse_edge_ns(fields[1])
    except ConfigurationError as error:
        raise _complain(path, number, line, error.remedy) from error
    try:
        count = float(fields[2])
    except ValueError as error:
        raise _complain(path, number, line, "the count is not a number") from error
    if not math.isfinite(count) or count < 0:
        raise _complain(path, number, line, "the count must be a number from 0 up")
    return start_ns, end_ns, count


def _parse_edge_ns(text: str) -> int:
    if ":" in text:
        return parse_time_ns("curve", text, hours_max=_HOURS_MAX)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _HOURS_MAX * 3_600:
        remedy = "give a time of day (HH:MM) or seconds since midnight, within a year"
        raise ConfigurationError("curve", text, remedy)
    return round(seconds * SECOND_NS)


def _complain(path: Path, number: int, line: str, remedy: str) -> ConfigurationError:
    shown = line if len(line) <= 60 else line[:57] + "..."
    return ConfigurationError("curve", f"{path.name} line {number}: {shown}", remedy)
