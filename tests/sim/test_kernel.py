"""The calendar of virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.kernel import EPOCH_NS, Kernel


def test_events_of_one_instant_run_in_the_order_of_scheduling():
    kernel = Kernel()
    ran: list[object] = []
    payloads = [object(), {}, "z", 3, None]  # would not compare with each other
    for payload in payloads:
        kernel.at(EPOCH_NS + 5, ran.append, payload)
    kernel.run_until(EPOCH_NS + 5)
    assert ran == payloads


def test_time_moves_with_events_and_ends_at_the_end():
    kernel = Kernel()
    seen = []
    kernel.at(EPOCH_NS + 30, lambda _: seen.append(kernel.now_ns), None)
    kernel.at(EPOCH_NS + 10, lambda _: seen.append(kernel.now_ns), None)
    kernel.at(EPOCH_NS + 99, seen.append, 0)
    assert kernel.run_until(EPOCH_NS + 50)
    assert seen == [EPOCH_NS + 10, EPOCH_NS + 30]
    assert kernel.now_ns == EPOCH_NS + 50
    assert kernel.events == 2
    assert len(kernel) == 1


def test_nothing_is_scheduled_in_the_past():
    kernel = Kernel()
    with pytest.raises(AssertionError, match="past"):
        kernel.at(EPOCH_NS - 1, print, None)


def test_a_callback_may_schedule_for_the_present_instant():
    kernel = Kernel()
    ran: list[int] = []

    def again(left: int) -> None:
        ran.append(left)
        if left:
            kernel.at(kernel.now_ns, again, left - 1)

    kernel.at(EPOCH_NS, again, 3)
    kernel.run_until(EPOCH_NS)
    assert ran == [3, 2, 1, 0]


def test_stop_ends_the_run_after_the_present_event_and_a_later_run_goes_on():
    kernel = Kernel()
    ran: list[int] = []
    kernel.at(EPOCH_NS + 1, lambda _: (ran.append(1), kernel.stop()), None)
    kernel.at(EPOCH_NS + 2, ran.append, 2)
    assert not kernel.run_until(EPOCH_NS + 9)
    assert (ran, kernel.now_ns) == ([1], EPOCH_NS + 1)
    assert kernel.run_until(EPOCH_NS + 9)
    assert ran == [1, 2]


def test_an_error_in_a_callback_comes_out_and_the_event_is_counted():
    kernel = Kernel()
    kernel.at(EPOCH_NS + 1, lambda _: 1 // 0, None)
    with pytest.raises(ZeroDivisionError):
        kernel.run_until(EPOCH_NS + 2)
    assert kernel.events == 1


@given(st.lists(st.one_of(
    st.tuples(st.just("at"), st.integers(0, 5_000_000)),
    st.tuples(st.just("run"), st.integers(0, 4_000_000)),
    st.tuples(st.just("look"), st.just(0)),
    st.tuples(st.just("chain"), st.integers(0, 2_500_000)),
), max_size=60))
def test_events_run_by_instant_and_then_by_order_whatever_was_asked_between(steps):
    kernel = Kernel()
    ran: list[tuple[int, int]] = []
    planned: list[tuple[int, int]] = []

    def plan(at_ns: int, chain_ns: int = 0) -> None:
        number = len(planned)
        planned.append((at_ns, number))

        def run(_: None) -> None:
            ran.append((kernel.now_ns, number))
            if chain_ns:
                plan(kernel.now_ns + chain_ns)
                plan(kernel.now_ns)

        kernel.at(at_ns, run, None)

    for kind, value in steps:
        match kind:
            case "at":
                plan(kernel.now_ns + value)
            case "chain":
                plan(kernel.now_ns + value, value)
            case "run":
                kernel.run_until(kernel.now_ns + value)
            case "look":
                assert kernel.next_ns == min(set(planned) - set(ran), default=(None,))[0]
        assert ran == sorted(planned)[:len(ran)]
        assert len(kernel) == len(planned) - len(ran)
    kernel.run_until(kernel.now_ns + 10_000_000)
    assert ran == sorted(planned)
