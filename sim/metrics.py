"""The collector: counters, gauges, histograms and time series of one run.

The observed never write here; subscribers of the journal do. Every name must be in the
registry. Histograms exist per label too, ``latency.final{region=south}``. Series are binned at
a fixed virtual interval; instants are virtual ns.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigurationError, suggest
from sim.histogram import (
    BUCKETS,
    FloatArray,
    Histogram,
    IntArray,
    compute_buckets,
    compute_quantile_ns,
)
from sim.registry import PERCENTILES, get_metric, require_distribution

# Series of happenings, as a rate per second in each bin
RATES: dict[str, str] = {
    "offered": "transactions that users meant to send, per second",
    "accepted": "transactions a relay accepted, per second",
    "final": "transactions that became final, per second",
}
# Series of levels, the highest in each bin; its overall highest is the metric
LEVELS: dict[str, str] = {"backlog": "backlog.max", "door_waiting": "door.waiting.max"}
PEAKS: dict[str, str] = {
    "offered": "throughput.offered.peak_per_s", "final": "throughput.final.peak_per_s",
}
ENDS_SHARE = 0.1
OVER_TIME: dict[str, float] = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


class Metrics:
    """What one run counted. ``midnight_ns`` is the virtual instant when the local day began.

    Series then carry seconds of the local day, as people read them. Every method raises
    ConfigurationError, with a suggestion, for a name that the registry does not know.
    """

    __slots__ = (
        "_levels", "_numbers", "_over_time", "_rates", "bin_ns", "histograms", "midnight_ns",
        "start_ns",
    )

    def __init__(
        self, *, start_ns: int, midnight_ns: int, bin_ns: int = 60_000_000_000
    ) -> None:
        assert midnight_ns <= start_ns, "the run starts before its day"
        assert bin_ns > 0
        self.start_ns = start_ns
        self.midnight_ns = midnight_ns
        self.bin_ns = bin_ns
        self.histograms: dict[str, Histogram] = {}
        self._numbers: dict[str, float] = {}
        self._rates: dict[str, dict[int, int]] = {name: {} for name in RATES}
        self._levels: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in LEVELS}
        self._over_time: dict[int, NDArray[np.int32]] = {}

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter, which starts at 0."""
        numbers = self._numbers
        if name not in numbers:
            get_metric(name)
            numbers[name] = 0
        numbers[name] += amount

    def put(self, name: str, value: float) -> None:
        """Set a number that is computed, not counted."""
        get_metric(name)
        self._numbers[name] = value

    def record_many(self, name: str, values_ns: IntArray) -> None:
        """An array of times into a distribution."""
        self._histogram(name).record_many(values_ns)

    def record_groups(
        self, name: str, values_ns: IntArray, groups: IntArray, labels: Sequence[str]
    ) -> None:
        """Times into the histogram of their own label only: ``labels[groups[i]]``."""
        assert len(values_ns) == len(groups)
        for index, label in enumerate(labels):
            values = values_ns[groups == index]
            if len(values):
                self._histogram(f"{name}{{{label}}}").record_many(values)

    def record_latency(self, at_ns: IntArray, values_ns: IntArray) -> None:
        """``latency.final`` of transactions meant for ``at_ns``, and its course over time."""
        assert len(at_ns) == len(values_ns)
        if not len(values_ns):
            return
        self.record_many("latency.final", values_ns)
        bins = self._bins(at_ns)
        buckets = compute_buckets(values_ns)
        for index in np.unique(bins).tolist():
            counts = np.bincount(buckets[bins == index], minlength=BUCKETS).astype(np.int32)
            kept = self._over_time.get(index)
            self._over_time[index] = counts if kept is None else kept + counts

    def mark_many(self, series: str, at_ns: IntArray) -> None:
        """Something happened once at each instant."""
        bins = self._rate(series)
        indices, amounts = np.unique(self._bins(at_ns), return_counts=True)
        for index, amount in zip(indices.tolist(), amounts.tolist(), strict=True):
            bins[index] = bins.get(index, 0) + amount

    def level(self, series: str, at_ns: int, value: float) -> None:
        """A level such as the backlog has this value from now on."""
        bins = self._levels.get(series)
        if bins is None:
            raise ConfigurationError("series", series, suggest(series, LEVELS))
        index = (at_ns - self.start_ns) // self.bin_ns
        assert index >= 0, "before the run began"
        highest = bins[index][0] if index in bins else value
        bins[index] = (max(highest, value), value)
        name = LEVELS[series]
        self.put(name, max(value, self._numbers.get(name, value)))

    def put_throughput(self) -> None:
        """Peak rates over all bins, and the mean final rate without the ends of the day.

        Of the bins from the first to the last in which something became final, ENDS_SHARE at
        each end are not steady.
        """
        for series, name in PEAKS.items():
            if self._rates[series]:
                self.put(name, max(self._rates[series].values()) * 1e9 / self.bin_ns)
        final = self._rates["final"]
        if not final:
            return
        first, end = min(final), max(final) + 1
        cut = int((end - first) * ENDS_SHARE)
        steady = range(first + cut, max(first + cut + 1, end - cut))
        count = sum(final.get(index, 0) for index in steady)
        seconds = len(steady) * self.bin_ns / 1e9
        self.put("throughput.final.steady_per_s", count / seconds)

    def build_numbers(self) -> dict[str, float]:
        """The flat mapping from name to number; a distribution without samples has none."""
        numbers = dict(self._numbers)
        for name, histogram in self.histograms.items():
            if "{" in name:
                continue
            numbers[f"{name}.count"] = histogram.total
            if histogram.total:
                numbers |= summarise(name, histogram)
        return dict(sorted(numbers.items()))

    def build_series(self) -> dict[str, FloatArray]:
        """Series of one length; ``t_s`` is where each bin begins, in seconds of the day."""
        # all series are as long as the longest: they share one axis of time
        length = 1 + max((index for bins in self._all_bins() for index in bins), default=-1)
        begin_ns = self.start_ns - self.midnight_ns + np.arange(length) * self.bin_ns
        series: dict[str, FloatArray] = {"t_s": begin_ns / 1e9}
        for name, rate in self._rates.items():
            if rate:
                series[f"{name}_per_s"] = _fill(rate, length) / (self.bin_ns / 1e9)
        for name, levels in self._levels.items():
            if levels:
                series[name] = _carry(levels, length)
        if self._over_time:
            for part, share in OVER_TIME.items():
                series[f"latency_{part}_s"] = self._quantiles(share, length)
        return series

    def _all_bins(self) -> list[Mapping[int, object]]:
        return [*self._rates.values(), *self._levels.values(), self._over_time]

    def _quantiles(self, share: float, length: int) -> FloatArray:
        found = np.full(length, np.nan)
        for index, counts in self._over_time.items():
            found[index] = compute_quantile_ns(counts, share) / 1e9
        return found

    def _bins(self, at_ns: IntArray) -> IntArray:
        bins: IntArray = (at_ns - self.start_ns) // self.bin_ns
        assert not len(bins) or int(bins.min()) >= 0, "before the run began"
        return bins

    def _rate(self, series: str) -> dict[int, int]:
        bins = self._rates.get(series)
        if bins is None:
            raise ConfigurationError("series", series, suggest(series, RATES))
        return bins

    def _histogram(self, key: str) -> Histogram:
        histogram = self.histograms.get(key)
        if histogram is None:
            require_distribution(key.partition("{")[0])
            histogram = self.histograms[key] = Histogram()
        return histogram


def summarise(name: str, histogram: Histogram) -> dict[str, float]:
    """A distribution's numbers by metric name; it must have samples."""
    numbers = {f"{name}.mean_s": histogram.get_mean_s()}
    numbers[f"{name}.max_s"] = histogram.max_ns / 1e9
    for part, share in PERCENTILES.items():
        numbers[f"{name}.{part}"] = histogram.get_quantile_s(share)
    return numbers


def _fill(bins: Mapping[int, int], length: int) -> FloatArray:
    found = np.zeros(length)
    found[list(bins)] = list(bins.values())
    return found


def _carry(bins: Mapping[int, tuple[float, float]], length: int) -> FloatArray:
    # a bin without a change keeps the last level, and a change counts from where it came
    found = np.zeros(length)
    last = 0.0
    for index in range(length):
        before = last
        highest, last = bins.get(index, (before, before))
        found[index] = max(before, highest)
    return found
