"""What the auctions keep in the ledger, under which keys, and how it is packed.

    auctions/money/     nothing                Money
    auctions/account/   key                    Account
    auctions/terms/     auction                Terms
    auctions/settled/   auction                lots settled so far, 4
    auctions/lot/       auction lot            Lot, from its first valid bid on
    auctions/sealed/    auction lot key        SealedBid, until it is revealed or returned

Numbers in keys are big-endian, auction and lot 4 bytes. All amounts are kopecks.
"""

from struct import Struct
from typing import Final, NamedTuple, TypeGuard

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger
from node.types import Digest, PublicKey

AUCTIONS_MAX: Final = 1 << 32
LOTS_MAX: Final = 1 << 32
HEIGHTS_MAX: Final = 1 << 40
AMOUNT_END: Final = 1 << 53
"""Amounts and all the money together stay below it: exact in JSON and in a browser."""

BATCH_MAX: Final = 500
"""Items in one transaction, as in the fairs."""

ASCENDING: Final = 0
SEALED: Final = 1

MONEY_KEY: Final = b"auctions/money/"
ACCOUNT_KEY: Final = b"auctions/account/"
TERMS_KEY: Final = b"auctions/terms/"
LOT_KEY: Final = b"auctions/lot/"
SEALED_KEY: Final = b"auctions/sealed/"
_SETTLED_KEY: Final = b"auctions/settled/"

MONEY: Final = Struct(">QQ")
ACCOUNT: Final = Struct(">QQ")
TERMS: Final = Struct(">BIQQQQQII")
LOT: Final = Struct(">QIQ32sQIB")
_SEALED_BID: Final = Struct(">32sQQ")


class Money(NamedTuple):
    """``credited`` was paid in by bidders, ``city`` of it was paid for lots.

    At all times the sum of all accounts, free and locked, and ``city`` is ``credited``.
    """

    credited: int
    city: int


class Account(NamedTuple):
    """A bidder's money; ``locked`` stands behind leading bids and sealed bids."""

    free: int
    locked: int


class Terms(NamedTuple):
    """What all lots of an auction have in common; heights are of blocks.

    Bids, or commitments, are taken while ``opens <= height < closes``. Ascending: ``step`` is
    the least increment; a bid within the last ``extension`` heights before a lot's close moves
    it to the bid's height + ``extension``, at most ``extensions_max`` times. Sealed: bids are
    revealed while ``closes <= height < reveal_closes``. What is not of a form is 0.
    """

    form: int
    lots: int
    opens: int
    closes: int
    reveal_closes: int
    reserve: int
    step: int
    extension: int
    extensions_max: int


class Lot(NamedTuple):
    """Where a lot stands; a state proof of its record says who won it, and for how much.

    ``closes`` is the first height at which it is too late (for a sealed bid: to reveal).
    ``sequence`` is the place in the chain of the leading bid, or of its commitment.
    """

    closes: int
    extensions: int
    amount: int
    leader: PublicKey
    sequence: int
    bids: int
    is_settled: int


class SealedBid(NamedTuple):
    """A commitment, the money locked for it, and its place in the chain."""

    commitment: Digest
    deposit: int
    sequence: int


def is_amount(value: Value) -> TypeGuard[int]:
    """Whether ``value`` is a sum of money: 0 < value < 2**53."""
    return type(value) is int and 0 < value < AMOUNT_END


def pack_auction(auction: int) -> bytes:
    """An auction's number as part of a key."""
    return auction.to_bytes(4, "big")


def make_lot_key(auction: int, lot: int) -> bytes:
    """Where the Lot is."""
    return LOT_KEY + (auction << 32 | lot).to_bytes(8, "big")


def make_sealed_key(auction: int, lot: int, bidder: PublicKey) -> bytes:
    """Where the SealedBid is."""
    return SEALED_KEY + (auction << 32 | lot).to_bytes(8, "big") + bidder


def make_settled_key(auction: int) -> bytes:
    """Where the number of settled lots is."""
    return _SETTLED_KEY + pack_auction(auction)


def find_terms(ledger: Ledger, auction: int, form: int) -> Terms:
    """The terms. Raises Refused("unknown auction") or Refused("another form")."""
    record = ledger.get(TERMS_KEY + auction.to_bytes(4, "big"))
    if record is None:
        raise Refused("unknown auction")
    terms = Terms._make(TERMS.unpack(record))
    if terms.form != form:
        raise Refused("another form")
    return terms


def unpack_lot(record: bytes) -> Lot:
    """What the record under ``make_lot_key`` says."""
    return Lot._make(LOT.unpack(record))


def pack_sealed_bid(bid: SealedBid) -> bytes:
    """The record under ``make_sealed_key``."""
    assert 0 < bid.deposit < AMOUNT_END
    return _SEALED_BID.pack(*bid)


def unpack_sealed_bid(record: bytes) -> SealedBid:
    """The inverse of ``pack_sealed_bid``."""
    return SealedBid._make(_SEALED_BID.unpack(record))
