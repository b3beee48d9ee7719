"""Does everything work? A whole election of 2,000 voters on 60 peers, in seconds.

Expected: every ballot is final within two block intervals, nothing is lost or counted twice,
and the recount from what voters meant agrees with the published tally.
"""

from sim import Election, Scenario, Threshold

scenario = Scenario(
    name="smoke",
    question="Does a small election work from the door to the tally?",
    workload=Election(opens="08:00", closes="09:00"),
    users=2_000,
    peers=60,
    starts="07:55",
    thresholds=(
        Threshold("latency.final.p99_s <= 15"),
        Threshold("lost.count == 0"),
        Threshold("double.count == 0"),
        Threshold("forks.count == 0"),
        Threshold("auditor.mismatch.count == 0"),
    ),
)
