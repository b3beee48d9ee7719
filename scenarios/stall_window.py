"""Does the stalls' window survive its opening at 09:00?

The city gives 2,736 free places on 100 sites, first come first served; in 2016 more than
14,000 applications came in the first hour. Expected: all are on the chain in their order, no
place is given twice, nobody holds two places on one weekend, and the waiting list is right.
"""

from sim import Scenario, StallWindow, Threshold

scenario = Scenario(
    name="stall-window",
    question="Is the opening hour of the weekend fairs orderly and fair?",
    workload=StallWindow(opens="09:00", closes="11:00"),
    users=14_000,
    peers=200,
    starts="08:50",
    thresholds=(
        Threshold("latency.final.p99_s <= 15"),
        Threshold("lost.count == 0"),
        Threshold("double.count == 0"),
        Threshold("fairs.double.count == 0"),
        Threshold("forks.count == 0"),
        Threshold("auditor.mismatch.count == 0"),
    ),
)
