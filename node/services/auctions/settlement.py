"""Closed lots are settled in the order of their numbers: the winner's money goes to the city.

Anyone may send it, for there is nothing to choose. A lot that was extended makes those after it
wait; extensions are bounded, so that all lots close.
"""

from node.codec import Value, is_below
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.auctions.accounts import change_account, get_money, put_money
from node.services.auctions.readers import get_settled, get_terms
from node.services.auctions.records import (
    ASCENDING,
    AUCTIONS_MAX,
    BATCH_MAX,
    LOT,
    make_lot_key,
    make_settled_key,
    unpack_lot,
)
from node.services.call import Call


def make_settle_lots(auction: int, lots: int) -> list[Value]:
    """Payload of SettleLots."""
    return [auction, lots]


def process_settle_lots(ledger: Ledger, call: Call) -> None:
    """Settle up to ``lots`` further lots, fewer if one of them is not closed yet.

    Refused: bad payload, unknown auction, already settled, not closed (the very next lot).
    """
    match call.payload:
        case [auction, count] if (
            is_below(auction, AUCTIONS_MAX) and is_below(count, BATCH_MAX + 1) and count
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    terms = get_terms(ledger, auction)
    if terms is None:
        raise Refused("unknown auction")
    first = get_settled(ledger, auction)
    if first == terms.lots:
        raise Refused("already settled")
    closes = terms.closes if terms.form == ASCENDING else terms.reveal_closes
    if call.height < closes:
        raise Refused("not closed")
    paid = 0
    lot = first
    for lot in range(first, min(first + count, terms.lots)):
        amount = _settle_lot(ledger, make_lot_key(auction, lot), call.height)
        if amount is None:
            break
        paid += amount
    else:
        lot += 1
    if lot == first:
        raise Refused("not closed")
    assert first < lot <= terms.lots
    money = get_money(ledger)
    put_money(ledger, money._replace(city=money.city + paid))
    ledger.put(make_settled_key(auction), lot.to_bytes(4, "big"))


def _settle_lot(ledger: Ledger, key: bytes, height: int) -> int | None:
    """What the winner pays, 0 for a lot without bids, None while it is open."""
    record = ledger.get(key)
    if record is None:
        return 0
    lot = unpack_lot(record)
    assert not lot.is_settled
    if height < lot.closes:
        return None
    change_account(ledger, lot.leader, 0, -lot.amount)
    ledger.put(key, LOT.pack(*lot._replace(is_settled=1)))
    return lot.amount
