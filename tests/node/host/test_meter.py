"""Processor time by kind: what is within another kind counts once."""

import time

import pytest

from node.host.meter import Meter, Spent, measure

BURN_NS = 3_000_000


def burn():
    until_ns = time.thread_time_ns() + BURN_NS
    while time.thread_time_ns() < until_ns:
        pass
    return "done"


def get(meter, kind):
    return meter.build_counters()[f"cpu.{kind}_s"] * 1e9


def test_time_is_counted_under_its_kind_and_the_result_is_given_back():
    meter = Meter()
    assert meter.run(Spent.HANDLE, burn) == "done"
    assert get(meter, "handle") >= BURN_NS
    assert sum(meter.build_counters().values()) == get(meter, "handle") / 1e9


def test_a_kind_within_a_kind_counts_once_under_the_inner_one():
    meter = Meter()

    def outer():
        burn()
        meter.run(Spent.EXECUTE, burn)
        meter.run(Spent.DECODE, burn)

    spent_ns = measure(meter.run, Spent.HANDLE, outer)[1]
    assert all(get(meter, kind) >= BURN_NS for kind in ("handle", "execute", "decode"))
    assert sum(meter.build_counters().values()) * 1e9 <= spent_ns


def test_what_raises_is_counted_and_raised():
    meter = Meter()

    def fail():
        burn()
        raise KeyError

    with pytest.raises(KeyError):
        meter.run(Spent.DISK, fail)
    assert get(meter, "disk") >= BURN_NS


def test_what_another_thread_measured_is_added():
    meter = Meter()
    meter.add(Spent.CHECK, 5)
    meter.add(Spent.CHECK, 6)
    assert get(meter, "check") == 11
