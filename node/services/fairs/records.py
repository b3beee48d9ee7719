"""What the fairs keep in the ledger, under which keys, and how it is packed.

    fairs/season/      season                                    Season
    fairs/site/        season site                               places per period, 2 each
    fairs/row/         season site trade                         a Slot per period, 13 each
    fairs/demand/      season site trade pool                    applications per period, 4 each
    fairs/filed/       season pool                               applications filed, 4
    fairs/applicant/   season key                                kind, then pool number of each
    fairs/application/ season pool number                        Application
    fairs/held/        season key period                         sites, 2 each
    fairs/place/       season site period place                  Holder
    fairs/waiting/     season site trade period pool             length of the list, 4
    fairs/waiting/     season site trade period pool position    number of the application, 4

Numbers are big-endian: season, site and place 2 bytes; application number and position 4; the
rest 1. Applications are numbered per pool from 0 in the order of the chain.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from node.codec import is_below
from node.errors import Refused
from node.ledger import Ledger, Readable
from node.receipt import BAD_PAYLOAD
from node.services.call import Call
from node.types import KEY_BYTES, PublicKey

SEASONS_MAX: Final = 1 << 16
SITES_MAX: Final = 1_000
PERIODS_MAX: Final = 32
SITE_PLACES_MAX: Final = 10_000
BATCH_MAX: Final = 500
"""Items in one transaction, as in the city's contract."""

# Kinds of applicant, in the order of the city's contract
INDIVIDUAL: Final = 0
SOLE_TRADER: Final = 1
LEGAL_ENTITY: Final = 2
INDIVIDUAL_AS_TRADER: Final = 3
FARMER: Final = 4
KINDS = (INDIVIDUAL, SOLE_TRADER, LEGAL_ENTITY, INDIVIDUAL_AS_TRADER, FARMER)

VEGETABLES: Final = 1
MEAT: Final = 2
FISH: Final = 3
FOODSTUFFS: Final = 4
TRADES = (VEGETABLES, MEAT, FISH, FOODSTUFFS)

# Pools of places
INDIVIDUALS: Final = 0
FARMERS: Final = 1
FIRMS: Final = 2
POOLS = (INDIVIDUALS, FARMERS, FIRMS)

# Statuses of an application
CREATED: Final = 1010
REFUSED: Final = 1080
WITHDRAWN: Final = 1190

# Phases of a season
PREPARING: Final = 0
OPEN: Final = 1
BALANCING: Final = 2
ALLOCATING: Final = 3
MOVING: Final = 4
LISTING: Final = 5
FINISHED: Final = 6

DEMAND_BYTES: Final = 4
NUMBER_BYTES: Final = 4
SITE_BYTES: Final = 2
_APPLICANT_ITEM: Final = Struct(">BI")
_SEASON: Final = Struct(">BHBQQBBIBII")
_APPLICATION: Final = Struct(">32sHBBHIIIQQ")
_SLOT: Final = Struct(">HHHHHBBB")
SLOT_BYTES: Final = _SLOT.size
_HOLDER: Final = Struct(">32sBBI")


class Season(NamedTuple):
    """Where a season stands. Applications are taken while ``opens_ns <= time < closes_ns``.

    ``round`` counts passes over all pools, ``stage`` is the step within one, ``cursor`` the
    next item; ``has_moved`` whether this MovePools round moved any place so far. ``granted``
    and ``waiting`` count places given and entries of all waiting lists.
    """

    phase: int
    sites: int
    periods: int
    opens_ns: int
    closes_ns: int
    round: int
    stage: int
    cursor: int
    has_moved: int
    granted: int
    waiting: int


class Application(NamedTuple):
    """One site and trade, wanted for the periods whose bits are set in ``wanted``.

    ``granted`` and ``rejected`` are parts of ``wanted``; a period is rejected when its
    applicant has a place already that excludes this one. ``filed_ns`` is the block's time and
    ``sequence`` the place in the chain: the city's (filing time, registration number).
    """

    applicant: PublicKey
    site: int
    trade: int
    kind: int
    status: int
    wanted: int
    granted: int
    rejected: int
    filed_ns: int
    sequence: int


class Slot(NamedTuple):
    """The places of one trade at one site in one period; ``free`` are by pool.

    Places ``base`` to ``base + taken - 1`` of the site are given. The last three say how often
    places were moved into each pool.
    """

    free_individuals: int
    free_farmers: int
    free_firms: int
    taken: int
    base: int
    moves_individuals: int
    moves_farmers: int
    moves_firms: int

    @property
    def free(self) -> tuple[int, int, int]:
        """Places not given yet, by pool."""
        return self[:3]


class Holder(NamedTuple):
    """Who holds a place, for which trade, and by which application."""

    applicant: PublicKey
    trade: int
    pool: int
    number: int


def read_batch(call: Call) -> tuple[int, int]:
    """(season, items) of a payload ``[season, items]`` with 1 <= items <= BATCH_MAX."""
    if len(call.payload) == 2:
        season, count = call.payload
        if is_below(season, SEASONS_MAX) and is_below(count, BATCH_MAX + 1) and count:
            return season, count
    raise Refused(BAD_PAYLOAD)


