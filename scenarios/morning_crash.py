"""What if a third of the validators restart at the morning peak?

Eight of 25 (f, the most that QBFT forgives) lose power at 09:30, when most people vote, and
come back one by one with their disks. Expected: blocks slow down while their turns pass, and
nothing is lost, counted twice or stuck.
"""

from dataclasses import replace

from scenarios.election_day import scenario as election_day
from sim import Election, Threshold, parse_fault

scenario = replace(
    election_day,
    name="morning-crash",
    question="Is a ballot safe when a third of the validators restart at the morning peak?",
    workload=Election(opens="08:00", closes="12:00"),
    users=150_000,
    faults=(parse_fault("crash validators=f at=09:30 for=10m"),),
    thresholds=(
        Threshold("latency.final.p99_s <= 120"),
        Threshold("lost.count == 0"),
        Threshold("double.count == 0"),
        Threshold("users.gave_up.count == 0"),
        Threshold("forks.count == 0"),
        Threshold("auditor.mismatch.count == 0"),
    ),
)
