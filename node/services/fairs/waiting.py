"""Who got no place waits: a list for each slot and pool, in the order of filing."""

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger
from node.services.call import Call, require_registrar
from node.services.fairs.records import (
    CREATED,
    FINISHED,
    LISTING,
    NUMBER_BYTES,
    POOLS,
    find_season,
    get_filed,
    list_periods,
    make_application_key,
    make_waiting_key,
    put_season,
    read_batch,
    unpack_application,
)


def make_finish_season(season: int, items: int) -> list[Value]:
    """Payload of FinishSeason."""
    return [season, items]


def process_finish_season(ledger: Ledger, call: Call) -> None:
    """Go on writing waiting lists for up to ``items`` applications; the last ends the season.

    Refused: bad payload, not allowed, unknown season, allocation not over, already finished.
    """
    season, left = read_batch(call)
    require_registrar(call)
    standing = find_season(ledger, season)
    if standing.phase != LISTING:
        is_over = standing.phase == FINISHED
        raise Refused("already finished" if is_over else "allocation not over")
    stage, cursor = standing.stage, standing.cursor
    lengths: dict[bytes, int] = {}
    waiting = standing.waiting
    while stage < len(POOLS):
        filed = get_filed(ledger, season, POOLS[stage])
        end = min(cursor + left, filed)
        for number in range(cursor, end):
            waiting += _list_application(ledger, season, POOLS[stage], number, lengths)
        left -= end - cursor
        cursor = end
        if end < filed:
            break
        stage += 1
        cursor = 0
    assert left >= 0
    for key, length in lengths.items():
        ledger.put(key, length.to_bytes(NUMBER_BYTES, "big"))
    phase = LISTING if stage < len(POOLS) else FINISHED
    put_season(ledger, season, standing._replace(
        phase=phase, stage=stage, cursor=cursor, waiting=waiting
    ))


def _list_application(
    ledger: Ledger, season: int, pool: int, number: int, lengths: dict[bytes, int]
) -> int:
    record = ledger.get(make_application_key(season, pool, number))
    assert record is not None
    application = unpack_application(record)
    if application.status != CREATED:
        return 0
    pending = application.wanted & ~(application.granted | application.rejected)
    for period in list_periods(pending):
        key = make_waiting_key(season, application.site, application.trade, period, pool)
        position = lengths.get(key)
        if position is None:
            position = int.from_bytes(ledger.get(key) or b"", "big")
        ledger.put(
            key + position.to_bytes(NUMBER_BYTES, "big"), number.to_bytes(NUMBER_BYTES, "big")
        )
        lengths[key] = position + 1
    return pending.bit_count()