def list_periods(mask: int) -> Iterator[int]:
    """The periods whose bits are set, ascending."""
    assert mask >= 0
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def make_season_key(season: int) -> bytes:
    """Where the Season is."""
    return b"fairs/season/" + season.to_bytes(2, "big")


def make_site_key(season: int, site: int) -> bytes:
    """Where the number of places of a site is, per period."""
    return b"fairs/site/" + (season << 16 | site).to_bytes(4, "big")


def make_row_key(season: int, site: int, trade: int) -> bytes:
    """Where the slots of a trade at a site are."""
    return b"fairs/row/" + (season << 24 | site << 8 | trade).to_bytes(5, "big")


def make_demand_key(season: int, site: int, trade: int, pool: int) -> bytes:
    """Where the standing applications to a row are counted."""
    packed = season << 32 | site << 16 | trade << 8 | pool
    return b"fairs/demand/" + packed.to_bytes(6, "big")


def make_filed_key(season: int, pool: int) -> bytes:
    """Where the applications to a pool are counted, those refused or withdrawn included."""
    return b"fairs/filed/" + (season << 8 | pool).to_bytes(3, "big")


def make_applicant_key(season: int, applicant: PublicKey) -> bytes:
    """Where an applicant's kind and applications are."""
    return b"fairs/applicant/" + season.to_bytes(2, "big") + applicant


def make_application_key(season: int, pool: int, number: int) -> bytes:
    """Where the Application is."""
    packed = season << 40 | pool << 32 | number
    return b"fairs/application/" + packed.to_bytes(7, "big")


def make_held_key(season: int, applicant: PublicKey, period: int) -> bytes:
    """Where the sites are at which an applicant has a place in a period."""
    return b"fairs/held/" + season.to_bytes(2, "big") + applicant + period.to_bytes(1, "big")


def make_place_key(season: int, site: int, period: int, place: int) -> bytes:
    """Where the Holder is; a state proof of this record says who holds the place."""
    packed = season << 40 | site << 24 | period << 16 | place
    return b"fairs/place/" + packed.to_bytes(7, "big")


def make_waiting_key(season: int, site: int, trade: int, period: int, pool: int) -> bytes:
    """Where the length of a waiting list is; with a position appended, its entry."""
    packed = season << 40 | site << 24 | trade << 16 | period << 8 | pool
    return b"fairs/waiting/" + packed.to_bytes(7, "big")


def unpack_season(record: bytes) -> Season:
    """The inverse of what ``put_season`` writes."""
    return Season._make(_SEASON.unpack(record))


def find_season(ledger: Ledger, season: int) -> Season:
    """Raises Refused("unknown season")."""
    record = ledger.get(make_season_key(season))
    if record is None:
        raise Refused("unknown season")
    return unpack_season(record)


def put_season(ledger: Ledger, season: int, standing: Season) -> None:
    """Write where a season stands."""
    assert PREPARING <= standing.phase <= FINISHED
    ledger.put(make_season_key(season), _SEASON.pack(*standing))


def pack_application(application: Application) -> bytes:
    """The record of an application."""
    assert application.granted & application.rejected == 0
    assert (application.granted | application.rejected) & ~application.wanted == 0
    return _APPLICATION.pack(*application)


def unpack_application(record: bytes) -> Application:
    """The inverse of ``pack_application``."""
    return Application._make(_APPLICATION.unpack(record))


def pack_slot(slot: Slot) -> bytes:
    """The SLOT_BYTES of one slot."""
    return _SLOT.pack(*slot)


def unpack_slot(row: bytes | bytearray, period: int) -> Slot:
    """The slot of a period in a row's record."""
    return Slot._make(_SLOT.unpack_from(row, period * SLOT_BYTES))


def put_slot(row: bytearray, period: int, slot: Slot) -> None:
    """Write a slot into a row's record."""
    _SLOT.pack_into(row, period * SLOT_BYTES, *slot)


def get_filed(records: Readable, season: int, pool: int) -> int:
    """How many applications were filed to a pool."""
    record = records.get(make_filed_key(season, pool))
    return 0 if record is None else int.from_bytes(record, "big")


def pack_applicant_item(pool: int, number: int) -> bytes:
    """One application in its applicant's record."""
    return _APPLICANT_ITEM.pack(pool, number)


def unpack_applicant_items(record: bytes) -> tuple[tuple[int, int], ...]:
    """(pool, number) of each application in an applicant's record."""
    assert (len(record) - 1) % _APPLICANT_ITEM.size == 0
    return tuple((pool, number) for pool, number in _APPLICANT_ITEM.iter_unpack(record[1:]))


def count_applicant_items(record: bytes) -> int:
    """How many applications an applicant's record names."""
    return (len(record) - 1) // _APPLICANT_ITEM.size


def pack_holder(holder: Holder) -> bytes:
    """The record under ``make_place_key``."""
    assert len(holder.applicant) == KEY_BYTES
    return _HOLDER.pack(*holder)


def unpack_holder(record: bytes) -> Holder:
    """The inverse of ``pack_holder``: what a proven record says."""
    return Holder._make(_HOLDER.unpack(record))
