"""Can the city vote in one day? 1.5 million voters, 08:00 to 22:00, on a real day's curve.

Moscow, 17 September 2021, with the whole electorate on the first day: 1,000 peers (25
validators, 75 relays, 900 citizens' observers), QBFT, a block each 5 s, real signatures and
sealed ballots. Expected: 99 % of ballots are final within two block intervals of the moment in
which the voter cast them, none is lost or counted twice, and the tally is published the same
night. In 2019 the vote froze for 40 minutes; in 2021 the tally stopped at 65 %.
"""

from sim import Election, Scenario, Threshold

scenario = Scenario(
    name="election-day",
    question="Does a city of 1.5 million voters get through one election day?",
    workload=Election(curve="moscow2021_day1.csv", opens="08:00", closes="22:00"),
    users=1_500_000,
    peers=1_000,
    thresholds=(
        Threshold("latency.final.p99_s <= 15"),
        Threshold("latency.seen95.p99_s <= 20"),
        Threshold("lost.count == 0"),
        Threshold("double.count == 0"),
        Threshold("forks.count == 0"),
        Threshold("auditor.mismatch.count == 0"),
    ),
)
