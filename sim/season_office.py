"""The fairs office's script: from an empty chain to a finished season.

    set-up -> sites -> window -> (applications) -> balance -> (round -> moves)* -> waiting lists

Allocation goes in batches of 500, as in the city's contract, over as many rounds as places move
between pools; how many batches a step takes is read from the chain.
"""

from collections.abc import Callable, Iterator

from node.services import fairs
from node.services import identity as rights
from node.services.fairs.records import (
    ALLOCATING,
    BATCH_MAX,
    FARMERS,
    FINISHED,
    FIRMS,
    INDIVIDUALS,
    LISTING,
    OPEN,
    POOLS,
    PREPARING,
)
from sim.applicants import Applicants
from sim.office import Office, Script, Step, Task

ROWS_PER_TASK = 200


def make_season_script(
    applicants: Applicants, opens_ns: int, closes_ns: int, is_over: Callable[[int], bool]
) -> Script:
    """``is_over`` tells when nobody applies any more; the allocation begins then."""

    def run(office: Office) -> Iterator[Step]:
        rules = applicants.rules
        season = rules.season
        create = fairs.make_create_season(season, rules.sites, rules.periods)
        yield Step(name="set-up", tasks=iter((
            (rights.ENABLE_SERVICE, rights.make_enable_service("fairs")),
            (fairs.CREATE_SEASON, create),
        )))
        yield Step(name="sites", tasks=_make_sites(applicants))
        window = fairs.make_open_window(season, opens_ns, closes_ns)
        yield Step(name="window", tasks=iter((
            (rights.LOCK_SERVICES, rights.make_lock_services()), (fairs.OPEN_WINDOW, window),
        )))
        while _read_phase(office, season) == OPEN:
            # A proposer's clock may be behind: then the window is tried again.
            yield Step(name="balance", tasks=_make_moves(season, rules.sites), is_due=is_over)
        while (phase := _read_phase(office, season)) != LISTING:
            if phase == ALLOCATING:
                yield Step(name="round", tasks=_make_round(office, season))
            else:
                yield Step(name="moves", tasks=_make_moves(season, rules.sites))
        while _read_phase(office, season) != FINISHED:
            yield Step(name="waiting lists", tasks=_make_lists(office, season))

    return run


def _read_phase(office: Office, season: int) -> int:
    standing = fairs.get_season(office.read_records(), season)
    return PREPARING if standing is None else standing.phase


def _make_sites(applicants: Applicants) -> Iterator[Task]:
    rules, stalls = applicants.rules, applicants.stalls
    rows = []
    for site in range(rules.sites):
        for trade in sorted({trade for trade, _ in stalls}):
            quota = [stalls.get((trade, pool), [0] * rules.sites)[site] for pool in POOLS]
            if any(quota):
                individuals, farmers, firms = quota
                rows.append((site, trade, [(individuals, farmers, firms)] * rules.periods))
    for first in range(0, len(rows), ROWS_PER_TASK):
        some = rows[first : first + ROWS_PER_TASK]
        yield fairs.ADD_SITES, fairs.make_add_sites(rules.season, some)


def _make_moves(season: int, sites: int) -> Iterator[Task]:
    for _ in range(-(-sites // BATCH_MAX)):
        yield fairs.MOVE_POOLS, fairs.make_move_pools(season, BATCH_MAX)


def _make_round(office: Office, season: int) -> Iterator[Task]:
    records = office.read_records()
    standing = fairs.get_season(records, season)
    assert standing is not None
    passes = ((INDIVIDUALS, 1), (FARMERS, 1 + (not standing.round)),
              (FIRMS, 1 + (not standing.round)))
    items = sum(fairs.get_filed(records, season, pool) * times for pool, times in passes)
    for _ in range(max(1, -(-items // BATCH_MAX))):
        yield fairs.ALLOCATE_BATCH, fairs.make_allocate_batch(season, BATCH_MAX)


def _make_lists(office: Office, season: int) -> Iterator[Task]:
    records = office.read_records()
    items = sum(fairs.get_filed(records, season, pool) for pool in POOLS)
    for _ in range(max(1, -(-items // BATCH_MAX))):
        yield fairs.FINISH_SEASON, fairs.make_finish_season(season, BATCH_MAX)
