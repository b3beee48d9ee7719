"""An election as people live it: the office, the voters, and the judge, wired to a city."""

import numpy as np

from node.crypto import Identity
from sim.arrivals import draw_arrivals
from sim.auditor import audit_election
from sim.ballot_pool import BallotPool
from sim.ballots import BallotStore, ChunkSource, InlineSource
from sim.electorate import BallotRules, Electorate
from sim.floor import FloorCosts
from sim.hosted import HostedCity
from sim.identities import derive_identity
from sim.latencies import Sessions, count_transactions, describe_latencies
from sim.metrics import Metrics
from sim.outcomes import Outcomes
from sim.people import SAMPLE_NS, Counts, Findings
from sim.prover import Prover
from sim.registrar import OfficeConfig, Registrar, Stage
from sim.result import InvariantOutcome
from sim.streams import Streams
from sim.times import HOUR_NS, SECOND_NS
from sim.voter_columns import State, compute_told
from sim.voters import Habits, Voters
from sim.workload import Election

VOTING = 1
TALLY_NS_MAX = 3 * HOUR_NS


class ElectionDay:
    """The people of an election (sim.people.People).

    ``workers`` processes make the ballots; 0 makes them in this one.
    """

    subject = "ballot"

    def __init__(
        self, *, city: HostedCity, workload: Election, users: int, seed: int, chief: Identity,
        streams: Streams, midnight_ns: int, workers: int,
    ) -> None:
        self._city = city
        rules = BallotRules(
            seed=seed, users=users, chain_id=city.chain_id, voting=VOTING,
            districts=workload.districts, choices=workload.choices,
            abandon_ratio=workload.abandon_ratio, revote_ratio=workload.revote_ratio,
        )
        arrivals = draw_arrivals(workload, users, streams, midnight_ns)
        opens_ns, closes_ns = arrivals.opens_ns, arrivals.closes_ns
        self._electorate = electorate = Electorate(rules)
        self._pool: BallotPool | None = None
        source: ChunkSource = InlineSource(rules, electorate)
        if workers:
            source = self._pool = BallotPool(rules, workers)
        ballots = BallotStore(electorate, source)
        self._ballots = ballots
        office = OfficeConfig(
            open_ns=opens_ns, close_ns=closes_ns, grace_ns=workload.grace_s * SECOND_NS,
            holders_missing=workload.keyholders_missing,
        )
        self.registrar = Registrar(
            city=city, electorate=electorate, ballots=ballots, config=office, chief=chief,
            derive=lambda purpose, number: derive_identity(seed, purpose, number),
            stream=streams("registrar"),
        )
        self._prover = Prover(city)
        habits = Habits(
            reads_per_voter=workload.reads_per_voter,
            door_concurrency_max=workload.door_concurrency_max,
        )
        self.voters = Voters(
            city=city, electorate=electorate, ballots=ballots, office=self.registrar,
            habits=habits, arrivals_ns=arrivals.moments_ns, close_ns=closes_ns,
            stream=streams("voters"), verify=self._prover.verify,
        )
        self.registrar.serve(self.voters)
        self._tick_ns = habits.tick_ns
        self._outcomes = Outcomes(city)
        self._opens_ns, self._closes_ns = opens_ns, closes_ns
        self.goal_ns = closes_ns + office.grace_ns + 600 * SECOND_NS
        self.end_ns = closes_ns + office.grace_ns + TALLY_NS_MAX
        self.samples: list[tuple[int, int, int]] = []

    @property
    def is_done(self) -> bool:
        """Whether the result is in the chain and no voter waits."""
        return self.registrar.is_done and self.voters.is_done

    @property
    def is_stuck(self) -> bool:
        """Whether too few holders of the key are there."""
        return self.registrar.is_stuck and self.voters.is_done

    @property
    def obstacle(self) -> str:
        """Which stage the office cannot leave."""
        if not self.is_stuck:
            return ""
        if self.registrar.stage == Stage.SHARES:
            return "too few holders published their share of the key: the votes stay sealed"
        return f"the office cannot go on from stage {self.registrar.stage.name.lower()}"

    def compute_floor_ns(self, floor: FloorCosts) -> float:
        """Of each ballot asked for: key pair, box, signature, check; and opening if it was."""
        asked = int(self.voters.counts["asked"])
        closed = max(0, asked - self._ballots.opened)
        return asked * floor.ballot_ns - closed * floor.open_ns

    def start(self) -> None:
        """Put the first tick on the kernel."""
        self._city.kernel.at(self._city.kernel.now_ns, self._tick, None)
        self._city.kernel.at(self._city.kernel.now_ns, self._sample, None)

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.close()

    def count(self) -> Counts:
        """Ballots sent, taken by relays, and reported final."""
        counts = self.voters.counts
        return Counts(
            offered=counts["proofs"] + self.voters.backlog,
            accepted=counts["proofs"] + self.voters.backlog, final=counts["proofs"],
        )

    def _sample(self, _: None) -> None:
        kernel, voters = self._city.kernel, self.voters
        now_ns = kernel.now_ns
        self.samples.append((now_ns, voters.count_backlog(now_ns), voters.door.waiting))
        if not self.is_done:
            kernel.at(now_ns + SAMPLE_NS, self._sample, None)

    def _tick(self, _: None) -> None:
        kernel = self._city.kernel
        now_ns = kernel.now_ns
        self.voters.upon_tick(now_ns)
        self.registrar.upon_tick(now_ns, self._tick_ns)
        if not self.is_done:
            kernel.at(now_ns + self._tick_ns, self._tick, None)

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay answered a voter, or a desk of the office."""
        if client >= 0:
            self.voters.upon_reply(at_ns, relay, client, transaction_id, verdict)
        else:
            self.registrar.upon_reply(at_ns, client, transaction_id, verdict)

    def upon_relay_final(self, at_ns: int, relay: int, height: int) -> None:
        """A relay tells those who came through it of their receipts."""
        self._prover.note(relay, height)
        items = self._outcomes.get_items(relay, height)
        if items:
            self.voters.upon_final(at_ns, relay, height, items)
            self.registrar.upon_final(at_ns, relay, height, items)

    def conclude(self, metrics: Metrics) -> Findings:
        """Judge the election and measure what voters waited."""
        voters, columns = self.voters, self.voters.columns
        records = self._city.read_final_state()
        audit = audit_election(
            compute_told(columns, self._electorate), self._electorate, self._ballots.keys,
            records, VOTING,
        )
        counts = voters.counts
        metrics.put("users.count", self._electorate.users)
        count_transactions(metrics, columns)
        # While voters still wait, what is not final is on its way.
        never = (columns.accepted_ns > 0) & (columns.final_ns == 0)
        never &= columns.state < State.LATE
        never &= voters.is_done
        metrics.put("lost.count", audit.lost + int(never.sum()))
        metrics.put("double.count", audit.doubled)
        metrics.put("refused.count", sum(voters.refusals.values()))
        metrics.put("auditor.mismatch.count", audit.mismatches)
        metrics.put("tally.counted.count", audit.counted or 0)
        metrics.put("tally.spoiled.count", audit.spoiled or 0)
        metrics.put("users.abandoned.count", counts["abandoned"])
        metrics.put("users.revoted.count", counts["revotes"])
        metrics.put("users.gave_up.count", counts["gave_up"])
        metrics.put("users.read_requests.count", counts["reads"])
        metrics.put("users.proofs_checked.count", self._prover.checked)
        for at_ns, backlog, waiting in self.samples:
            metrics.level("backlog", at_ns, backlog)
            metrics.level("door_waiting", at_ns, waiting)
        asked = columns.asked_ns > 0
        stages, slowest, theory = describe_latencies(metrics, Sessions(
            columns=columns, door_ns=(columns.asked_ns - columns.arrival_ns)[asked],
            samples=self.samples, opens_ns=self._opens_ns, closes_ns=self._closes_ns,
            subject=self.subject, name_of=self._name,
        ), self._city)
        result = InvariantOutcome(
            name="result published", passed=self.registrar.is_done,
            detail=f"the office stands at {self.registrar.stage.name.lower()}",
        )
        invariants = audit.describe()
        # Without enough holders the votes stay sealed: that is what they are for.
        if self.registrar.stage != Stage.SHARES:
            invariants += (result,)
        return Findings(
            invariants=invariants, stages=stages, slowest=slowest, theory=theory,
            late_ns=voters.late_ns_max,
        )

    def _name(self, slot: int) -> str:
        return f"voter {int(self._electorate.rows_of(np.array([slot]))[0])}"

