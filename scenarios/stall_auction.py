"""Could the season's places be auctioned to 1.5 million bidders in one morning?

The city never auctioned its stalls: this is our own extension. Half of the lots are ascending
auctions with a close that a late bid extends, half sealed-bid. Expected: the highest valid bid
wins every lot, ties go by rule, and money is conserved to the kopeck.
"""

from sim import Scenario, StallAuction, Threshold

scenario = Scenario(
    name="stall-auction",
    question="Can 1.5 million bidders take part in one fair auction?",
    workload=StallAuction(opens="09:00", closes="12:00"),
    users=1_500_000,
    peers=1_000,
    starts="08:00",
    thresholds=(
        Threshold("latency.final.p99_s <= 30"),
        Threshold("lost.count == 0"),
        Threshold("double.count == 0"),
        Threshold("fairs.money_conserved == 1"),
        Threshold("forks.count == 0"),
        Threshold("auditor.mismatch.count == 0"),
    ),
)
