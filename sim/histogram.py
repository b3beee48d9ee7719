"""A histogram of times: log-linear buckets, counted by numpy.

The idea is HdrHistogram's: each doubling of the value is cut into 64 equal buckets, so that the
middle of a bucket is within 1/128 (0.8 %) of any value in it, over a range from nanoseconds to
three days, in 22 kB. Values below 128 ns are exact; the smallest, largest and sum always are.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigurationError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
StrArray = NDArray[np.str_]

SUB_BITS: Final = 6
VALUE_MAX_NS: Final = 2**48 - 1
BUCKETS: Final = (48 - SUB_BITS + 1) << SUB_BITS


def compute_buckets(values_ns: IntArray) -> IntArray:
    """The bucket of each value; values beyond three days share the last bucket."""
    clipped = np.minimum(values_ns, VALUE_MAX_NS)
    # frexp is exact below 2**53, and gives 0 for 0, so that no value needs a case of its own
    exponents = np.frexp(clipped.astype(np.float64))[1].astype(np.int64)
    shifts = np.maximum(exponents - 1 - SUB_BITS, 0)
    return (shifts << SUB_BITS) + (clipped >> shifts)


def _edges() -> tuple[IntArray, IntArray]:
    index = np.arange(BUCKETS, dtype=np.int64)
    shift = np.maximum((index >> SUB_BITS) - 1, 0)
    low = (index - (shift << SUB_BITS)) << shift
    return low, low + (np.int64(1) << shift)


LOWER_NS, UPPER_NS = _edges()
MIDDLE_NS: FloatArray = (LOWER_NS + UPPER_NS - 1) / 2


def compute_quantile_ns(counts: IntArray | NDArray[np.int32], share: float) -> float:
    """The nearest-rank quantile of bucket counts, in ns; at least one count is needed."""
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    assert total > 0
    assert 0 <= share <= 1
    rank = max(1, ceil(share * total))
    return float(MIDDLE_NS[int(np.searchsorted(cumulative, rank))])


class Histogram:
    """Counts of times in ns. A negative time is refused: it would mean effect before cause."""

    __slots__ = ("counts", "max_ns", "min_ns", "sum_ns", "total")

    def __init__(self) -> None:
        self.counts: IntArray = np.zeros(BUCKETS, dtype=np.int64)
        self.total = 0
        self.sum_ns = 0
        self.min_ns = VALUE_MAX_NS
        self.max_ns = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        mine = (self.total, self.sum_ns, self.min_ns, self.max_ns)
        theirs = (other.total, other.sum_ns, other.min_ns, other.max_ns)
        return mine == theirs and bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]  # it changes, so it is no key

    def record_many(self, values_ns: IntArray) -> None:
        """Count every time of the array."""
        if not len(values_ns):
            return
        low = int(values_ns.min())
        assert low >= 0, f"a time below zero: {low} ns"
        self.counts += np.bincount(compute_buckets(values_ns), minlength=BUCKETS)
        self.total += len(values_ns)
        self.sum_ns += int(values_ns.sum())
        self.min_ns = min(self.min_ns, low)
        self.max_ns = max(self.max_ns, int(values_ns.max()))

    def get_quantile_s(self, share: float) -> float:
        """The nearest-rank quantile in seconds, within 0.8 %, never outside what was seen."""
        assert self.total > 0, "a quantile of nothing"
        found = compute_quantile_ns(self.counts, share)
        return min(max(found, self.min_ns), self.max_ns) / 1e9

    def get_mean_s(self) -> float:
        """The exact mean in seconds; for Little's law, not for describing latency."""
        assert self.total > 0, "a mean of nothing"
        return self.sum_ns / self.total / 1e9

    def build_cdf(self) -> tuple[FloatArray, FloatArray]:
        """Times in seconds and the share of samples that took no longer, ascending."""
        used = np.flatnonzero(self.counts)
        shares = np.cumsum(self.counts[used]) / max(1, self.total)
        times = np.clip(MIDDLE_NS[used], self.min_ns, max(self.min_ns, self.max_ns))
        return times / 1e9, shares


def pack_histograms(histograms: Mapping[str, Histogram]) -> dict[str, IntArray | StrArray]:
    """Named arrays for ``numpy.savez_compressed``: one row per histogram, sorted by name."""
    names = sorted(histograms)
    rows = [histograms[name] for name in names]
    counts = [row.counts for row in rows]
    return {
        "names": np.array(names, dtype=np.str_),
        "counts": np.array(counts, dtype=np.int64).reshape(len(rows), BUCKETS),
        "sum_ns": np.array([row.sum_ns for row in rows], dtype=np.int64),
        "min_ns": np.array([row.min_ns for row in rows], dtype=np.int64),
        "max_ns": np.array([row.max_ns for row in rows], dtype=np.int64),
        "bucket_lower_ns": LOWER_NS,
    }


def unpack_histograms(arrays: Mapping[str, IntArray | StrArray]) -> dict[str, Histogram]:
    """The inverse of ``pack_histograms``; ConfigurationError if the buckets are other ones."""
    if not np.array_equal(arrays["bucket_lower_ns"], LOWER_NS):
        raise ConfigurationError("histograms.npz", "bucket_lower_ns", "other buckets than ours")
    histograms = {}
    for row, name in enumerate(arrays["names"]):
        histogram = Histogram()
        histogram.counts = arrays["counts"][row].astype(np.int64)
        histogram.total = int(histogram.counts.sum())
        histogram.sum_ns = int(arrays["sum_ns"][row])
        histogram.min_ns = int(arrays["min_ns"][row])
        histogram.max_ns = int(arrays["max_ns"][row])
        histograms[str(name)] = histogram
    return histograms
