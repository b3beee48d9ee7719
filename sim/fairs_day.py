"""A day of the fairs as people live it: an office, a crowd, and a judge, wired to a city."""

from collections.abc import Callable
from dataclasses import dataclass

from sim.crowd import Crowd, Prepare
from sim.electorate import Rows
from sim.floor import FloorCosts
from sim.hosted import HostedCity
from sim.latencies import Sessions, count_transactions, describe_latencies
from sim.metrics import Metrics
from sim.office import Office
from sim.outcomes import Outcomes
from sim.people import SAMPLE_NS, Counts, Findings
from sim.prover import Prover
from sim.result import InvariantOutcome
from sim.signing import SignedStore
from sim.slots import Slots
from sim.times import HOUR_NS, SECOND_NS
from sim.workers import Crew

AFTER_NS_MAX = 3 * HOUR_NS

Judge = Callable[[Metrics], tuple[InvariantOutcome, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitors:
    """A crowd, what signs for it, and what checks its receipts."""

    crowd: Crowd
    store: SignedStore
    prover: Prover


def make_visitors(
    *, city: HostedCity, slots: Slots, crew: Crew, intended_ns: Rows, key: int,
    reads_per_user: int, prepare: Prepare,
) -> Visitors:
    """Those whose transactions ``crew`` makes; the rest is as ``Crowd`` takes it."""
    prover = Prover(city)
    store = SignedStore(crew, slots.users, slots.rows_of)
    crowd = Crowd(
        city=city, slots=slots, store=store, intended_ns=intended_ns, key=key,
        reads_per_user=reads_per_user, prepare=prepare, verify=prover.verify,
    )
    return Visitors(crowd=crowd, store=store, prover=prover)


class FairsDay:
    """The people of a window for applications or bids (sim.people.People).

    The crowd acts from ``opens_ns`` to ``closes_ns``. ``judge`` fills in what the crowd's own
    columns do not tell. ``upon_height``, if given, hears of each height that is the first to be
    final at a relay.
    """

    def __init__(
        self, *, city: HostedCity, visitors: Visitors, office: Office, subject: str,
        opens_ns: int, closes_ns: int, judge: Judge,
        upon_height: Callable[[int, int], None] | None = None,
    ) -> None:
        self._city = city
        self.crowd = crowd = visitors.crowd
        self.office = office
        self.subject = subject
        self._store = visitors.store
        self._prover = visitors.prover
        self._judge = judge
        self._upon_height = upon_height
        self._height = 0
        self._outcomes = Outcomes(city, crowd.upon_block)
        self._opens_ns, self._closes_ns = opens_ns, closes_ns
        # ten minutes are enough for the office when all goes well; hours, when it does not
        self.goal_ns = closes_ns + 600 * SECOND_NS
        self.end_ns = closes_ns + AFTER_NS_MAX
        self.samples: list[tuple[int, int, int]] = []

    @property
    def is_done(self) -> bool:
        """Whether everyone knows the end and the office has finished."""
        return self.office.is_done and self.crowd.is_done

    @property
    def is_stuck(self) -> bool:
        """Whether the chain refuses what the office must do next, again and again."""
        return self.office.is_stuck and self.crowd.is_done

    @property
    def obstacle(self) -> str:
        """Which step the office cannot take."""
        if not self.is_stuck:
            return ""
        return f"the office's step {self.office.step!r} is refused again and again"

    def compute_floor_ns(self, floor: FloorCosts) -> float:
        """Each transaction's signature and check; a key pair is charged to each, too."""
        return self._store.made * (floor.key_pair_ns + floor.sign_ns + floor.check_ns)

    def start(self) -> None:
        """Put the first tick on the kernel."""
        self._city.kernel.at(self._city.kernel.now_ns, self._tick, None)
        self._city.kernel.at(self._city.kernel.now_ns, self._sample, None)

    def close(self) -> None:
        """End the worker processes."""
        self._store.close()

    def count(self) -> Counts:
        """Transactions sent, and those with a receipt."""
        sent = self.crowd.done_count + self.crowd.backlog
        return Counts(offered=sent, accepted=sent, final=self.crowd.done_count)

    def _sample(self, _: None) -> None:
        kernel = self._city.kernel
        now_ns = kernel.now_ns
        self.samples.append((now_ns, self.crowd.count_backlog(now_ns), 0))
        if not self.is_done:
            kernel.at(now_ns + SAMPLE_NS, self._sample, None)

    def _tick(self, _: None) -> None:
        kernel, crowd = self._city.kernel, self.crowd
        now_ns = kernel.now_ns
        crowd.upon_tick(now_ns)
        self.office.upon_tick(now_ns)
        if not self.is_done:
            kernel.at(now_ns + crowd.tick_ns, self._tick, None)

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay answered a user, or the office."""
        if client >= 0:
            self.crowd.upon_reply(at_ns, relay, client, transaction_id, verdict)
        else:
            self.office.upon_reply(at_ns, client, transaction_id, verdict)

    def upon_relay_final(self, at_ns: int, relay: int, height: int) -> None:
        """A relay tells those who came through it of their receipts."""
        self._prover.note(relay, height)
        items = self._outcomes.get_items(relay, height)
        if items:
            self.crowd.upon_final(at_ns, relay, height, items)
            self.office.upon_final(at_ns, items)
        if height > self._height:
            self._height = height
            if self._upon_height is not None:
                self._upon_height(at_ns, height)

    def conclude(self, metrics: Metrics) -> Findings:
        """Judge the day and measure what users waited."""
        crowd = self.crowd
        columns, counts = crowd.columns, crowd.counts
        metrics.put("users.count", crowd.slots.users)
        count_transactions(metrics, columns)
        metrics.put("failed.count", sum(crowd.failures.values()))
        never = (columns.accepted_ns > 0) & (columns.final_ns == 0) & (columns.sequence < 0)
        metrics.put("lost.count", int(never.sum()))
        metrics.put("refused.count", sum(crowd.refusals.values()))
        metrics.put("fairs.refused.count", sum(crowd.failures.values()))
        metrics.put("users.gave_up.count", counts["gave_up"])
        metrics.put("users.read_requests.count", counts["reads"])
        metrics.put("users.proofs_checked.count", self._prover.checked)
        for at_ns, backlog, _ in self.samples:
            metrics.level("backlog", at_ns, backlog)
        finished = InvariantOutcome(
            name="result published", passed=self.office.is_done,
            detail=f"the office stands at {self.office.step}",
        )
        invariants = (*self._judge(metrics), finished)
        stages, slowest, theory = describe_latencies(metrics, Sessions(
            columns=columns, door_ns=columns.final_ns[:0], samples=self.samples,
            opens_ns=self._opens_ns, closes_ns=self._closes_ns, subject=self.subject,
            name_of=self._name,
        ), self._city)
        return Findings(
            invariants=invariants, stages=stages, slowest=slowest, theory=theory,
            late_ns=crowd.late_ns_max,
        )

    def _name(self, slot: int) -> str:
        return f"{self.subject} {slot}"

