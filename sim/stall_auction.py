"""The stalls' auction as people live it: bidders, the office, and the judge's own book."""

from functools import partial

import numpy as np

from node.crypto import Identity
from node.services import auctions
from sim.arrivals import draw_arrivals
from sim.auction_auditor import AuctionAuditor
from sim.auction_office import REVEAL_NS, Heights, Hours, make_auction_script
from sim.bidders import (
    ASCENDING,
    RESERVE,
    SEALED,
    STEP,
    AuctionRules,
    Bidders,
    get_bid_factory,
)
from sim.crowd import LEAD_NS, Crowd
from sim.electorate import Rows
from sim.fairs_day import FairsDay, make_visitors
from sim.hosted import HostedCity
from sim.inversions import count_inversions
from sim.load import Moments
from sim.metrics import Metrics
from sim.office import Office
from sim.place_proofs import Condition, judge_proofs
from sim.result import InvariantOutcome
from sim.signing import SignedStore
from sim.streams import Streams
from sim.times import SECOND_NS
from sim.voter_columns import State
from sim.workers import open_crew
from sim.workload import StallAuction

SNIPERS_RATIO = 0.02
"""Of bidders, who wait for the last minute (assumed)."""

SNIPING_NS = 60 * SECOND_NS
REVEALING_SHARE = 0.8
"""Of the time for reveals, in which bidders open their bids (assumed)."""

PROOFS_MAX = 20


class AuctionRoom:
    """What bidders look at before they act, and when sealed bids are opened."""

    def __init__(self, city: HostedCity, bidders: Bidders, heights: Heights) -> None:
        self._city = city
        self._bidders = bidders
        self._heights = heights
        self._crowd: Crowd | None = None
        self._is_opening = False
        self.amounts: Rows = np.zeros(bidders.rules.users, np.int64)

    def serve(self, crowd: Crowd) -> None:
        """Let this crowd in."""
        self._crowd = crowd
        crowd.upon_seen = self.upon_seen

    def look(self, slots: Rows, now_ns: int) -> Rows | None:
        """What open bids say: some steps above the price that each bidder's relay shows."""
        assert now_ns == self._city.kernel.now_ns
        assert self._crowd is not None
        rules = self._bidders.rules
        # who opens a sealed bid has nothing to look up
        if not len(slots) or int(slots.min()) >= rules.users:
            return None
        amounts = np.zeros(len(slots), np.int64)
        lots = self._bidders.lots_of(slots)
        is_open = lots >= rules.sealed_lots
        rows = slots[is_open]
        relays = self._crowd.columns.relay[rows].tolist()
        shown = {relay: self._city.read_records(relay) for relay in sorted(set(relays))}
        found = []
        for relay, lot, raises in zip(
            relays, (lots[is_open] - rules.sealed_lots).tolist(),
            self._bidders.raises_of(rows).tolist(), strict=True,
        ):
            records = shown[relay]
            record = None if records is None else auctions.get_lot(records, ASCENDING, lot)
            base = RESERVE - STEP if record is None else record.amount
            found.append(base + STEP * raises)
        self.amounts[rows] = found
        amounts[is_open] = found
        return amounts

    def upon_height(self, at_ns: int, height: int) -> None:
        """Once a commitment can no longer come in time, bidders begin to open theirs."""
        heights = self._heights
        heights.now = height
        # what is sent from here on is in the block of height ``closes`` at the earliest
        if self._is_opening or not heights.closes or height < heights.closes - 1:
            return
        self._is_opening = True
        assert self._crowd is not None
        users = self._bidders.rules.users
        final = np.flatnonzero(self._crowd.columns.state[:users] == State.FINAL)
        self._open(final, at_ns)

    def upon_seen(self, slots: Rows, seen_ns: Rows) -> None:
        """Whose commitment is confirmed only after the close opens it as the others do."""
        if self._is_opening:
            firsts = slots < self._bidders.rules.users
            self._open(slots[firsts], int(seen_ns.max()))

    def _open(self, rows: Rows, at_ns: int) -> None:
        assert self._crowd is not None
        reveals = self._bidders.slots.seconds_of(rows)
        rows, reveals = rows[reveals >= 0], reveals[reveals >= 0]
        span_ns = REVEALING_SHARE * REVEAL_NS - 2 * LEAD_NS
        delays = (self._bidders.moments_of(rows) * span_ns).astype(np.int64)
        self._crowd.plan(reveals, at_ns + LEAD_NS + delays)


