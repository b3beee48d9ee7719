import math

import pytest
import trio
import trio.testing

from node.host.clock import Clock, Timers
from node.types import Now

SECOND_NS = 10**9


def read_trio_ns():
    return 5 * SECOND_NS + round(trio.current_time() * 1e9)


class Hand:
    """A clock that stands where it is put."""

    def __init__(self, monotonic_ns, realtime_ns):
        self.monotonic_ns = monotonic_ns
        self.realtime_ns = realtime_ns

    def make_clock(self, *how):
        return Clock(*how, lambda: self.monotonic_ns, lambda: self.realtime_ns)


def test_a_clock_of_speed_one_is_the_machines():
    hand = Hand(7, 1_700_000_000_000_000_001)
    assert hand.make_clock(1.0, 0).read() == Now(7, 1_700_000_000_000_000_001)


def test_a_faster_clock_runs_from_its_origin_to_the_nanosecond():
    origin_ns = 1_700_000_000_000_000_001
    hand = Hand(100, origin_ns)
    clock = hand.make_clock(60, origin_ns)
    assert clock.read() == Now(100, origin_ns)
    hand.monotonic_ns += 3 * SECOND_NS
    hand.realtime_ns += 2 * SECOND_NS
    assert clock.read() == Now(100 + 180 * SECOND_NS, origin_ns + 120 * SECOND_NS)
    assert clock.compute_wait_s(100 + 240 * SECOND_NS) == 1


def test_two_processes_with_one_origin_agree_whenever_they_started():
    origin_ns = 10**18
    one, other = Hand(1, origin_ns + 5), Hand(99, origin_ns + SECOND_NS)
    clocks = [one.make_clock(10, origin_ns), other.make_clock(10, origin_ns)]
    one.realtime_ns = other.realtime_ns = origin_ns + 7 * SECOND_NS
    assert len({clock.read().realtime_ns for clock in clocks}) == 1


@pytest.mark.parametrize("speed", [0, -1, math.inf, math.nan])
def test_an_impossible_speed_is_refused(speed):
    with pytest.raises(ValueError, match="speed"):
        Clock(speed)


async def test_timers_fire_in_the_order_of_their_time(nursery, autojump_clock):
    clock = Clock(1.0, 0, read_trio_ns, read_trio_ns)
    woken = trio.Event()
    fired = []

    def take():
        fired.extend((timer, trio.current_time() - start) for timer in timers.take_due())
        if len(fired) == 4:
            woken.set()

    timers = Timers(clock, take)
    nursery.start_soon(timers.run)
    start = trio.current_time()
    now_ns = clock.read().monotonic_ns
    timers.set(("late", 1, 0), now_ns + 200 * SECOND_NS)
    timers.set(("soon", 1, 0), now_ns + 2 * SECOND_NS)
    await trio.testing.wait_all_tasks_blocked()
    timers.set(("sooner", 1, 0), now_ns + SECOND_NS)
    timers.set(("past", 1, 0), now_ns - SECOND_NS)
    assert len(timers) == 4
    await woken.wait()
    assert [timer[0] for timer, _ in fired] == ["past", "sooner", "soon", "late"]
    assert [round(at_s, 6) for _, at_s in fired] == [0, 1, 2, 200]
    assert len(timers) == 0


async def test_timers_of_a_faster_clock_fire_sooner(nursery, autojump_clock):
    clock = Clock(60, 0, read_trio_ns, read_trio_ns)
    woken = trio.Event()
    timers = Timers(clock, woken.set)
    nursery.start_soon(timers.run)
    start = trio.current_time()
    timers.set(("block", 1, 0), clock.read().monotonic_ns + 120 * SECOND_NS)
    await woken.wait()
    assert timers.take_due() == [("block", 1, 0)]
    assert timers.take_due() == []
    assert trio.current_time() - start == pytest.approx(2)
