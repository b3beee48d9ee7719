"""Every metric there is: its name, unit, which way is better, and what it says.

Names are dotted, units last. The same names stand in code, result.json, thresholds and
documents (reports/README.md is generated from here). A metric is added by adding a row.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sim.errors import ConfigurationError, suggest

Better: TypeAlias = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the registry; ``unit`` is empty for plain counts and 0-or-1 answers."""

    name: str
    unit: str
    better: Better
    about: str


PERCENTILES: dict[str, float] = {
    "p50_s": 0.50, "p90_s": 0.90, "p95_s": 0.95, "p99_s": 0.99, "p999_s": 0.999,
}

PARTS = ("count", "mean_s", *PERCENTILES, "max_s")

# Each is recorded as a histogram and gives .count, .mean_s, .p50_s ... .p999_s and .max_s
DISTRIBUTIONS: dict[str, str] = {
    "latency.accepted": "intended moment until a relay accepted the transaction",
    "latency.included": "intended moment until a block that holds it was proposed",
    "latency.final": "intended moment until its block is final at the user's relay",
    "latency.final_uncorrected": "the same from the moment of sending; it flatters",
    "latency.receipt": "intended moment until the user has checked the receipt's proof",
    "latency.seen95": "intended moment until 95 % of the peers hold its final block",
    "latency.door": "stage: waiting at the city's door before a session",
    "latency.relay": "stage: sending, the relay's check, and gathering into a bundle",
    "latency.pool": "stage: the bundle's wait for a block, until that is proposed",
    "latency.consensus": "stage: from the proposal until the block is final",
    "latency.relayed": "stage: from final anywhere until final at the user's relay",
    "latency.spread": "stage: from final until 95 % of the peers hold the block",
    "blocks.interval": "time between successive final blocks",
    "blocks.half": "from a block being final anywhere until 50 % of the peers hold it",
    "blocks.propagation": "from a block being final anywhere until 95 % of the peers hold it",
}

