"""Auctions of stalls: our own extension, for the city's real fairs never auctioned any.

Two forms. Ascending: open bids, each at least a step above the last; a lot closes at a height,
which late bids move, a bounded number of times. Sealed: bids are committed to, then revealed;
the highest pays its own bid. Either way money is conserved to the kopeck, no transaction looks
at more than its lot and two accounts, and batches hold up to 500 items.

Kinds and payloads (amounts in kopecks, 0 < amount < 2**53; times are heights of blocks):
    60 CreditAccounts  [keys(32 each), amounts(8 each, big-endian)]
    61 CreateAscending [auction, lots, opens, closes, reserve, step, extension, extensions_max]
    62 Bid             [auction, lot, amount]                        sent by the bidder
    63 CreateSealed    [auction, lots, opens, closes, reveal_closes, reserve]
    64 Commit          [auction, lot, commitment(32), deposit]       sent by the bidder
    65 Reveal          [auction, lot, amount, salt(32)]              sent by the bidder
    66 ReturnDeposits  [auction, lot, bidders(32 each)]              sent by anyone
    67 SettleLots      [auction, lots]                               sent by anyone
"""

from typing import Final

from node.services.auctions.accounts import (
    get_account,
    get_money,
    make_credit_accounts,
    process_credit_accounts,
)
from node.services.auctions.ascending import make_bid, process_bid
from node.services.auctions.opening import (
    make_create_ascending,
    make_create_sealed,
    process_create_ascending,
    process_create_sealed,
)
from node.services.auctions.readers import get_lot, get_sealed_bid, get_settled, get_terms
from node.services.auctions.records import (
    Account,
    Lot,
    Money,
    SealedBid,
    Terms,
    make_lot_key,
    unpack_lot,
)
from node.services.auctions.sealed import (
    compute_commitment,
    make_commit,
    make_return_deposits,
    make_reveal,
    process_commit,
    process_return_deposits,
    process_reveal,
)
from node.services.auctions.settlement import make_settle_lots, process_settle_lots
from node.services.call import Handler

CREDIT_ACCOUNTS: Final = 60
CREATE_ASCENDING: Final = 61
BID: Final = 62
CREATE_SEALED: Final = 63
COMMIT: Final = 64
REVEAL: Final = 65
RETURN_DEPOSITS: Final = 66
SETTLE_LOTS: Final = 67

HANDLERS: dict[int, Handler] = {
    CREDIT_ACCOUNTS: process_credit_accounts,
    CREATE_ASCENDING: process_create_ascending,
    BID: process_bid,
    CREATE_SEALED: process_create_sealed,
    COMMIT: process_commit,
    REVEAL: process_reveal,
    RETURN_DEPOSITS: process_return_deposits,
    SETTLE_LOTS: process_settle_lots,
}

__all__ = [
    "BID",
    "COMMIT",
    "CREATE_ASCENDING",
    "CREATE_SEALED",
    "CREDIT_ACCOUNTS",
    "HANDLERS",
    "RETURN_DEPOSITS",
    "REVEAL",
    "SETTLE_LOTS",
    "Account",
    "Lot",
    "Money",
    "SealedBid",
    "Terms",
    "compute_commitment",
    "get_account",
    "get_lot",
    "get_money",
    "get_sealed_bid",
    "get_settled",
    "get_terms",
    "make_bid",
    "make_commit",
    "make_create_ascending",
    "make_create_sealed",
    "make_credit_accounts",
    "make_lot_key",
    "make_return_deposits",
    "make_reveal",
    "make_settle_lots",
    "unpack_lot",
]