def make_stall_auction(
    *, city: HostedCity, workload: StallAuction, users: int, seed: int, chief: Identity,
    streams: Streams, midnight_ns: int, workers: int,
) -> FairsDay:
    """The people of a stalls' auction, ready to start."""
    arrivals = draw_arrivals(workload, users, streams, midnight_ns)
    closes_ns = arrivals.closes_ns
    rules = AuctionRules(
        seed=seed, users=users, chain_id=city.chain_id, lots=workload.lots,
        sealed_ratio=workload.sealed_ratio,
    )
    bidders = Bidders(rules)
    heights = Heights()
    room = AuctionRoom(city, bidders, heights)
    visitors = make_visitors(
        city=city, slots=bidders.slots, crew=open_crew(get_bid_factory(rules), workers),
        intended_ns=snipe(arrivals.moments_ns, closes_ns, streams("snipers")),
        key=rules.derive_key(b"relay"), reads_per_user=workload.reads_per_user,
        prepare=room.look,
    )
    crowd, store = visitors.crowd, visitors.store
    room.serve(crowd)
    hours = Hours(
        opens_ns=arrivals.opens_ns, closes_ns=closes_ns,
        block_interval_ns=city.params.block_interval_ns,
    )
    script = make_auction_script(
        bidders, store, crowd.columns, hours, heights, lambda: crowd.is_done
    )
    return FairsDay(
        city=city, visitors=visitors, subject="bid",
        office=Office(city=city, chief=chief, script=script), opens_ns=arrivals.opens_ns,
        closes_ns=closes_ns + REVEAL_NS, upon_height=room.upon_height,
        judge=lambda metrics: judge_auction(
            city, bidders, crowd, store, room.amounts, heights, metrics
        ),
    )


def snipe(clicks_ns: Moments, closes_ns: int, stream: np.random.Generator) -> Moments:
    """The clicks, some of them moved into the last minute before the close; sorted."""
    moved = clicks_ns.copy()
    chosen = stream.random(len(moved)) < SNIPERS_RATIO
    late = stream.random(int(chosen.sum())) * SNIPING_NS
    moved[chosen] = closes_ns - 1 - late.astype(np.int64)
    moved.sort()
    assert int(moved[-1]) < closes_ns
    return moved


def judge_auction(
    city: HostedCity, bidders: Bidders, crowd: Crowd, store: SignedStore, amounts: Rows,
    heights: Heights, metrics: Metrics,
) -> tuple[InvariantOutcome, ...]:
    """Fill in the fairs' metrics; the auctions' invariants."""
    rules, columns = bidders.rules, crowd.columns
    records = city.read_final_state()
    audit = AuctionAuditor(bidders, columns, store.keys, amounts, heights, records).audit()
    slots = np.flatnonzero(columns.sequence[: rules.users] >= 0)
    slots = slots[~bidders.is_sealed(slots)]
    inversions = count_inversions(
        bidders.lots_of(slots), columns.intended_ns[slots], columns.sequence[slots]
    )
    metrics.put("fairs.lots.count", rules.lots)
    metrics.put("fairs.sold.count", audit.sold)
    metrics.put("fairs.bids.count", audit.bids)
    metrics.put("fairs.extensions.count", audit.extensions)
    metrics.put("fairs.unrevealed.count", audit.unrevealed)
    metrics.put("fairs.paid.sum", audit.paid)
    metrics.put("fairs.money_conserved", int(audit.is_conserved))
    metrics.put("fairs.inversions.count", inversions.inverted)
    metrics.put("fairs.inversions.ratio", inversions.ratio)
    metrics.count("lost.count", audit.lost)  # beside what the crowd never heard of again
    metrics.put("double.count", audit.doubled)
    metrics.put("auditor.mismatch.count", audit.mismatches)
    return (*audit.describe(), judge_proofs(city, list_lots(bidders, city)))


def list_lots(bidders: Bidders, city: HostedCity) -> list[tuple[bytes, Condition]]:
    """Some lots' keys, each with what its proven record must say."""
    rules, records = bidders.rules, city.read_final_state()
    wanted: list[tuple[bytes, Condition]] = []
    for number in range(0, rules.lots, max(1, rules.lots // PROOFS_MAX)):
        sealed = number < rules.sealed_lots
        auction = SEALED if sealed else ASCENDING
        lot = number if sealed else number - rules.sealed_lots
        said = auctions.get_lot(records, auction, lot)
        wanted.append((auctions.make_lot_key(auction, lot), partial(_says, said)))
    return wanted


def _says(said: auctions.Lot | None, record: bytes | None) -> bool:
    return said == (None if record is None else auctions.unpack_lot(record))