_ROWS: tuple[tuple[str, str, Better, str], ...] = (
    ("offered.count", "", "higher", "transactions that users meant to send"),
    ("accepted.count", "", "higher", "transactions a relay accepted"),
    ("included.count", "", "higher", "transactions that entered a block"),
    ("final.count", "", "higher", "transactions in final blocks, with their receipts"),
    ("final.ratio", "ratio", "higher", "final.count over accepted.count"),
    ("lost.count", "", "lower", "accepted transactions that never became final"),
    ("double.count", "", "lower", "intents that took effect more than once"),
    ("refused.count", "", "lower", "transactions that relays refused, with a reason"),
    ("failed.count", "", "neither", "final transactions recorded as failures, with a reason"),
    ("throughput.final.steady_per_s", "1/s", "higher", "final per second, steady window"),
    ("throughput.final.peak_per_s", "1/s", "higher", "final per second, best minute"),
    ("throughput.offered.peak_per_s", "1/s", "neither", "offered per second, busiest minute"),
    ("backlog.max", "", "lower", "most transactions accepted but not yet final"),
    ("backlog.end", "", "lower", "transactions accepted but not final at the end"),
    ("door.waiting.max", "", "lower", "most users waiting at the door at once"),
    ("blocks.count", "", "neither", "final blocks"),
    ("blocks.empty.count", "", "neither", "final blocks without transactions"),
    ("blocks.bytes", "bytes", "neither", "encoded final blocks together"),
    ("rounds.changed.count", "", "lower", "round changes of validators"),
    ("forks.count", "", "lower", "heights at which two blocks were final"),
    ("network.bytes", "bytes", "lower", "bytes put on links"),
    ("network.frames", "", "lower", "frames put on links"),
    ("network.duplicates.count", "", "lower", "copies of what the receiver already had"),
    ("network.dropped.count", "", "lower", "frames lost by links, faults and full queues"),
    ("engine.events", "", "lower", "events of the kernel"),
    ("engine.events_per_s", "1/s", "higher", "events of the kernel per wall second"),
    ("engine.main_s", "s", "lower", "processor time of the main process"),
    ("engine.events_per_block_and_peer", "", "lower", "kernel events per block and peer"),
    ("cluster.cpu_s", "s", "lower", "processor time of all nodes' processes, if they are real"),
    ("cluster.late_s", "s", "lower", "how late the latest 1 % were sent, in the city's time"),
    ("cluster.reads.count", "", "neither", "read requests that relays' processes answered"),
    ("cluster.reads.left_out.count", "", "lower", "read requests not sent, for want of room"),
    ("users.count", "", "neither", "users of the scenario"),
    ("users.abandoned.count", "", "neither", "sessions given up before casting"),
    ("users.revoted.count", "", "neither", "users who voted again"),
    ("users.retries.count", "", "lower", "tries after the first"),
    ("users.gave_up.count", "", "lower", "users who stopped trying without a receipt"),
    ("users.read_requests.count", "", "neither", "read requests served by relays"),
    ("users.proofs_checked.count", "", "higher", "receipts checked against a final header"),
    ("tally.counted.count", "", "neither", "ballots counted by the tally"),
    ("tally.spoiled.count", "", "lower", "ballots that could not be opened or were invalid"),
    ("auditor.mismatch.count", "", "lower", "where the judge's count is not the chain's"),
    ("sync.late.count", "", "neither", "peers that joined or came back late"),
    ("sync.finished.count", "", "higher", "late peers that reached the head"),
    ("sync.recounted.count", "", "higher", "late peers whose recount equals the tally"),
    ("fairs.places.count", "", "neither", "places on offer"),
    ("fairs.applications.count", "", "neither", "applications recorded on the chain"),
    ("fairs.allocated.count", "", "higher", "places given to applicants"),
    ("fairs.waiting.count", "", "neither", "applications left on the waiting list"),
    ("fairs.refused.count", "", "neither", "applications and bids recorded as refused"),
    ("fairs.inversions.count", "", "lower", "pairs served in another order than they clicked"),
    ("fairs.inversions.ratio", "ratio", "lower", "inversions over all pairs that compete"),
    ("fairs.double.count", "", "lower", "places given twice, or against the weekend rule"),
    ("fairs.lots.count", "", "neither", "lots put up for auction"),
    ("fairs.sold.count", "", "higher", "lots sold"),
    ("fairs.bids.count", "", "neither", "bids recorded on the chain"),
    ("fairs.extensions.count", "", "neither", "closings moved by a late bid"),
    ("fairs.unrevealed.count", "", "neither", "sealed bids never opened"),
    ("fairs.paid.sum", "", "neither", "what winners paid, in the auction's money"),
    ("fairs.money_conserved", "", "higher", "1 if money in equals money out and held, else 0"),
    ("little.ratio", "ratio", "neither", "users in the system over arrival rate times stay"),
    ("low_load_wait.ratio", "ratio", "neither", "wait at low load over half a block + spread"),
    ("wall_s", "s", "lower", "wall time of the run"),
    ("virtual_s", "s", "neither", "virtual time of the run"),
    ("speed_ratio", "ratio", "higher", "virtual time over wall time"),
    ("rss_peak_mb", "MB", "lower", "peak memory of all processes"),
    ("crypto_floor_s", "s", "neither", "what the run's cryptography alone costs, same cores"),
    ("wall_over_floor", "ratio", "lower", "wall_s over crypto_floor_s"),
    ("workers.count", "", "neither", "worker processes that made users' ballots"),
)


def _build() -> dict[str, Metric]:
    rows = list(_ROWS)
    for name, about in DISTRIBUTIONS.items():
        rows.append((f"{name}.count", "", "neither", f"samples: {about}"))
        rows.extend((f"{name}.{part}", "s", "lower", about) for part in PARTS[1:])
    registry = {
        name: Metric(name=name, unit=unit, better=better, about=about)
        for name, unit, better, about in rows
    }
    assert len(registry) == len(rows), "a metric has two rows"
    return registry


REGISTRY: dict[str, Metric] = _build()


def get_metric(name: str, field: str = "metric") -> Metric:
    """The registry's row; ConfigurationError that suggests a name if there is none."""
    metric = REGISTRY.get(name)
    if metric is None:
        family = name.partition(".")[0]
        # the names of its own family first, for they are the likeliest to be meant
        known = sorted(REGISTRY, key=lambda other: other.partition(".")[0] != family)
        remedy = suggest(name, known, listed_in="reports/README.md")
        raise ConfigurationError(field, name, remedy)
    return metric


def require_distribution(name: str) -> None:
    """ConfigurationError that suggests a name if no histogram is kept under this one."""
    if name not in DISTRIBUTIONS:
        remedy = suggest(name, DISTRIBUTIONS, listed_in="reports/README.md")
        raise ConfigurationError("distribution", name, remedy)
