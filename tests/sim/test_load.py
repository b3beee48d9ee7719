"""Arrival curves: what files are refused, how a cut works, what samples look like."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ConfigurationError
from sim.load import ArrivalCurve
from sim.streams import Streams
from sim.times import HOUR_NS, SECOND_NS

DATA = Path(__file__).parents[2] / "scenarios" / "data"


def write(folder: Path, text: str) -> Path:
    path = folder / "curve.csv"
    path.write_text(text)
    return path


def make(*counts: float) -> ArrivalCurve:
    edges = np.arange(len(counts) + 1, dtype=np.int64) * HOUR_NS
    return ArrivalCurve(edges_ns=edges, counts=np.array(counts, float))


def compute_peak_over_mean(curve: ArrivalCurve) -> float:
    rates = curve.counts / np.diff(curve.edges_ns)
    return float(rates.max() * (curve.end_ns - curve.start_ns) / curve.total)


@pytest.mark.parametrize(
    "name", ["moscow2021_day1", "moscow2019_day", "estonia2023", "fairs_opening"]
)
def test_every_curve_that_comes_with_veche_can_be_read(name):
    assert ArrivalCurve.read(DATA / f"{name}.csv").total > 9_000


def test_moscow_peaks_in_the_half_hour_from_a_quarter_past_nine():
    curve = ArrivalCurve.read(DATA / "moscow2021_day1.csv").window(8 * HOUR_NS, 22 * HOUR_NS)
    rates = curve.counts / np.diff(curve.edges_ns)
    assert curve.edges_ns[rates.argmax()] == (9 * 60 + 15) * 60 * SECOND_NS
    assert 1.9 < compute_peak_over_mean(curve) < 2.1


def test_estonia_ends_with_its_greatest_hour():
    curve = ArrivalCurve.read(DATA / "estonia2023.csv")
    assert (curve.total, curve.counts[0], curve.counts[-1]) == (324_301, 7_298, 11_029)
    assert curve.counts.max() == curve.counts[-1]
    assert compute_peak_over_mean(curve) == pytest.approx(4.455, abs=0.01)


def test_two_hours_of_2019_hold_forty_percent_of_the_day():
    curve = ArrivalCurve.read(DATA / "moscow2019_day.csv")
    share = curve.window(8 * HOUR_NS, 10 * HOUR_NS).total / curve.total
    assert share == pytest.approx(0.4, abs=0.001)


def test_the_fairs_window_opens_with_fourteen_thousand_in_an_hour():
    curve = ArrivalCurve.read(DATA / "fairs_opening.csv")
    assert curve.window(9 * HOUR_NS, 10 * HOUR_NS).total == 14_000
    assert curve.total == 15_000


@pytest.mark.parametrize(
    ("lines", "line", "word"),
    [
        ("08:00,09:00,1\n10:00,11:00,1", 3, "hole"),
        ("08:00,09:00,1\n08:30,11:00,1", 3, "overlaps"),
        ("08:00,09:00,many", 2, "number"),
        ("08:00,09:00,-1", 2, "from 0 up"),
        ("08:00,09:00,nan", 2, "from 0 up"),
        ("08:00,09:00,inf", 2, "from 0 up"),
        ("eight,09:00,1", 2, "time"),
        ("08:61,09:00,1", 2, "time"),
        ("09:00,08:00,1", 2, "end after"),
        ("08:00,08:00,1", 2, "end after"),
        ("08:00,09:00", 2, "columns"),
        ("08:00,09:00,1,1", 2, "columns"),
        ("-5,09:00,1", 2, "year"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, lines, line, word):
    with pytest.raises(ConfigurationError, match=word) as caught:
        ArrivalCurve.read(write(tmp_path, "start,end,count\n" + lines))
    assert f"line {line}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "header"),
        ("start,end,count\n", "at least one bin"),
        ("from,to,n\n08:00,09:00,1\n", "start,end,count"),
        ("start,end,count\n08:00,09:00,0\n", "nobody"),
    ],
)
def test_a_file_without_arrivals_is_refused(tmp_path, text, word):
    with pytest.raises(ConfigurationError, match=word):
        ArrivalCurve.read(write(tmp_path, text))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ArrivalCurve.read(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ArrivalCurve.read(tmp_path / "binary.csv")


def test_seconds_and_times_of_day_are_the_same_thing(tmp_path):
    text = "start,end,count\n# a note\n\n0,01:00,3\n3600,7200,1"
    curve = ArrivalCurve.read(write(tmp_path, text))
    assert curve.edges_ns.tolist() == [0, HOUR_NS, 2 * HOUR_NS]


def test_a_curve_may_go_on_into_later_days(tmp_path):
    curve = ArrivalCurve.read(write(tmp_path, "start,end,count\n23:00,25:00:01,3"))
    assert curve.end_ns == 90_001 * SECOND_NS
    with pytest.raises(ConfigurationError, match="line 2"):
        ArrivalCurve.read(write(tmp_path, "start,end,count\n23:00,9000:00,3"))


def test_a_bin_that_is_cut_keeps_its_rate():
    curve = make(60, 120).window(HOUR_NS // 2, HOUR_NS + HOUR_NS // 4)
    assert curve.counts.tolist() == [30, 30]
    assert curve.edges_ns.tolist() == [HOUR_NS // 2, HOUR_NS, HOUR_NS + HOUR_NS // 4]


def test_a_window_in_which_nobody_comes_is_refused():
    with pytest.raises(ConfigurationError, match="no arrivals"):
        make(1, 0).window(HOUR_NS, 2 * HOUR_NS)
    with pytest.raises(ConfigurationError, match="05:00 to 06:00"):
        make(1, 0).window(5 * HOUR_NS, 6 * HOUR_NS)


def test_a_sample_follows_the_curve():
    curve = make(1, 3, 0, 6)
    moments = curve.sample(100_000, Streams(1)("arrivals"))
    shares = np.histogram(moments, curve.edges_ns)[0] / 100_000
    assert shares == pytest.approx([0.1, 0.3, 0, 0.6], abs=0.01)
    first = moments[moments < HOUR_NS]
    assert first.mean() == pytest.approx(HOUR_NS / 2, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.floats(0, 1e6), min_size=1, max_size=8).filter(lambda it: sum(it) > 1),
    n=st.integers(0, 500), seed=st.integers(0, 99),
)
def test_a_sample_is_sorted_complete_and_within_the_curve(counts, n, seed):
    curve = make(*counts)
    moments = curve.sample(n, Streams(seed)("arrivals"))
    assert len(moments) == n
    assert bool((np.diff(moments) >= 0).all())
    assert n == 0 or 0 <= moments[0] <= moments[-1] < curve.end_ns
    assert moments.tolist() == curve.sample(n, Streams(seed)("arrivals")).tolist()
