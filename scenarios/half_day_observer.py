"""Can a citizen join in the middle of the day and recount everything?

A hundred observers start from genesis at 13:00, fetch half a day of blocks from their
neighbours, and recount. Expected: each reaches the head, agrees with the published result, and
nobody who votes notices them.
"""

from dataclasses import replace

from scenarios.election_day import scenario as election_day
from sim import Election, LateJoin, Threshold

scenario = replace(
    election_day,
    name="half-day-observer",
    question="Can 100 citizens join at 13:00, catch up and recount the election?",
    workload=Election(opens="08:00", closes="14:00"),
    users=60_000,
    late=LateJoin(observers=100, at="13:00"),
    thresholds=(
        Threshold("sync.recounted.count >= 100"),
        Threshold("sync.finished.count >= 100"),
        Threshold("latency.final.p99_s <= 15"),
        Threshold("lost.count == 0"),
        Threshold("forks.count == 0"),
        Threshold("auditor.mismatch.count == 0"),
    ),
)
