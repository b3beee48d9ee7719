"""What users waited, from their columns: distributions, stages, the slowest, and the theory.

Everything counts from the moment in which the user meant to send; what it would be from the
moment of sending stands beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.blocks import BlockTable
from sim.electorate import Mask, Rows
from sim.hosted import HostedCity
from sim.metrics import Metrics
from sim.result import SlowTransaction, Stage, TheoryRow
from sim.theory import judge_little, judge_low_load_wait
from sim.voter_columns import ClientColumns, State

SLOWEST: Final = 20
STAGES = (
    ("door", "latency.door", "waiting at the city's door"),
    ("relay", "latency.relay", "to the relay, its check, the answer"),
    ("pool", "latency.pool", "gathered, and waiting for a block"),
    ("consensus", "latency.consensus", "from the proposal until the block is final"),
    ("final", "latency.relayed", "until the user's relay holds it"),
    ("seen by 95 %", "latency.spread", "until 95 % of the peers hold it"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sessions:
    """What is measured: the users' columns, who is who, and when the doors were open.

    ``door_ns`` are the waits at the city's door of those who came in, none where there is none.
    ``samples`` are (moment, transactions under way, users at the door). ``subject`` is what
    they send, in the singular, and ``name_of`` who sent it.
    """

    columns: ClientColumns
    door_ns: Rows
    samples: list[tuple[int, int, int]]
    opens_ns: int
    closes_ns: int
    subject: str
    name_of: Callable[[int], str]

    @property
    def was_seen(self) -> Mask:
        """Of which users have the receipt."""
        seen: Mask = self.columns.state == State.FINAL
        return seen


def describe_latencies(
    metrics: Metrics, sessions: Sessions, city: HostedCity,
) -> tuple[tuple[Stage, ...], tuple[SlowTransaction, ...], tuple[TheoryRow, ...]]:
    """Fill ``metrics`` and describe stages, slowest transactions and theory."""
    columns = sessions.columns
    blocks = city.blocks
    intended = columns.intended_ns
    sent = (columns.tries > 0) & (intended > 0)
    accepted = sent & (columns.accepted_ns > 0)
    final = accepted & (columns.final_ns > 0)
    metrics.mark_many("offered", intended[sent])
    metrics.mark_many("accepted", columns.accepted_ns[accepted])
    metrics.mark_many("final", columns.final_ns[final])
    slots = np.flatnonzero(final)
    heights = find_heights(blocks, columns.included_ns[slots])
    first_ns, most_ns = (np.array(column) for column in (blocks.first_ns, blocks.most_ns))
    intent = intended[slots]
    metrics.record_many("latency.accepted", columns.accepted_ns[accepted] - intended[accepted])
    metrics.record_many("latency.included", columns.included_ns[slots] - intent)
    metrics.record_latency(intent, columns.final_ns[slots] - intent)
    regions = _find_regions(city)[columns.relay[slots]]
    labels = [f"region={name}" for name in city.topology.regions]
    metrics.record_groups("latency.final", columns.final_ns[slots] - intent, regions, labels)
    # A client that backs off has its next sending planned, and may hear of the last one first.
    uncorrected = np.maximum(columns.final_ns[slots] - columns.sent_ns[slots], 0)
    metrics.record_many("latency.final_uncorrected", uncorrected)
    seen = slots[sessions.was_seen[slots]]
    metrics.record_many("latency.receipt", columns.seen_ns[seen] - intended[seen])
    spread = most_ns[heights] > 0
    metrics.record_many("latency.seen95", (most_ns[heights] - intent)[spread])
    metrics.record_many("latency.door", sessions.door_ns)
    metrics.record_many("latency.relay", columns.accepted_ns[slots] - intent)
    # A bundle may be in a block before its relay's answer is back over the last mile.
    pool = np.maximum(columns.included_ns[slots] - columns.accepted_ns[slots], 0)
    metrics.record_many("latency.pool", pool)
    metrics.record_many("latency.consensus", first_ns[heights] - columns.included_ns[slots])
    metrics.record_many(
        "latency.relayed", np.maximum(columns.final_ns[slots] - first_ns[heights], 0)
    )
    metrics.record_many("latency.spread", (most_ns[heights] - first_ns[heights])[spread])
    stages = tuple(
        _make_stage(metrics, *stage) for stage in STAGES
        if metrics.histograms[stage[1]].total or stage[0] != "door"
    )
    slowest = _list_slowest(sessions, slots, heights, first_ns, city)
    theory = _compare_with_theory(metrics, sessions, slots, city)
    return stages, slowest, theory


def count_transactions(metrics: Metrics, columns: ClientColumns) -> None:
    """How many were sent, and how far they came."""
    accepted, final = columns.accepted_ns > 0, columns.final_ns > 0
    metrics.put("offered.count", int((columns.tries > 0).sum()))
    metrics.put("accepted.count", int(accepted.sum()))
    metrics.put("included.count", int((columns.included_ns > 0).sum()))
    metrics.put("final.count", int(final.sum()))
    # a receipt may come by another way than the answer that was lost
    metrics.put("final.ratio", float((final & accepted).sum() / max(1, accepted.sum())))
    retries = np.maximum(columns.tries.astype(np.int64) - 1, 0)
    metrics.put("users.retries.count", int(retries.sum()))


def _find_regions(city: HostedCity) -> Rows:
    topology = city.topology
    assert len(topology.relays) == city.relay_count
    return np.array([topology.peers[relay].region for relay in topology.relays], np.int64)


def find_heights(blocks: BlockTable, included_ns: Rows) -> Rows:
    """The heights of the blocks that were proposed at these moments."""
    # No two blocks have one moment, and a receipt names its block by it: see sim.outcomes.
    proposed = np.array(blocks.proposed_ns)
    heights = np.searchsorted(proposed, included_ns)
    found: Rows = np.minimum(heights, len(proposed) - 1)
    return found


def _make_stage(metrics: Metrics, name: str, distribution: str, about: str) -> Stage:
    histogram = metrics.histograms[distribution]
    if not histogram.total:
        return Stage(name=name, about=about, p50_s=0.0, p99_s=0.0)
    return Stage(
        name=name, about=about, p50_s=histogram.get_quantile_s(0.5),
        p99_s=histogram.get_quantile_s(0.99),
    )


def _list_slowest(
    sessions: Sessions, slots: Rows, heights: Rows, first_ns: Rows, city: HostedCity,
) -> tuple[SlowTransaction, ...]:
    columns = sessions.columns
    total = columns.final_ns[slots] - columns.intended_ns[slots]
    order = np.argsort(-total, kind="stable")[:SLOWEST]
    regions = city.topology.regions
    first_relay = city.topology.config.validators
    found = []
    for at in order.tolist():
        slot, height = int(slots[at]), int(heights[at])
        relay = city.topology.peers[first_relay + int(columns.relay[slot])]
        moments = (
            columns.intended_ns[slot], columns.accepted_ns[slot], columns.included_ns[slot],
            first_ns[height], columns.final_ns[slot],
        )
        # by another relay, or told before the answer came, a later moment may be the earlier
        spans = [max(0.0, float(span) / 1e9) for span in np.diff(moments)]
        found.append(SlowTransaction(
            identity=sessions.name_of(slot),
            intended_s=float(columns.intended_ns[slot] - city.midnight_ns) / 1e9,
            total_s=float(total[at]) / 1e9, region=regions[relay.region],
            tries=int(columns.tries[slot]), block=height,
            stages=tuple(zip(("relay", "pool", "consensus", "final"), spans, strict=True)),
        ))
    return tuple(found)


def _compare_with_theory(
    metrics: Metrics, sessions: Sessions, slots: Rows, city: HostedCity,
) -> tuple[TheoryRow, ...]:
    """Little's law over the whole window, and the wait in the quietest tenth of it."""
    columns, subject = sessions.columns, sessions.subject
    # a stopped run was open for a part of its hours
    opens_ns, closes_ns = sessions.opens_ns, min(sessions.closes_ns, city.kernel.now_ns)
    if closes_ns <= opens_ns:
        return ()
    rows = []
    # The backlog holds a transaction from its first sending on, whatever is sent again.
    sent_ns, final_ns = columns.intended_ns[slots], columns.final_ns[slots]
    within = [level for at_ns, level, _ in sessions.samples if opens_ns <= at_ns < closes_ns]
    if within and len(slots):
        in_system = float(np.mean(within))
        span_ns = closes_ns - opens_ns
        mean_ns = float(np.mean(final_ns - sent_ns))
        row = judge_little(
            mean_in_system=in_system, arrivals_per_s=len(slots) / (span_ns / 1e9),
            mean_stay_s=mean_ns / 1e9, noun=subject,
        )
        rows.append(row)
        metrics.put("little.ratio", row.ratio)
    quiet = _find_quiet(columns.intended_ns[slots], opens_ns, closes_ns)
    if len(slots) and quiet.any():
        chosen = slots[quiet]
        params = city.params
        consensus_s = metrics.histograms["latency.consensus"].get_quantile_s(0.5)
        relayed_s = metrics.histograms["latency.relayed"].get_quantile_s(0.5)
        waited = columns.final_ns[chosen] - columns.accepted_ns[chosen]
        row = judge_low_load_wait(
            block_interval_s=params.block_interval_ns / 1e9,
            propagation_s=params.bundle_lead_ns / 1e9 + consensus_s + relayed_s,
            measured_s=float(np.mean(waited)) / 1e9,
        )
        rows.append(row)
        metrics.put("low_load_wait.ratio", row.ratio)
    return tuple(rows)


def _find_quiet(intended_ns: Rows, opens_ns: int, closes_ns: int) -> Mask:
    bins = 10
    edges = np.linspace(opens_ns, closes_ns, bins + 1)
    counts, _ = np.histogram(intended_ns, edges)
    if not counts.any():
        return np.zeros(len(intended_ns), np.bool_)
    assert opens_ns < closes_ns
    lowest = int(np.argmin(np.where(counts > 0, counts, counts.max() + 1)))
    quiet: Mask = (intended_ns >= edges[lowest]) & (intended_ns < edges[lowest + 1])
    return quiet
