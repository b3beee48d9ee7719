"""The auctions' office: credits everyone's money, announces, settles, returns deposits.

Auctions run by heights of blocks, which the office reckons from the hours shortly before the
opening; if blocks come late, the auction closes as much later.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from node.services import auctions
from node.services import identity as rights
from sim.bidders import ASCENDING, RESERVE, SEALED, STEP, Bidders
from sim.crowd import CrowdColumns
from sim.electorate import Rows
from sim.office import Office, Script, Step, Task
from sim.signing import SignedStore
from sim.times import SECOND_NS

BATCH = 500
TICKETS_AHEAD = 64
ANNOUNCED_NS = 120 * SECOND_NS
"""Before the opening."""

REVEAL_NS = 1_800 * SECOND_NS
EXTENSION_BLOCKS = 12
EXTENSIONS_MAX = 20
MARGIN_BLOCKS = 12
"""At least so many between the announcement and the opening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When the auctions are meant to open and close, and the chain's pace."""

    opens_ns: int
    closes_ns: int
    block_interval_ns: int


@dataclass(slots=True)
class Heights:
    """The terms as announced; 0 until they are. ``now`` is the greatest final height."""

    opens: int = 0
    closes: int = 0
    reveal_closes: int = 0
    now: int = 0


def make_auction_script(
    bidders: Bidders, store: SignedStore, columns: CrowdColumns, hours: Hours,
    heights: Heights, is_over: Callable[[], bool],
) -> Script:
    """``is_over`` tells when no bidder does anything any more."""
    rules = bidders.rules
    sizes = {ASCENDING: rules.lots - rules.sealed_lots, SEALED: rules.sealed_lots}

    def is_settling(now_ns: int) -> bool:
        assert now_ns >= 0
        return heights.now >= heights.reveal_closes and is_over()

    def run(office: Office) -> Iterator[Step]:
        yield Step(name="set-up", tasks=iter((
            (rights.ENABLE_SERVICE, rights.make_enable_service("auctions")),
            (rights.LOCK_SERVICES, rights.make_lock_services()),
        )))
        yield Step(name="credits", tasks=_make_credits(bidders, store))
        announced_ns = hours.opens_ns - ANNOUNCED_NS
        while not all(_has_terms(office, number) for number in sizes if sizes[number]):
            # The tasks are made when the hour has come; too late an opening is tried again.
            yield Step(
                name="announcement", tasks=_announce(sizes, hours, heights, office),
                is_due=lambda now_ns: now_ns >= announced_ns,
            )
        for number, lots in sizes.items():
            while auctions.get_settled(office.read_records(), number) < lots:
                yield Step(
                    name="settlement", tasks=_make_settlement(number, lots),
                    is_due=is_settling,
                )
        yield Step(name="deposits", tasks=_make_returns(bidders, store, columns, office))

    return run


def _has_terms(office: Office, number: int) -> bool:
    return auctions.get_terms(office.read_records(), number) is not None


def _make_credits(bidders: Bidders, store: SignedStore) -> Iterator[Task]:
    users = bidders.rules.users
    tickets: deque[tuple[int, Rows]] = deque()
    for first in range(0, users, BATCH):
        rows = np.arange(first, min(first + BATCH, users), dtype=np.int64)
        tickets.append((store.ask_keys(rows), rows))
        if len(tickets) > TICKETS_AHEAD:
            yield _credit(bidders, store, *tickets.popleft())
    while tickets:
        yield _credit(bidders, store, *tickets.popleft())


def _credit(bidders: Bidders, store: SignedStore, ticket: int, rows: Rows) -> Task:
    keys = store.take_keys(ticket, rows)
    amounts = bidders.credits_of(rows).astype(">i8").tobytes()
    return auctions.CREDIT_ACCOUNTS, [keys, amounts]


def _announce(
    sizes: dict[int, int], hours: Hours, heights: Heights, office: Office
) -> Iterator[Task]:
    interval_ns = hours.block_interval_ns
    ahead = (hours.opens_ns - office.now_ns) // interval_ns - 1
    heights.opens = heights.now + max(MARGIN_BLOCKS, ahead)
    heights.closes = heights.opens + max(1, (hours.closes_ns - hours.opens_ns) // interval_ns)
    heights.reveal_closes = heights.closes + REVEAL_NS // interval_ns
    if sizes[ASCENDING] and not _has_terms(office, ASCENDING):
        yield auctions.CREATE_ASCENDING, auctions.make_create_ascending(
            ASCENDING, lots=sizes[ASCENDING], opens=heights.opens, closes=heights.closes,
            reserve=RESERVE, step=STEP, extension=EXTENSION_BLOCKS,
            extensions_max=EXTENSIONS_MAX,
        )
    if sizes[SEALED] and not _has_terms(office, SEALED):
        yield auctions.CREATE_SEALED, auctions.make_create_sealed(
            SEALED, lots=sizes[SEALED], opens=heights.opens, closes=heights.closes,
            reveal_closes=heights.reveal_closes, reserve=RESERVE,
        )


def _make_settlement(number: int, lots: int) -> Iterator[Task]:
    for _ in range(-(-lots // BATCH)):
        yield auctions.SETTLE_LOTS, auctions.make_settle_lots(number, BATCH)


def _make_returns(
    bidders: Bidders, store: SignedStore, columns: CrowdColumns, office: Office
) -> Iterator[Task]:
    """Deposits of sealed bids that the chain still holds, lot by lot."""
    users = bidders.rules.users
    rows = np.arange(users, dtype=np.int64)
    sent = bidders.is_sealed(rows) & (columns.tries[:users] > 0)
    seconds = bidders.slots.seconds_of(rows)
    sent &= (seconds < 0) | (columns.status[seconds] != 1)
    rows = rows[sent]
    lots = bidders.lots_of(rows)
    order = np.argsort(lots, kind="stable")
    records = office.read_records()
    waiting: dict[int, list[bytes]] = {}
    for row, lot in zip(rows[order].tolist(), lots[order].tolist(), strict=True):
        key = store.keys[row].tobytes()
        if auctions.get_sealed_bid(records, SEALED, lot, key) is not None:
            waiting.setdefault(lot, []).append(key)
    for lot, keys in waiting.items():
        for first in range(0, len(keys), BATCH):
            some = keys[first : first + BATCH]
            yield auctions.RETURN_DEPOSITS, auctions.make_return_deposits(SEALED, lot, some)
