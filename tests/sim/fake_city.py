"""A city of one chain and some relays: real blocks' execution, no network, no consensus."""

from dataclasses import dataclass, field

import numpy as np

from node.crypto import Identity, digest, is_signature_valid
from node.execution import execute_bundles
from node.params import Params
from node.state import EMPTY_STATE
from node.transaction import Transaction, decode_transaction
from node.work import Work
from sim.ballots import BallotStore, ChunkSource, InlineSource
from sim.electorate import BallotRules, Electorate
from sim.kernel import Kernel
from sim.registrar import OfficeConfig, Registrar
from sim.streams import Streams
from sim.voters import Habits, Voters

SECOND_NS = 1_000_000_000
MIDNIGHT_NS = 777_000_000_000_007
CHAIN_ID = b"testcity"
FINAL_AFTER_NS = SECOND_NS


@dataclass
class Pile:
    """What execution wants of a bundle."""

    transactions: list[Transaction]


def derive(purpose: str, number: int) -> Identity:
    return Identity(digest(b"test", purpose.encode() + bytes([number])))


@dataclass
class FakeCity:
    """Relays take everything; a block each 5 s; final at its relay a second later.

    ``down`` relays hear nothing and say nothing; a ``mute`` one passes on and never reports.
    """

    relay_count: int = 4
    chain_id: bytes = CHAIN_ID
    asked: list[bytes] = field(default_factory=list)
    params: Params = field(default_factory=Params)
    kernel: Kernel = field(default_factory=lambda: Kernel(MIDNIGHT_NS))
    registrar: Identity = field(default_factory=lambda: derive("registrar", 0))

    def __post_init__(self):
        self.down = set()
        self.mute = set()
        self.verdict = "accepted"
        self.piles = [[] for _ in range(self.relay_count)]
        self.state = EMPTY_STATE
        self.height = 0
        self.submitted = []
        self.reads = 0
        self.statuses = {}
        self.checked = {}
        self.opened = {}
        self.opened_by_chain = 0
        self.office = None
        self.voters = None
        self.work = Work()

    # What users see.

    def submit(self, relay, client, transaction, at_ns):
        assert at_ns >= self.kernel.now_ns
        self.submitted.append((at_ns, relay, client, transaction))
        self.kernel.at(at_ns, self._arrive, (relay, client, transaction))

    def last_mile_ns(self, rows):
        return 5_000_000 + rows % 7 * 1_000_000

    def read_load(self, relay, requests, at_ns):
        assert at_ns == self.kernel.now_ns
        assert 0 <= relay < self.relay_count
        self.reads += requests

    def remember_made(self, key, message, signature):
        assert is_signature_valid(key, message, signature)
        self.asked.append(message)

    def remember_checked(self, key, message, signature):
        self.checked[message] = (key, signature)

    def remember_opened(self, box, plain):
        self.opened[box] = plain

    def read_records(self, relay):
        return None if relay in self.down else self.state

    # What happens.

    def open_box(self, box, nonce, sender, secret):
        if box in self.opened:
            return self.opened[box]
        self.opened_by_chain += 1
        return self.work.open_box(box, nonce, sender, secret)

    def _arrive(self, argument):
        relay, client, encoded = argument
        if relay in self.down:
            return
        transaction = decode_transaction(encoded, 1 << 20)
        verdict = self.verdict if client >= 0 else "accepted"
        if verdict == "accepted":
            self.piles[relay].append(transaction)
        listener = self.voters if client >= 0 else self.office
        now_ns = self.kernel.now_ns
        if client >= 0:
            listener.upon_reply(now_ns, relay, client, transaction.id, verdict)
        else:
            listener.upon_reply(now_ns, client, transaction.id, verdict)

    def _make_block(self, _):
        now_ns = self.kernel.now_ns
        self.height += 1
        relays = [relay for relay in range(self.relay_count) if relay not in self.down]
        piles = [Pile(self.piles[relay]) for relay in relays]
        for relay in relays:
            self.piles[relay] = []
        output = execute_bundles(
            self.state, self.height, now_ns, piles, self.registrar.public, self
        )
        for relay, outcome in zip(relays, output.outcomes, strict=True):
            items = [(name, status, now_ns) for name, status in outcome]
            for name, status, _ in items:
                self.statuses.setdefault(name, []).append(status)
            if items:
                self.kernel.at(
                    now_ns + FINAL_AFTER_NS, self._report, (relay, self.height, items)
                )
        self.state = output.state
        self.kernel.at(now_ns + self.params.block_interval_ns, self._make_block, None)

    def _report(self, argument):
        relay, height, items = argument
        if relay in self.down | self.mute:
            return
        for listener in (self.office, self.voters):
            listener.upon_final(self.kernel.now_ns, relay, height, items)

    def _tick(self, tick_ns):
        now_ns = self.kernel.now_ns
        self.voters.upon_tick(now_ns)
        self.office.upon_tick(now_ns, tick_ns)
        self.kernel.at(now_ns + tick_ns, self._tick, tick_ns)

    def start(self, tick_ns):
        self.kernel.at(self.kernel.now_ns, self._make_block, None)
        self.kernel.at(self.kernel.now_ns, self._tick, tick_ns)


