"""Places are given, application by application, in the order of filing.

One round goes over the three pools. Individuals get one place per period anywhere. Farmers and
then firms are gone over twice: at first an applicant gets one place per period anywhere, then
more, but never two at one site in one period. Once MovePools has moved places, another round
goes over everyone who still waits, for farmers and firms by the second of their rules only.

What an applicant holds counts in all pools, so that a farmer who is a firm for cheese has one
place per site and period too; the contract kept that per pool.
"""

from typing import Final, NamedTuple

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger
from node.services.call import Call, require_registrar
from node.services.fairs.records import (
    ALLOCATING,
    CREATED,
    FARMERS,
    FIRMS,
    INDIVIDUALS,
    MOVING,
    SITE_BYTES,
    Holder,
    Season,
    Slot,
    find_season,
    get_filed,
    list_periods,
    make_application_key,
    make_held_key,
    make_place_key,
    make_row_key,
    pack_application,
    pack_holder,
    put_season,
    put_slot,
    read_batch,
    unpack_application,
    unpack_slot,
)

# Rules for an applicant who has a place in the period already
_ONE: Final = 0  # the period is rejected
_FIRST: Final = 1  # not now
_MORE: Final = 2  # rejected if that place is at the same site, else one more

_FIRST_ROUND = (
    (INDIVIDUALS, _ONE), (FARMERS, _FIRST), (FARMERS, _MORE), (FIRMS, _FIRST), (FIRMS, _MORE)
)
_LATER_ROUNDS = ((INDIVIDUALS, _ONE), (FARMERS, _MORE), (FIRMS, _MORE))


class _Stage(NamedTuple):
    """What all applications of one step have in common; rows are written back at the end."""

    season: int
    pool: int
    rule: int
    rows: dict[bytes, bytearray]


def make_allocate_batch(season: int, items: int) -> list[Value]:
    """Payload of AllocateBatch."""
    return [season, items]


def process_allocate_batch(ledger: Ledger, call: Call) -> None:
    """Go on with the round for up to ``items`` applications; it may end before that.

    How a round is cut into batches does not change its outcome.

    Refused: bad payload, not allowed, unknown season, not allocating (MovePools comes first).
    """
    season, left = read_batch(call)
    require_registrar(call)
    standing = find_season(ledger, season)
    if standing.phase != ALLOCATING:
        raise Refused("not allocating")
    put_season(ledger, season, _allocate(ledger, season, standing, left))


def _allocate(ledger: Ledger, season: int, standing: Season, left: int) -> Season:
    stages = _LATER_ROUNDS if standing.round else _FIRST_ROUND
    stage, cursor, granted = standing.stage, standing.cursor, standing.granted
    rows: dict[bytes, bytearray] = {}
    while stage < len(stages):
        pool, rule = stages[stage]
        filed = get_filed(ledger, season, pool)
        end = min(cursor + left, filed)
        step = _Stage(season, pool, rule, rows)
        for number in range(cursor, end):
            granted += _allocate_application(ledger, step, number)
        left -= end - cursor
        cursor = end
        if end < filed:
            break
        stage += 1
        cursor = 0
    assert left >= 0
    for key, row in rows.items():
        ledger.put(key, bytes(row))
    if stage < len(stages):
        return standing._replace(stage=stage, cursor=cursor, granted=granted)
    return standing._replace(phase=MOVING, stage=0, cursor=0, has_moved=0, granted=granted)


def _allocate_application(ledger: Ledger, step: _Stage, number: int) -> int:
    season, pool, rule, rows = step
    key = make_application_key(season, pool, number)
    record = ledger.get(key)
    assert record is not None
    application = unpack_application(record)
    pending = application.wanted & ~(application.granted | application.rejected)
    if application.status != CREATED or not pending:
        return 0
    applicant, site, trade = application[:3]
    row_key = make_row_key(season, site, trade)
    row = rows.get(row_key)
    if row is None:
        row = rows[row_key] = bytearray(ledger.get(row_key) or b"")
    site_bytes = site.to_bytes(SITE_BYTES, "big")
    granted = rejected = 0
    for period in list_periods(pending):
        held_key = make_held_key(season, applicant, period)
        held = ledger.get(held_key) or b""
        if held:
            if rule == _ONE or (rule == _MORE and _has_site(held, site_bytes)):
                rejected |= 1 << period
                continue
            if rule == _FIRST:
                continue
        place = _take_place(row, period, pool)
        if place is not None:
            granted |= 1 << period
            ledger.put(held_key, held + site_bytes)
            holder = Holder(applicant, trade, pool, number)
            ledger.put(make_place_key(season, site, period, place), pack_holder(holder))
    if granted or rejected:
        ledger.put(key, pack_application(application._replace(
            granted=application.granted | granted, rejected=application.rejected | rejected,
        )))
    return granted.bit_count()


def _has_site(held: bytes, site: bytes) -> bool:
    return any(
        held[at : at + SITE_BYTES] == site for at in range(0, len(held), SITE_BYTES)
    )


def _take_place(row: bytearray, period: int, pool: int) -> int | None:
    slot = unpack_slot(row, period)
    free = list(slot.free)
    if not free[pool]:
        return None
    free[pool] -= 1
    put_slot(row, period, Slot._make((*free, slot.taken + 1, *slot[4:])))
    return slot.base + slot.taken
