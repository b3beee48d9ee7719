"""The collector, its histograms, and the registry of names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigurationError
from sim.histogram import (
    BUCKETS,
    LOWER_NS,
    UPPER_NS,
    VALUE_MAX_NS,
    Histogram,
    compute_buckets,
)
from sim.metrics import Metrics
from sim.registry import DISTRIBUTIONS, REGISTRY, get_metric
from sim.theory import judge_little, judge_low_load_wait

MINUTE_NS = 60 * 10**9
MIDNIGHT_NS = 7_000_000_000_000_000_001
START_NS = MIDNIGHT_NS + 8 * 60 * MINUTE_NS


def collector():
    return Metrics(start_ns=START_NS, midnight_ns=MIDNIGHT_NS)


def at(minutes):
    return START_NS + round(minutes * MINUTE_NS)


@given(st.lists(st.integers(0, VALUE_MAX_NS), min_size=1, max_size=50))
def test_a_bucket_holds_its_values_and_is_narrow(values):
    buckets = compute_buckets(np.array(values, dtype=np.int64)).tolist()
    for value, index in zip(values, buckets, strict=True):
        assert LOWER_NS[index] <= value < UPPER_NS[index]
        assert UPPER_NS[index] - LOWER_NS[index] <= max(1, value // 64)


def test_times_beyond_three_days_share_the_last_bucket():
    beyond = compute_buckets(np.array([VALUE_MAX_NS, VALUE_MAX_NS + 1, 2**50]))
    assert beyond.tolist() == [BUCKETS - 1] * 3


def test_buckets_meet_without_gaps():
    assert LOWER_NS[0] == 0
    assert np.array_equal(LOWER_NS[1:], UPPER_NS[:-1])
    assert UPPER_NS[-1] == VALUE_MAX_NS + 1
    assert len(LOWER_NS) == BUCKETS


def test_percentiles_are_within_one_percent_of_the_exact_ones():
    values = np.random.default_rng(1).lognormal(22, 1.2, 200_000).astype(np.int64)
    histogram = Histogram()
    histogram.record_many(values)
    for share in (0.01, 0.5, 0.9, 0.99, 0.999):
        exact = np.quantile(values, share, method="inverted_cdf") / 1e9
        assert histogram.get_quantile_s(share) == pytest.approx(exact, rel=0.01)
    assert histogram.get_quantile_s(1.0) <= histogram.max_ns / 1e9
    assert histogram.get_mean_s() == pytest.approx(values.mean() / 1e9)


def test_a_negative_time_is_our_own_bug():
    with pytest.raises(AssertionError, match="below zero"):
        Histogram().record_many(np.array([5, -1]))


def test_a_cdf_rises_to_one():
    histogram = Histogram()
    histogram.record_many(np.array([10, 20, 20, 10**9]))
    times, shares = histogram.build_cdf()
    assert shares.tolist() == [0.25, 0.75, 1.0]
    assert times.tolist() == [1e-8, 2e-8, 1.0]


def test_counters_add_and_numbers_replace():
    metrics = collector()
    metrics.count("final.count")
    metrics.count("final.count", 4)
    metrics.put("wall_s", 1.5)
    metrics.put("wall_s", 2.5)
    assert metrics.build_numbers() == {"final.count": 5, "wall_s": 2.5}


@pytest.mark.parametrize("write", [
    lambda metrics: metrics.count("finl.count"),
    lambda metrics: metrics.put("finl.count", 1),
])
def test_an_unknown_metric_suggests_a_name(write):
    with pytest.raises(ConfigurationError, match=r"finl\.count.*did you mean final\.count\?"):
        write(collector())


def test_an_unknown_distribution_or_series_suggests_what_there_is():
    with pytest.raises(ConfigurationError, match=r"latency\.final"):
        collector().record_many("latency.finale", np.array([1]))
    with pytest.raises(ConfigurationError, match="offered"):
        collector().mark_many("ofered", np.array([START_NS]))
    with pytest.raises(ConfigurationError, match="door_waiting"):
        collector().level("door", START_NS, 1)


def test_labels_have_histograms_of_their_own_but_no_metrics():
    metrics = collector()
    metrics.record_many("latency.final", np.array([10**9, 3 * 10**9]))
    metrics.record_groups(
        "latency.final", np.array([1, 2, 3]), np.array([0, 1, 0]),
        ("region=south", "region=north", "region=west"),
    )
    assert {name: found.total for name, found in metrics.histograms.items()} == {
        "latency.final": 2, "latency.final{region=south}": 2, "latency.final{region=north}": 1,
    }
    numbers = metrics.build_numbers()
    assert numbers["latency.final.count"] == 2
    assert numbers["latency.final.max_s"] == 3
    assert all(name in REGISTRY for name in numbers)


def test_a_distribution_without_samples_has_no_percentiles():
    metrics = collector()
    metrics.record_many("latency.final", np.array([], dtype=np.int64))
    assert metrics.build_numbers() == {"latency.final.count": 0}


def test_series_are_rates_and_levels_by_local_time():
    metrics = collector()
    metrics.mark_many("offered", np.array([at(0), at(0.5)]))
    metrics.mark_many("offered", np.repeat(at(2), 6))
    metrics.level("backlog", at(0.2), 7)
    metrics.level("backlog", at(0.3), 2)
    metrics.level("backlog", at(2.5), 1)
    series = metrics.build_series()
    assert series["t_s"].tolist() == [28_800, 28_860, 28_920]
    assert (series["offered_per_s"] * 60).tolist() == pytest.approx([2, 0, 6])
    assert series["backlog"].tolist() == [7, 2, 2]
    assert metrics.build_numbers()["backlog.max"] == 7


def test_latency_over_time_belongs_to_the_intended_moment():
    metrics = collector()
    metrics.record_latency(
        np.array([at(0), at(0.1), at(2)]), np.array([10**9, 10**9, 200 * 10**9])
    )
    metrics.record_latency(np.array([at(2)]), np.array([200 * 10**9]))
    series = metrics.build_series()
    assert series["latency_p50_s"][0] == pytest.approx(1, rel=0.01)
    assert np.isnan(series["latency_p50_s"][1])
    assert series["latency_p99_s"][2] == pytest.approx(200, rel=0.01)
    assert metrics.histograms["latency.final"].total == 4


def count_final(*amounts):
    metrics = collector()
    for minute, amount in enumerate(amounts):
        metrics.mark_many("final", np.repeat(at(minute), amount))
    metrics.put_throughput()
    return metrics.build_numbers()


def test_the_steady_rate_leaves_out_a_tenth_at_each_end_and_the_peak_does_not():
    numbers = count_final(0, 0, 600, *[120] * 18, 60, 0)
    assert numbers["throughput.final.peak_per_s"] == 10
    assert numbers["throughput.final.steady_per_s"] == 2
    assert "throughput.offered.peak_per_s" not in numbers


def test_quiet_minutes_in_the_middle_count_and_a_single_one_is_the_rate():
    assert count_final(60, 0, 0, 60)["throughput.final.steady_per_s"] == 0.5
    assert count_final(60)["throughput.final.steady_per_s"] == 1
    assert count_final() == {}


def test_little_s_law_holds_for_a_queue_that_is_measured_from_both_sides():
    generator = np.random.default_rng(3)
    stays, comes = generator.uniform(1, 9, 4000), np.sort(generator.uniform(0, 3600, 4000))
    leaves = np.sort(comes + stays)
    moments = np.arange(0, 3700, 0.1)
    inside = np.searchsorted(comes, moments) - np.searchsorted(leaves, moments)
    row = judge_little(
        mean_in_system=float(inside.mean()), arrivals_per_s=4000 / 3700,
        mean_stay_s=float(stays.mean()), noun="ballot",
    )
    assert row.agrees
    assert row.ratio == pytest.approx(1, abs=1e-3)


def test_the_wait_at_low_load_is_half_a_slot_and_the_way():
    row = judge_low_load_wait(block_interval_s=5, propagation_s=0.3, measured_s=3.6)
    assert row.predicted == 2.8
    assert not row.agrees


def test_every_metric_says_what_it_is_and_ends_in_its_unit():
    for name, metric in REGISTRY.items():
        assert metric.about
        assert metric.name == name
        if name.endswith("_per_s"):
            assert metric.unit == "1/s"
        elif name.endswith("_s"):
            assert metric.unit == "s"
    assert all(f"{name}.p99_s" in REGISTRY for name in DISTRIBUTIONS)
    assert get_metric("lost.count").better == "lower"
