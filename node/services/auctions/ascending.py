"""Ascending bids: who bids more leads, and the money of whom they outbid is free at once.

Each bid touches its lot and two accounts, however many bidders there are. Ties cannot be: a
bid is at least a step above the leader's, so that of two equal bids the earlier stands.
"""

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.auctions.accounts import change_account
from node.services.auctions.records import (
    AMOUNT_END,
    ASCENDING,
    AUCTIONS_MAX,
    LOT,
    LOT_KEY,
    LOTS_MAX,
    find_terms,
)
from node.services.call import Call


def make_bid(auction: int, lot: int, amount: int) -> list[Value]:
    """Payload of Bid, sent by the bidder."""
    return [auction, lot, amount]


def process_bid(ledger: Ledger, call: Call) -> None:
    """Lead a lot. Who leads already may raise the own bid.

    Refused: bad payload, unknown auction, another form, no such lot, not open, closed, below
    reserve, too low, not enough money.
    """
    auction, lot, amount = _read_bid(call)
    (
        _, lots, opens, closes, _, reserve, step, extension, extensions_max
    ) = find_terms(ledger, auction, ASCENDING)
    if lot >= lots:
        raise Refused("no such lot")
    height = call.height
    if height < opens:
        raise Refused("not open")
    bidder = call.sender
    key = LOT_KEY + (auction << 32 | lot).to_bytes(8, "big")
    record = ledger.get(key)
    if record is None:
        extensions = bids = led = 0
        leader = bidder
    else:
        closes, extensions, led, leader, _, bids, _ = LOT.unpack(record)
    if height >= closes:
        raise Refused("closed")
    if amount < reserve:
        raise Refused("below reserve")
    if record is not None and amount < led + step:
        raise Refused("too low")
    # In one step: the own old bid counts as money for the new one.
    if leader == bidder:
        change_account(ledger, bidder, led - amount, amount - led)
    else:
        change_account(ledger, bidder, -amount, amount)
        change_account(ledger, leader, led, -led)
    # Snipers gain nothing by the last moment; bounded, or two bidders could keep a lot open.
    if height + extension > closes and extensions < extensions_max:
        closes = height + extension
        extensions += 1
    assert height < closes
    ledger.put(key, LOT.pack(closes, extensions, amount, bidder, call.sequence, bids + 1, 0))


def _read_bid(call: Call) -> tuple[int, int, int]:
    payload = call.payload
    if len(payload) == 3:
        auction, lot, amount = payload
        if (  # written out, for it runs for every bid
            type(auction) is int and 0 <= auction < AUCTIONS_MAX
            and type(lot) is int and 0 <= lot < LOTS_MAX
            and type(amount) is int and 0 < amount < AMOUNT_END
        ):
            return auction, lot, amount
    raise Refused(BAD_PAYLOAD)
