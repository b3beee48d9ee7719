"""Laws that hold for any queueing system, as judges of the simulator itself."""

from sim.result import TheoryRow

# Little's law is exact over a span in which the system begins and ends empty; bins are not
LITTLE_SLACK_RATIO = 0.02
WAIT_SLACK_RATIO = 0.1


def judge_little(
    *, mean_in_system: float, arrivals_per_s: float, mean_stay_s: float, noun: str
) -> TheoryRow:
    """Little, 1961: the mean number in the system is arrival rate times mean stay.

    The two sides must be measured apart: the number from the level, the stay from latencies.
    """
    assert mean_in_system >= 0
    assert arrivals_per_s >= 0
    return TheoryRow(
        law=f"Little: {noun}s in the system = arrival rate times stay",
        predicted=arrivals_per_s * mean_stay_s, measured=mean_in_system, unit=f"{noun}s",
        slack_ratio=LITTLE_SLACK_RATIO,
    )


def judge_low_load_wait(
    *, block_interval_s: float, propagation_s: float, measured_s: float
) -> TheoryRow:
    """Who comes at a random moment to a slotted chain with room waits half a slot.

    ``propagation_s`` is all that does not depend on the slot: bundling, agreement, spread.
    """
    assert block_interval_s > 0
    assert propagation_s >= 0
    return TheoryRow(
        law="Wait at low load = half a block interval + propagation",
        predicted=block_interval_s / 2 + propagation_s, measured=measured_s, unit="s",
        slack_ratio=WAIT_SLACK_RATIO,
    )
