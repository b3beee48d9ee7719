"""A season before its window: created, its places added, its window opened."""

from collections.abc import Sequence
from struct import pack, unpack, unpack_from
from typing import Final

from node.codec import Value, is_below
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.call import Call, require_registrar
from node.services.fairs.records import (
    BATCH_MAX,
    DEMAND_BYTES,
    FIRMS,
    OPEN,
    PERIODS_MAX,
    POOLS,
    PREPARING,
    SEASONS_MAX,
    SITE_PLACES_MAX,
    SITES_MAX,
    TRADES,
    VEGETABLES,
    Season,
    Slot,
    find_season,
    make_demand_key,
    make_row_key,
    make_season_key,
    make_site_key,
    pack_slot,
    put_season,
)

_TIME_NS_MAX: Final = 1 << 62
_QUOTA_BYTES: Final = 2 * len(POOLS)


def make_create_season(season: int, sites: int, periods: int) -> list[Value]:
    """Payload of CreateSeason; sites and periods are numbered from 0."""
    return [season, sites, periods]


def make_add_sites(
    season: int, rows: Sequence[tuple[int, int, Sequence[tuple[int, int, int]]]]
) -> list[Value]:
    """Payload of AddSites: rows of (site, trade, quotas).

    ``quotas`` has for each period the places of (individuals, farmers, firms).
    """
    items: list[Value] = []
    for site, trade, quotas in rows:
        items.append([site, trade, b"".join(pack(">HHH", *quota) for quota in quotas)])
    return [season, items]


def make_open_window(season: int, opens_ns: int, closes_ns: int) -> list[Value]:
    """Payload of OpenWindow; compared with the times of blocks."""
    return [season, opens_ns, closes_ns]


def process_create_season(ledger: Ledger, call: Call) -> None:
    """Begin a season. Refused: bad payload, not allowed, season known."""
    match call.payload:
        case [season, sites, periods] if (
            is_below(season, SEASONS_MAX) and is_below(sites, SITES_MAX + 1) and sites
            and is_below(periods, PERIODS_MAX + 1) and periods
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    require_registrar(call)
    if ledger.get(make_season_key(season)) is not None:
        raise Refused("season known")
    put_season(ledger, season, Season(PREPARING, sites, periods, 0, 0, 0, 0, 0, 0, 0, 0))


def process_add_sites(ledger: Ledger, call: Call) -> None:
    """Add rows of places, each with its quotas; all of them or none.

    Refused: bad payload, not allowed, unknown season, window set, row known, vegetables only
    (a quota of individuals or farmers in another trade), too many places.
    """
    season, items = _read_rows(call)
    require_registrar(call)
    standing = find_season(ledger, season)
    if standing.phase != PREPARING:
        raise Refused("window set")
    added: dict[bytes, bytes] = {}
    for item in items:
        _add_row(ledger, added, season, standing, item)
    for key, record in added.items():
        ledger.put(key, record)


def _read_rows(call: Call) -> tuple[int, list[Value]]:
    match call.payload:
        case [season, list(items)] if (
            is_below(season, SEASONS_MAX) and 0 < len(items) <= BATCH_MAX
        ):
            return season, items
    raise Refused(BAD_PAYLOAD)


def _add_row(
    ledger: Ledger, added: dict[bytes, bytes], season: int, standing: Season, item: Value
) -> None:
    periods = standing.periods
    match item:
        case [site, trade, bytes(quotas)] if (
            is_below(site, standing.sites) and is_below(trade, len(TRADES) + 1) and trade
            and len(quotas) == _QUOTA_BYTES * periods
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    row_key = make_row_key(season, site, trade)
    if row_key in added or ledger.get(row_key) is not None:
        raise Refused("row known")
    site_key = make_site_key(season, site)
    record = added.get(site_key) or ledger.get(site_key) or bytes(2 * periods)
    places = list(unpack(f">{periods}H", record))
    slots = []
    for period in range(periods):
        individuals, farmers, firms = unpack_from(">HHH", quotas, _QUOTA_BYTES * period)
        if trade != VEGETABLES and individuals + farmers:
            raise Refused("vegetables only")
        # places of a site are numbered through its rows, so that a number names one stall
        base = places[period]
        slots.append(pack_slot(Slot(individuals, farmers, firms, 0, base, 0, 0, 0)))
        places[period] = base + individuals + farmers + firms
        if places[period] > SITE_PLACES_MAX:
            raise Refused("too many places")
    assert len(slots) == periods
    added[row_key] = b"".join(slots)
    added[site_key] = pack(f">{periods}H", *places)
    for pool in POOLS if trade == VEGETABLES else (FIRMS,):
        added[make_demand_key(season, site, trade, pool)] = bytes(DEMAND_BYTES * periods)


def process_open_window(ledger: Ledger, call: Call) -> None:
    """Set the window; from here on no places are added.

    Refused: bad payload, not allowed, unknown season, window set.
    """
    match call.payload:
        case [season, opens_ns, closes_ns] if (
            is_below(season, SEASONS_MAX) and is_below(closes_ns, _TIME_NS_MAX)
            and is_below(opens_ns, closes_ns)
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    require_registrar(call)
    standing = find_season(ledger, season)
    if standing.phase != PREPARING:
        raise Refused("window set")
    assert opens_ns < closes_ns
    opened = standing._replace(phase=OPEN, opens_ns=opens_ns, closes_ns=closes_ns)
    put_season(ledger, season, opened)
