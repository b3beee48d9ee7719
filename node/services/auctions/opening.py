"""An auction is announced: how many lots, by which terms.

The lots of one auction differ by number only, so that a season's 35,568 stall-weekends are one
transaction; a lot's record begins with its first valid bid.
"""

from typing import Final

from node.codec import Value, is_below
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.auctions.records import (
    ASCENDING,
    AUCTIONS_MAX,
    HEIGHTS_MAX,
    LOTS_MAX,
    SEALED,
    TERMS,
    TERMS_KEY,
    Terms,
    is_amount,
    make_settled_key,
    pack_auction,
)
from node.services.call import Call, require_registrar

EXTENSION_MAX: Final = 1 << 16
"""Heights in one extension, and extensions of one lot."""


def make_create_ascending(
    auction: int, *, lots: int, opens: int, closes: int, reserve: int, step: int,
    extension: int, extensions_max: int,
) -> list[Value]:
    """Payload of CreateAscending; see Terms."""
    return [auction, lots, opens, closes, reserve, step, extension, extensions_max]


def make_create_sealed(
    auction: int, *, lots: int, opens: int, closes: int, reveal_closes: int, reserve: int
) -> list[Value]:
    """Payload of CreateSealed; see Terms."""
    return [auction, lots, opens, closes, reveal_closes, reserve]


def process_create_ascending(ledger: Ledger, call: Call) -> None:
    """Announce an ascending auction.

    Refused: bad payload, not allowed, auction known, in the past (``opens`` is not after the
    block that carries this).
    """
    match call.payload:
        case [auction, lots, opens, closes, reserve, step, extension, extensions_max] if (
            is_below(auction, AUCTIONS_MAX) and is_below(lots, LOTS_MAX) and lots
            and is_below(closes, HEIGHTS_MAX) and is_below(opens, closes)
            and is_amount(reserve) and is_amount(step)
            and is_below(extension, EXTENSION_MAX) and is_below(extensions_max, EXTENSION_MAX)
        ):
            terms = Terms(
                ASCENDING, lots, opens, closes, 0, reserve, step, extension, extensions_max
            )
        case _:
            raise Refused(BAD_PAYLOAD)
    _create(ledger, call, auction, terms)


def process_create_sealed(ledger: Ledger, call: Call) -> None:
    """Announce a sealed-bid auction. Refused: as for CreateAscending."""
    match call.payload:
        case [auction, lots, opens, closes, reveal_closes, reserve] if (
            is_below(auction, AUCTIONS_MAX) and is_below(lots, LOTS_MAX) and lots
            and is_below(reveal_closes, HEIGHTS_MAX) and is_below(closes, reveal_closes)
            and is_below(opens, closes) and is_amount(reserve)
        ):
            terms = Terms(SEALED, lots, opens, closes, reveal_closes, reserve, 0, 0, 0)
        case _:
            raise Refused(BAD_PAYLOAD)
    _create(ledger, call, auction, terms)


def _create(ledger: Ledger, call: Call, auction: int, terms: Terms) -> None:
    require_registrar(call)
    key = TERMS_KEY + pack_auction(auction)
    if ledger.get(key) is not None:
        raise Refused("auction known")
    # a lot that is open in the block of its announcement favours whoever ordered that block
    if terms.opens <= call.height:
        raise Refused("in the past")
    assert terms.opens < terms.closes
    ledger.put(key, TERMS.pack(*terms))
    ledger.put(make_settled_key(auction), bytes(4))
