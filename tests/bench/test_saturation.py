"""What is made of a saturated cluster's run: only the steady part, in whole blocks."""

from array import array

import numpy as np
import pytest

from bench.cluster.saturated import Load, Pushed, Seen, Signed
from bench.figures import MeasurementFailed
from bench.saturation import Steady, list_costs, list_edges
from bench.speedometer import Look
from bench.table import format_table
from node.host.meter import Spent

SECOND_NS = 10**9
LOAD = Load(ballots=4_000, validators=1, warm_up_s=5.0)


class Sent:
    """Stands for a feed that handed in 200 ballots each second."""

    def __init__(self):
        self.sent_ns = array("q", [number * SECOND_NS // 200 for number in range(4_000)])


LOOKS = [
    Look(second * SECOND_NS, 40_000 if 5 <= second < 20 else 90_000, 5_000)
    for second in range(25)
]


def build(blocks=25, per_block=200, looks=LOOKS):
    """A block each second: slow in the first five, 200 ballots in each of the others."""
    seen = Seen(counters=[[], []])
    for height in range(1, blocks + 1):
        seen.final_ns[height] = height * SECOND_NS
        seen.digests[height] = str(height)
        seen.counts[str(height)] = per_block if height > 5 else 1
        for told in seen.counters:
            spent = {f"cpu.{kind}_s": 0.1 * height for kind in Spent}
            told.append((height * SECOND_NS, {**spent, "process.cpu_s": 0.7 * height}))
    feed = Sent()
    sent_ns = np.array(feed.sent_ns, dtype=np.int64)
    return Pushed(
        load=LOAD, signed=Signed(deeds=[], ballots=[]),
        looks=looks,
        seen=seen, feed=feed, latencies_ns=np.full(4_000, 2 * SECOND_NS), began_ns=0,
        handed_ns=int(sent_ns.max()), driver_cpu_s=0.04,
    )


def test_warm_up_and_drain_are_no_part_of_the_steady_rate():
    steady = Steady(build())
    assert (steady.heights[0], steady.heights[-1]) == (5, 19)
    assert steady.seconds == 14
    assert steady.compute_rate() == 200
    assert steady.compute_rates() == (200, 200, 200, 200)


def test_a_run_that_is_too_short_says_nothing():
    with pytest.raises(MeasurementFailed, match="push more ballots"):
        Steady(build(blocks=9))


def test_processor_time_is_that_of_the_steady_part_and_what_is_no_kinds_is_other():
    steady = Steady(build())
    spent = steady.compute_cpu(0)
    assert spent["check"] == pytest.approx(0.1)
    assert spent["other"] == pytest.approx(0.1)
    assert spent["total"] == pytest.approx(0.7)
    assert steady.compute_cores() == pytest.approx(1.4)


def test_a_check_costs_what_it_took_in_the_steady_part():
    assert Steady(build()).compute_check_ns() == pytest.approx(40_000)
    with pytest.raises(MeasurementFailed, match="nobody could look"):
        Steady(build(looks=LOOKS[:3])).compute_check_ns()


def test_costs_are_told_per_transaction_and_the_edges_beside_them():
    steady = Steady(build())
    figures = [*list_costs([steady], [200.0]), *list_edges([steady])]
    by_name = {figure.name: figure.median for figure in figures}
    assert by_name["cpu.validators.check_us"] == pytest.approx(500)
    assert by_name["cpu.relay.total_us"] == pytest.approx(3_500)
    assert by_name["cpu.driver_us"] == pytest.approx(10)
    assert by_name["cluster.warm_up_per_s"] == 1
    assert by_name["cluster.drain_s"] == pytest.approx(5, abs=0.1)
    assert "cpu.relay.total_us" in format_table(figures)
