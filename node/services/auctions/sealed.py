"""Sealed bids: committed to by a hash, revealed after the last commitment, highest first.

A deposit is locked with the commitment; it must cover the bid and so tells only its upper bound
(deposit more than you bid). The winner pays the own bid: first price, as a stall's rent is
commonly let, and simple to check. Of equal bids the one committed to first wins, whatever the
order of revealing, so that it does not pay to be quick at the end.

Each reveal is compared with the best so far and nothing else is looked at: whoever loses has
the deposit back at that moment. A bid that is never revealed forfeits nothing, for a citizen
whose device dies between the two phases is no offender; its deposit stays locked until the
reveals close and is then returned to its account by whoever asks for it. The price of this
mildness is that a bidder may look at others' reveals and then keep silent.
"""

from collections.abc import Sequence
from typing import Final

from node.codec import Value, is_below
from node.crypto import digest
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.auctions.accounts import change_account
from node.services.auctions.records import (
    AUCTIONS_MAX,
    BATCH_MAX,
    LOT,
    LOTS_MAX,
    SEALED,
    SealedBid,
    Terms,
    find_terms,
    is_amount,
    make_lot_key,
    make_sealed_key,
    pack_sealed_bid,
    unpack_lot,
    unpack_sealed_bid,
)
from node.services.call import Call
from node.types import DIGEST_BYTES, KEY_BYTES, Digest, PublicKey

SALT_BYTES: Final = 32


def compute_commitment(
    auction: int, lot: int, amount: int, salt: bytes, bidder: PublicKey
) -> Digest:
    """What binds a bidder to an amount; of no use to anyone else or for another lot."""
    assert len(salt) == SALT_BYTES
    assert len(bidder) == KEY_BYTES
    numbers = (auction << 32 | lot).to_bytes(8, "big") + amount.to_bytes(8, "big")
    return digest(b"sealed bid", numbers + salt + bidder)


def make_commit(auction: int, lot: int, commitment: Digest, deposit: int) -> list[Value]:
    """Payload of Commit, sent by the bidder."""
    return [auction, lot, commitment, deposit]


def make_reveal(auction: int, lot: int, amount: int, salt: bytes) -> list[Value]:
    """Payload of Reveal, sent by the bidder."""
    return [auction, lot, amount, salt]


def make_return_deposits(
    auction: int, lot: int, bidders: Sequence[PublicKey]
) -> list[Value]:
    """Payload of ReturnDeposits, sent by anyone; at most BATCH_MAX bidders of one lot."""
    return [auction, lot, b"".join(bidders)]


def process_commit(ledger: Ledger, call: Call) -> None:
    """Lock a deposit behind a hidden bid; one per bidder and lot.

    Refused: bad payload, unknown auction, another form, no such lot, not open, closed, below
    reserve, already committed, not enough money.
    """
    match call.payload:
        case [auction, lot, bytes(commitment), deposit] if (
            is_below(auction, AUCTIONS_MAX) and is_below(lot, LOTS_MAX)
            and len(commitment) == DIGEST_BYTES and is_amount(deposit)
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    terms = _find_lot_terms(ledger, auction, lot)
    if call.height < terms.opens:
        raise Refused("not open")
    if call.height >= terms.closes:
        raise Refused("closed")
    # a deposit bounds the bid from above: below the reserve it could never win
    if deposit < terms.reserve:
        raise Refused("below reserve")
    key = make_sealed_key(auction, lot, call.sender)
    if ledger.get(key) is not None:
        raise Refused("already committed")
    change_account(ledger, call.sender, -deposit, deposit)
    ledger.put(key, pack_sealed_bid(SealedBid(commitment, deposit, call.sequence)))


def process_reveal(ledger: Ledger, call: Call) -> None:
    """Open a bid: it leads or its deposit is free; what exceeds a leading bid is free too.

    Refused: bad payload, unknown auction, another form, no such lot, not open, closed, not
    committed, wrong opening, below reserve, above deposit.
    """
    match call.payload:
        case [auction, lot, amount, bytes(salt)] if (
            is_below(auction, AUCTIONS_MAX) and is_below(lot, LOTS_MAX)
            and is_amount(amount) and len(salt) == SALT_BYTES
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    bidder = call.sender
    terms = _find_lot_terms(ledger, auction, lot)
    if call.height < terms.closes:
        raise Refused("not open")
    if call.height >= terms.reveal_closes:
        raise Refused("closed")
    bid = _find_bid(ledger, auction, lot, bidder)
    if compute_commitment(auction, lot, amount, salt, bidder) != bid.commitment:
        raise Refused("wrong opening")
    if amount < terms.reserve:
        raise Refused("below reserve")
    if amount > bid.deposit:
        raise Refused("above deposit")
    ledger.delete(make_sealed_key(auction, lot, bidder))
    _rank(ledger, make_lot_key(auction, lot), terms, bidder, amount, bid)


def _rank(
    ledger: Ledger, key: bytes, terms: Terms, bidder: PublicKey, amount: int, bid: SealedBid
) -> None:
    record = ledger.get(key)
    bids = 0
    if record is not None:
        lot = unpack_lot(record)
        assert lot.leader != bidder
        assert not lot.is_settled
        bids = lot.bids
        # whoever loses pays nothing, and learns it here rather than at the settlement
        if (amount, -bid.sequence) < (lot.amount, -lot.sequence):
            change_account(ledger, bidder, bid.deposit, -bid.deposit)
            ledger.put(key, LOT.pack(*lot._replace(bids=bids + 1)))
            return
        change_account(ledger, lot.leader, lot.amount, -lot.amount)
    excess = bid.deposit - amount
    change_account(ledger, bidder, excess, -excess)
    ledger.put(key, LOT.pack(
        terms.reveal_closes, 0, amount, bidder, bid.sequence, bids + 1, 0
    ))


def process_return_deposits(ledger: Ledger, call: Call) -> None:
    """After the reveals, unlock what was never revealed; all of these bidders or none.

    Refused: bad payload, unknown auction, another form, no such lot, not closed, not committed.
    """
    match call.payload:
        case [auction, lot, bytes(bidders)] if (
            is_below(auction, AUCTIONS_MAX) and is_below(lot, LOTS_MAX)
            and 0 < len(bidders) <= KEY_BYTES * BATCH_MAX and len(bidders) % KEY_BYTES == 0
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    if call.height < _find_lot_terms(ledger, auction, lot).reveal_closes:
        raise Refused("not closed")
    returned: dict[PublicKey, SealedBid] = {}
    for at in range(0, len(bidders), KEY_BYTES):
        bidder = bidders[at : at + KEY_BYTES]
        # its record is still there until all are known: twice would pay twice
        if bidder in returned:
            raise Refused("not committed")
        returned[bidder] = _find_bid(ledger, auction, lot, bidder)
    for bidder, bid in returned.items():
        ledger.delete(make_sealed_key(auction, lot, bidder))
        change_account(ledger, bidder, bid.deposit, -bid.deposit)


def _find_lot_terms(ledger: Ledger, auction: int, lot: int) -> Terms:
    terms = find_terms(ledger, auction, SEALED)
    if lot >= terms.lots:
        raise Refused("no such lot")
    return terms


def _find_bid(ledger: Ledger, auction: int, lot: int, bidder: PublicKey) -> SealedBid:
    record = ledger.get(make_sealed_key(auction, lot, bidder))
    if record is None:
        raise Refused("not committed")
    return unpack_sealed_bid(record)
