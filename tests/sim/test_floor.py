"""The crypto floor, by clocks that go as the tests say."""

from itertools import count

from sim.floor import SAMPLE, SAMPLE_EVERY_S, FloorMeter, measure_crypto_floor


def test_the_floor_counts_one_of_each_operation():
    ticks = iter(range(0, 7_000, 1_000))
    costs = measure_crypto_floor(lambda: next(ticks), sample=10)
    assert costs.key_pair_ns == costs.open_ns == 100
    assert costs.ballot_ns == 600


def test_a_sample_is_taken_at_once_and_then_when_it_is_due():
    wall_s = [100.0]
    ticks = count(0, 1_000)
    taken = []

    def read_cpu_ns():
        taken.append(wall_s[0])
        return next(ticks)

    meter = FloorMeter(read_cpu_ns, lambda: wall_s[0])
    for second in (100.0, 100.5, 101.9, 102.0, 103.0, 105.0):
        wall_s[0] = second
        meter.sample_if_due()
    # seven readings warm up and seven measure
    assert [taken.count(second) for second in (100.0, 100.5, 102.0, 103.0, 105.0)] == [
        14, 0, 14, 0, 14,
    ]
    assert SAMPLE_EVERY_S == 2.0


def test_the_costs_are_the_mean_of_the_samples():
    slowness = [1]
    now_ns = [0]

    def read_cpu_ns():
        now_ns[0] += SAMPLE * 100 * slowness[0]
        return now_ns[0]

    moment = count(0.0, SAMPLE_EVERY_S)
    meter = FloorMeter(read_cpu_ns, lambda: next(moment))
    meter.sample_if_due()
    assert meter.costs.sign_ns == 100
    slowness[0] = 3
    meter.sample_if_due()
    assert meter.costs.sign_ns == 200
    assert meter.costs.ballot_ns == 1_200
