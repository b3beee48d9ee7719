"""What the city's people do in a scenario: the parameters of an election, a window, an auction.

Figures are those of the real systems (scenarios/data/README.md); ratios are shares of users.
"""

from dataclasses import dataclass
from typing import TypeAlias

from sim.electorate import SMALL_INTEGER_MAX
from sim.errors import require_number, require_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Election:
    """A voting of one day, as in Moscow 2021: door, ballot, one-time key, sealed ballot, tally.

    ``curve`` is a file in scenarios/data or a path. Abandonment 1.6 to 2.2 %, re-votes 3.3 to
    3.9 %, a client's budget of 3 s and 10 polls of 500 ms, then tries 120 s x (n + 1) apart, at
    most 10, and about 1,000 read requests per voter: facts of 2020, 2021 and Estonia 2023.
    """

    curve: str = "moscow2021_day1.csv"
    opens: str = "08:00"
    closes: str = "22:00"
    grace_s: int = 900
    districts: int = 15
    choices: int = 10
    abandon_ratio: float = 0.02
    revote_ratio: float = 0.039
    reads_per_voter: int = 1_000
    door_concurrency_max: int = 60_000
    keyholders_missing: int = 0

    def __post_init__(self) -> None:
        require_whole("grace_s", self.grace_s, 0, 86_400)
        require_whole("districts", self.districts, 1, SMALL_INTEGER_MAX)
        require_whole("choices", self.choices, 2, 255)
        require_number("abandon_ratio", self.abandon_ratio, 0, 1)
        require_number("revote_ratio", self.revote_ratio, 0, 1)
        require_whole("reads_per_voter", self.reads_per_voter, 0, 1_000_000)
        require_whole("door_concurrency_max", self.door_concurrency_max, 1, 10**9)
        # five hold the key (sim.registrar); how many are too many the run shall show
        require_whole("keyholders_missing", self.keyholders_missing, 0, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class StallWindow:
    """The opening of the fairs' window: free places, first come first served.

    2,736 places on 100 sites for each of 13 weekends; over 14,000 applications in the first
    hour from 09:00 (2016), here scaled to the number of users.
    """

    curve: str = "fairs_opening.csv"
    opens: str = "09:00"
    closes: str = "21:00"
    sites: int = 100
    periods: int = 13
    places: int = 2_736
    reads_per_user: int = 50

    def __post_init__(self) -> None:
        require_whole("sites", self.sites, 1, 1_000)
        require_whole("periods", self.periods, 1, 32)
        require_whole("places", self.places, 1, 100_000)
        require_whole("reads_per_user", self.reads_per_user, 0, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class StallAuction:
    """The season's places auctioned: our own extension, for the city never auctioned them.

    ``sealed_ratio`` of the lots are sealed-bid (commit, reveal), the rest ascending.
    """

    curve: str = "fairs_opening.csv"
    opens: str = "09:00"
    closes: str = "12:00"
    lots: int = 2_736
    sealed_ratio: float = 0.5
    reads_per_user: int = 50

    def __post_init__(self) -> None:
        require_whole("lots", self.lots, 1, 100_000)
        require_number("sealed_ratio", self.sealed_ratio, 0, 1)
        require_whole("reads_per_user", self.reads_per_user, 0, 1_000_000)


Workload: TypeAlias = Election | StallWindow | StallAuction
