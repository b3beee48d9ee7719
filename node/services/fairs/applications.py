"""An application for a site and trade: filed, withdrawn, refused.

First come, first served: the contract orders by (filing time, registration number) as a clerk
claims them. Here nobody claims a time: the order is that of the chain, whose block times never
go back, so that (block time, sequence) is the same rule. How far that order differs from the
order of the applicants' clicks is measured outside.
"""

from typing import Final

from node.codec import Value, is_below
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.call import Call, require_registrar
from node.services.fairs.records import (
    CREATED,
    DEMAND_BYTES,
    FARMER,
    FARMERS,
    FIRMS,
    INDIVIDUAL,
    INDIVIDUALS,
    KINDS,
    NUMBER_BYTES,
    OPEN,
    POOLS,
    REFUSED,
    SEASONS_MAX,
    SITES_MAX,
    TRADES,
    VEGETABLES,
    WITHDRAWN,
    Application,
    count_applicant_items,
    find_season,
    list_periods,
    make_applicant_key,
    make_application_key,
    make_demand_key,
    make_filed_key,
    pack_applicant_item,
    pack_application,
    unpack_application,
)

APPLICATIONS_MAX: Final = 200
"""Per applicant and season: twice the sites of the city."""

NUMBERS_MAX: Final = 1 << 32


def make_apply(
    season: int, site: int, trade: int, kind: int, periods: list[int]
) -> list[Value]:
    """Payload of Apply, sent by the applicant; ``periods`` become a mask of bits."""
    return [season, site, trade, kind, sum(1 << period for period in set(periods))]


def make_withdraw(season: int, pool: int, number: int) -> list[Value]:
    """Payload of Withdraw, sent by the applicant."""
    return [season, pool, number]


def make_refuse(season: int, pool: int, number: int) -> list[Value]:
    """Payload of Refuse."""
    return [season, pool, number]


def find_pool(kind: int, trade: int) -> int:
    """The pool in which an applicant competes.

    Individuals sell vegetables only: Refused("vegetables only"). Farmers have a pool of their
    own for vegetables and are firms for the rest.
    """
    assert kind in KINDS
    assert trade in TRADES
    if kind == INDIVIDUAL:
        if trade != VEGETABLES:
            raise Refused("vegetables only")
        return INDIVIDUALS
    return FARMERS if kind == FARMER and trade == VEGETABLES else FIRMS


def process_apply(ledger: Ledger, call: Call) -> None:
    """File an application; its status is CREATED.

    Refused: bad payload, unknown season, not open, late, no such period, vegetables only, no
    such place (nothing of this trade at this site), another applicant kind (one per applicant
    and season), too many applications.
    """
    season, site, trade, kind, wanted = _read_apply(call)
    standing = find_season(ledger, season)
    if standing.phase != OPEN or call.time_ns < standing.opens_ns:
        raise Refused("not open" if standing.phase <= OPEN else "late")
    if call.time_ns >= standing.closes_ns:
        raise Refused("late")
    if wanted >> standing.periods:
        raise Refused("no such period")
    pool = find_pool(kind, trade)
    demand_key = make_demand_key(season, site, trade, pool)
    demand = ledger.get(demand_key)
    if demand is None:
        raise Refused("no such place")
    applicant_key = make_applicant_key(season, call.sender)
    applicant = ledger.get(applicant_key)
    if applicant is None:
        applicant = bytes((kind,))
    elif applicant[0] != kind:
        raise Refused("another applicant kind")
    elif count_applicant_items(applicant) >= APPLICATIONS_MAX:
        raise Refused("too many applications")
    filed_key = make_filed_key(season, pool)
    filed = ledger.get(filed_key)
    number = 0 if filed is None else int.from_bytes(filed, "big")
    assert number < NUMBERS_MAX - 1
    application = Application(
        call.sender, site, trade, kind, CREATED, wanted, 0, 0, call.time_ns, call.sequence
    )
    ledger.put(filed_key, (number + 1).to_bytes(NUMBER_BYTES, "big"))
    ledger.put(make_application_key(season, pool, number), pack_application(application))
    ledger.put(applicant_key, applicant + pack_applicant_item(pool, number))
    ledger.put(demand_key, _change_demand(demand, wanted, 1))


def _read_apply(call: Call) -> tuple[int, int, int, int, int]:
    if len(call.payload) == 5:
        season, site, trade, kind, wanted = call.payload
        if (
            is_below(season, SEASONS_MAX) and is_below(site, SITES_MAX)
            and is_below(trade, len(TRADES) + 1) and trade
            and is_below(kind, len(KINDS)) and is_below(wanted, 1 << 32) and wanted
        ):
            return season, site, trade, kind, wanted
    raise Refused(BAD_PAYLOAD)


def _change_demand(demand: bytes, wanted: int, change: int) -> bytes:
    # The counters are digits of one big number: one addition changes all wanted periods. None
    # of them overflows or borrows, for a counter is what its standing applications added.
    size = len(demand)
    assert size % DEMAND_BYTES == 0
    total = int.from_bytes(demand, "big")
    for period in list_periods(wanted):
        total += change << 8 * (size - DEMAND_BYTES * (period + 1))
    return total.to_bytes(size, "big")


def process_withdraw(ledger: Ledger, call: Call) -> None:
    """Take back one's own application, until the allocation begins; its status is WITHDRAWN.

    Refused: bad payload, unknown season, not open, late, unknown application, not yours,
    already refused, already withdrawn.
    """
    season, pool, number = _read_reference(call)
    application = _find_standing(ledger, season, pool, number)
    if application.applicant != call.sender:
        raise Refused("not yours")
    _end(ledger, season, pool, number, application, WITHDRAWN)


def process_refuse(ledger: Ledger, call: Call) -> None:
    """The registrar refuses an application, until the allocation begins: status REFUSED.

    Refused: bad payload, not allowed, and as for Withdraw.
    """
    season, pool, number = _read_reference(call)
    require_registrar(call)
    application = _find_standing(ledger, season, pool, number)
    _end(ledger, season, pool, number, application, REFUSED)


def _read_reference(call: Call) -> tuple[int, int, int]:
    if len(call.payload) == 3:
        season, pool, number = call.payload
        if (
            is_below(season, SEASONS_MAX) and is_below(pool, len(POOLS))
            and is_below(number, NUMBERS_MAX)
        ):
            return season, pool, number
    raise Refused(BAD_PAYLOAD)


def _find_standing(ledger: Ledger, season: int, pool: int, number: int) -> Application:
    phase = find_season(ledger, season).phase
    if phase != OPEN:
        raise Refused("not open" if phase < OPEN else "late")
    record = ledger.get(make_application_key(season, pool, number))
    if record is None:
        raise Refused("unknown application")
    return unpack_application(record)


def _end(
    ledger: Ledger, season: int, pool: int, number: int, application: Application, status: int
) -> None:
    if application.status != CREATED:
        already = "withdrawn" if application.status == WITHDRAWN else "refused"
        raise Refused(f"already {already}")
    assert application.granted == 0
    demand_key = make_demand_key(season, application.site, application.trade, pool)
    demand = ledger.get(demand_key)
    assert demand is not None
    ended = application._replace(status=status)
    ledger.put(make_application_key(season, pool, number), pack_application(ended))
    ledger.put(demand_key, _change_demand(demand, application.wanted, -1))
