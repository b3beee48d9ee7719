"""Times of day and durations, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigurationError
from sim.times import (
    HOUR_NS,
    SECOND_NS,
    format_duration,
    format_time,
    parse_duration_ns,
    parse_time_ns,
)


@pytest.mark.parametrize(("text", "seconds"), [
    ("00:00", 0), ("9:30", 34_200), ("09:30:15", 34_215), (" 23:59 ", 86_340),
    ("24:00", 86_400), ("24:00:00", 86_400),
])
def test_a_time_of_day_counts_from_midnight(text, seconds):
    assert parse_time_ns("opens", text) == seconds * SECOND_NS


@pytest.mark.parametrize("text", [
    "24:01", "24:00:01", "25:00", "99:00", "09:60", "09:30:60", "9", "noon", "", "-1:00",
    "09:3", "09:30:5", "09:30:15:00", "٠٩:٣٠",
])
def test_a_time_beyond_the_day_or_none_at_all_is_refused(text):
    with pytest.raises(ConfigurationError, match="from 00:00 to 24:00") as caught:
        parse_time_ns("closes", text)
    assert (caught.value.field, caught.value.value) == ("closes", text)


def test_only_who_asks_for_later_days_gets_them():
    assert parse_time_ns("curve", "33:00", hours_max=48) == 33 * HOUR_NS
    with pytest.raises(ConfigurationError, match="to 48:00"):
        parse_time_ns("curve", "48:01", hours_max=48)


def test_durations_may_have_parts():
    assert parse_duration_ns("for", "1h30m") == HOUR_NS + HOUR_NS // 2
    assert parse_duration_ns("for", "1.5s") == 1_500_000_000
    for wrong in ("", "5", "m", "5m x", "1e3s", "-1s"):
        with pytest.raises(ConfigurationError, match="for="):
            parse_duration_ns("for", wrong)


@given(st.integers(0, 86_400))
def test_a_time_reads_back_as_it_was_written(seconds):
    assert parse_time_ns("at", format_time(seconds * SECOND_NS)) == seconds * SECOND_NS


@given(st.integers(0, 10**9))
def test_a_duration_reads_back_as_it_was_written(milliseconds):
    ns = milliseconds * 1_000_000
    assert parse_duration_ns("for", format_duration(ns)) == ns
