"""Weekend fairs by the city's real rule: free places, first come first served, no auction.

A season goes through these phases:

    PREPARING --OpenWindow--> OPEN --MovePools--> BALANCING --MovePools--> ALLOCATING
    AddSites                  Apply, Withdraw, Refuse
    ALLOCATING --AllocateBatch--> MOVING --MovePools--> ALLOCATING, or when nothing moved
    --> LISTING --FinishSeason--> FINISHED

The rule is that of moscow-technologies/fairs-blockchain, Contract.sol of 2019: pools, passes,
moves between pools and batches of 500. Where we differ, the file concerned says so. In the
contract a clerk accepts an application before it counts; here it counts unless refused.

Scale: press reports of 2018 name 2,736 places and 100 to 102 sites, and a season of about 13
weekends. We read it, and that is an inference, as 2,736 stalls, each there on every one of the
13 weekends (35,568 stall-weekends). The quotas of a slot (site, period, trade) are by pool:
individuals, farmers, firms; 70 % of places for individuals is the figure of 2016. A period is
one weekend, Friday to Sunday.

Kinds and payloads ("periods" is a mask of bits, bit 0 for period 0):
    40 CreateSeason  [season, sites, periods]
    41 AddSites      [season, [[site, trade, quotas(2 bytes x 3 pools x periods)], ...]]
    42 OpenWindow    [season, opens_ns, closes_ns]
    43 Apply         [season, site, trade, kind, periods]         sent by the applicant
    44 Withdraw      [season, pool, number]                       sent by the applicant
    45 Refuse        [season, pool, number]
    46 AllocateBatch [season, items]
    47 MovePools     [season, sites]
    48 FinishSeason  [season, items]
"""

from typing import Final

from node.services.call import Handler
from node.services.fairs.allocation import make_allocate_batch, process_allocate_batch
from node.services.fairs.applications import (
    APPLICATIONS_MAX,
    find_pool,
    make_apply,
    make_refuse,
    make_withdraw,
    process_apply,
    process_refuse,
    process_withdraw,
)
from node.services.fairs.pools import make_move_pools, process_move_pools
from node.services.fairs.readers import (
    get_application,
    get_applications,
    get_holder,
    get_row,
    get_season,
    get_site_places,
    get_waiting,
)
from node.services.fairs.records import (
    Application,
    Holder,
    Season,
    Slot,
    get_filed,
    make_place_key,
    unpack_holder,
)
from node.services.fairs.seasons import (
    make_add_sites,
    make_create_season,
    make_open_window,
    process_add_sites,
    process_create_season,
    process_open_window,
)
from node.services.fairs.waiting import make_finish_season, process_finish_season

CREATE_SEASON: Final = 40
ADD_SITES: Final = 41
OPEN_WINDOW: Final = 42
APPLY: Final = 43
WITHDRAW: Final = 44
REFUSE: Final = 45
ALLOCATE_BATCH: Final = 46
MOVE_POOLS: Final = 47
FINISH_SEASON: Final = 48

HANDLERS: dict[int, Handler] = {
    CREATE_SEASON: process_create_season,
    ADD_SITES: process_add_sites,
    OPEN_WINDOW: process_open_window,
    APPLY: process_apply,
    WITHDRAW: process_withdraw,
    REFUSE: process_refuse,
    ALLOCATE_BATCH: process_allocate_batch,
    MOVE_POOLS: process_move_pools,
    FINISH_SEASON: process_finish_season,
}

__all__ = [
    "ADD_SITES",
    "ALLOCATE_BATCH",
    "APPLICATIONS_MAX",
    "APPLY",
    "CREATE_SEASON",
    "FINISH_SEASON",
    "HANDLERS",
    "MOVE_POOLS",
    "OPEN_WINDOW",
    "REFUSE",
    "WITHDRAW",
    "Application",
    "Holder",
    "Season",
    "Slot",
    "find_pool",
    "get_application",
    "get_applications",
    "get_filed",
    "get_holder",
    "get_row",
    "get_season",
    "get_site_places",
    "get_waiting",
    "make_add_sites",
    "make_allocate_batch",
    "make_apply",
    "make_create_season",
    "make_finish_season",
    "make_move_pools",
    "make_open_window",
    "make_place_key",
    "make_refuse",
    "make_withdraw",
    "unpack_holder",
]
