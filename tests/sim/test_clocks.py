"""Clocks of peers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.clocks import Clock, ClockConfig, draw_clocks
from sim.errors import ConfigurationError
from sim.kernel import EPOCH_NS, SECOND_NS
from sim.streams import Streams


def test_a_true_clock_shows_virtual_time():
    now = Clock().read(EPOCH_NS + 5)
    assert now.monotonic_ns == EPOCH_NS + 5
    later = Clock().read(EPOCH_NS + 105)
    assert later.realtime_ns - now.realtime_ns == 100


def test_an_offset_moves_only_the_realtime_clock():
    true, wrong = Clock(), Clock(offset_ns=-7)
    assert wrong.read(EPOCH_NS).realtime_ns == true.read(EPOCH_NS).realtime_ns - 7
    assert wrong.read(EPOCH_NS).monotonic_ns == EPOCH_NS


def test_a_step_is_not_noticed_by_the_monotonic_clock():
    clock = Clock()
    before = clock.read(EPOCH_NS)
    clock.step(15 * SECOND_NS)
    after = clock.read(EPOCH_NS)
    assert after.realtime_ns - before.realtime_ns == 15 * SECOND_NS
    assert after.monotonic_ns == before.monotonic_ns


def test_a_fast_crystal_gains_its_millionths():
    now = Clock(drift_ppm=20).read(EPOCH_NS + 1_000_000 * SECOND_NS)
    assert now.monotonic_ns - EPOCH_NS == 1_000_020 * SECOND_NS


@given(st.integers(-999, 100_000), st.integers(0, 10**15))
def test_a_timer_fires_at_the_first_instant_that_shows_its_time(drift_ppm: int, after_ns: int):
    clock = Clock(drift_ppm=drift_ppm)
    virtual_ns = clock.compute_virtual_ns(EPOCH_NS + after_ns)
    assert clock.read(virtual_ns).monotonic_ns >= EPOCH_NS + after_ns
    if virtual_ns > EPOCH_NS:
        assert clock.read(virtual_ns - 1).monotonic_ns < EPOCH_NS + after_ns


def test_drawn_clocks_stay_within_their_bounds():
    clocks = draw_clocks(200, ClockConfig(offset_ns=1_000, drift_ppm=5), Streams(1))
    true_ns = Clock().read(EPOCH_NS).realtime_ns
    errors = [clock.read(EPOCH_NS).realtime_ns - true_ns for clock in clocks]
    assert max(map(abs, errors)) <= 1_000
    assert len(set(errors)) > 100
    assert {clock.drift_ppm for clock in clocks} == set(range(-5, 6))


@pytest.mark.parametrize("field", ["offset_ns", "drift_ppm"])
def test_an_absurd_clock_is_refused(field: str):
    with pytest.raises(ConfigurationError, match=field):
        ClockConfig(**{field: -1})
