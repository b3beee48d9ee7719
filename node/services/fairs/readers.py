"""What anyone may read of the fairs, from a ledger or a state."""

from struct import unpack

from node.ledger import Readable
from node.services.fairs.records import (
    NUMBER_BYTES,
    SLOT_BYTES,
    Application,
    Holder,
    Season,
    Slot,
    make_applicant_key,
    make_application_key,
    make_place_key,
    make_row_key,
    make_season_key,
    make_site_key,
    make_waiting_key,
    unpack_applicant_items,
    unpack_application,
    unpack_holder,
    unpack_season,
    unpack_slot,
)
from node.types import PublicKey


def get_season(records: Readable, season: int) -> Season | None:
    """Where a season stands, or None if there is none."""
    record = records.get(make_season_key(season))
    return None if record is None else unpack_season(record)


def get_site_places(records: Readable, season: int, site: int) -> tuple[int, ...]:
    """How many places a site has in each period; empty for a site without rows."""
    record = records.get(make_site_key(season, site)) or b""
    return unpack(f">{len(record) // 2}H", record)


def get_row(records: Readable, season: int, site: int, trade: int) -> tuple[Slot, ...]:
    """The slots of a trade at a site, one per period; empty if there are none."""
    record = records.get(make_row_key(season, site, trade)) or b""
    assert len(record) % SLOT_BYTES == 0
    return tuple(unpack_slot(record, period) for period in range(len(record) // SLOT_BYTES))


def get_application(
    records: Readable, season: int, pool: int, number: int
) -> Application | None:
    """One application, or None."""
    record = records.get(make_application_key(season, pool, number))
    return None if record is None else unpack_application(record)


def get_applications(
    records: Readable, season: int, applicant: PublicKey
) -> tuple[tuple[int, int], ...]:
    """(pool, number) of each application of one applicant, in the order of filing."""
    record = records.get(make_applicant_key(season, applicant))
    return () if record is None else unpack_applicant_items(record)


def get_holder(
    records: Readable, season: int, site: int, period: int, place: int
) -> Holder | None:
    """Who holds a place, or None while it is free."""
    record = records.get(make_place_key(season, site, period, place))
    return None if record is None else unpack_holder(record)


def get_waiting(
    records: Readable, season: int, site: int, trade: int, period: int, pool: int
) -> tuple[int, ...]:
    """Numbers of the applications that wait for a slot, first come first; set at the end."""
    key = make_waiting_key(season, site, trade, period, pool)
    length = int.from_bytes(records.get(key) or b"", "big")
    numbers = []
    for position in range(length):
        record = records.get(key + position.to_bytes(NUMBER_BYTES, "big"))
        assert record is not None
        numbers.append(int.from_bytes(record, "big"))
    return tuple(numbers)