@dataclass
class Day:
    """An election of minutes: 60 s to register, then ``length_s`` of voting."""

    city: FakeCity
    electorate: Electorate
    ballots: BallotStore
    office: Registrar
    voters: Voters
    config: OfficeConfig

    def run_until(self, second: float) -> None:
        self.city.kernel.run_until(MIDNIGHT_NS + int(second * SECOND_NS))

    def run(self, until_s: float = 4_000) -> None:
        step = self.city.kernel.now_ns
        while step < MIDNIGHT_NS + until_s * SECOND_NS:
            step += 10 * SECOND_NS
            self.city.kernel.run_until(step)
            if self.voters.is_done and (self.office.is_done or self.office.is_stuck):
                return


def make_day(
    users=120, seed=3, length_s=300, grace_s=60, *, habits=None,
    source: ChunkSource | None = None,
    holders_missing=0, revote_ratio=0.2, arrivals_s=None, relay_count=4, verify=None,
    window=48, patience_blocks=2,
) -> Day:
    city = FakeCity(relay_count=relay_count)
    rules = BallotRules(
        seed=seed, users=users, chain_id=CHAIN_ID, districts=3, choices=4,
        revote_ratio=revote_ratio, abandon_ratio=0.05,
    )
    electorate = Electorate(rules)
    ballots = BallotStore(electorate, source or InlineSource(rules, electorate))
    streams = Streams(seed)
    config = OfficeConfig(
        open_ns=MIDNIGHT_NS + 60 * SECOND_NS,
        close_ns=MIDNIGHT_NS + (60 + length_s) * SECOND_NS,
        grace_ns=grace_s * SECOND_NS, holders_missing=holders_missing, window=window,
        patience_blocks=patience_blocks,
    )
    office = Registrar(
        city=city, electorate=electorate, ballots=ballots, config=config, chief=city.registrar,
        derive=derive, stream=streams("registrar"),
    )
    if arrivals_s is None:
        arrivals_s = np.sort(streams("arrivals").uniform(60, 60 + length_s * 0.7, users))
    habits = habits or Habits(
        revote_median_ns=61 * SECOND_NS, revote_sigma=0.01, read_median_ns=10 * SECOND_NS,
    )
    voters = Voters(
        city=city, electorate=electorate, ballots=ballots, office=office, habits=habits,
        arrivals_ns=MIDNIGHT_NS + (np.asarray(arrivals_s) * SECOND_NS).astype(np.int64),
        close_ns=config.close_ns, stream=streams("voters"), verify=verify,
    )
    office.serve(voters)
    city.office, city.voters = office, voters
    city.start(habits.tick_ns)
    return Day(city, electorate, ballots, office, voters, config)


def check_signature(encoded: bytes) -> bool:
    transaction = decode_transaction(encoded, 1 << 20)
    return is_signature_valid(transaction.sender, transaction.id, transaction.signature)
