"""Whoever asks a process to end several times gets one orderly end."""

import signal

import pytest
import trio
import trio.testing

from node.host.signals import STOPPING, catch_signals


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", STOPPING)
async def test_the_first_signal_asks_and_none_after_it_does_anything(first):
    with catch_signals() as stop:
        stop.arm()
        signal.raise_signal(first)
        with trio.fail_after(5):
            await stop.wait()
        for number in (*STOPPING, *STOPPING):
            signal.raise_signal(number)
    for number in STOPPING:
        signal.raise_signal(number)


async def test_a_signal_wakes_whoever_waits():
    with catch_signals() as stop, trio.fail_after(5):
        stop.arm()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop.wait)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGHUP)


def test_before_it_runs_the_first_signal_interrupts_and_the_next_do_not():
    with catch_signals() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert stop.is_asked
    signal.raise_signal(signal.SIGTERM)


def test_without_a_signal_all_is_as_before_and_what_was_ignored_stays_so():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = [signal.getsignal(number) for number in STOPPING]
    with catch_signals() as stop:
        stop.arm()
        signal.raise_signal(signal.SIGHUP)
        assert not stop.is_asked
    assert [signal.getsignal(number) for number in STOPPING] == before
