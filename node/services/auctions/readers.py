"""What anyone may read of the auctions, from a ledger or a state; see also accounts."""

from node.ledger import Readable
from node.services.auctions.records import (
    TERMS,
    TERMS_KEY,
    Lot,
    SealedBid,
    Terms,
    make_lot_key,
    make_sealed_key,
    make_settled_key,
    pack_auction,
    unpack_lot,
    unpack_sealed_bid,
)
from node.types import PublicKey


def get_terms(records: Readable, auction: int) -> Terms | None:
    """The terms of an auction of either form, or None if there is none."""
    record = records.get(TERMS_KEY + pack_auction(auction))
    return None if record is None else Terms._make(TERMS.unpack(record))


def get_settled(records: Readable, auction: int) -> int:
    """How many lots are settled: those with lower numbers."""
    return int.from_bytes(records.get(make_settled_key(auction)) or b"", "big")


def get_lot(records: Readable, auction: int, lot: int) -> Lot | None:
    """Where a lot stands, or None before its first valid bid."""
    record = records.get(make_lot_key(auction, lot))
    return None if record is None else unpack_lot(record)


def get_sealed_bid(
    records: Readable, auction: int, lot: int, bidder: PublicKey
) -> SealedBid | None:
    """A commitment that is neither revealed nor returned, or None."""
    record = records.get(make_sealed_key(auction, lot, bidder))
    return None if record is None else unpack_sealed_bid(record)
