"""The city's election office: a client of the chain that runs a voting from end to end.

    ENABLE -> REGISTER -> OPEN -> SERVE -> CLOSE -> SHARES -> RESOLVE -> DECRYPT -> FINALIZE
    service   pages of    lock,   issue    after    from the  re-votes   batches   -> DONE
    voting    voters      open    ballots  grace    holders              of 1,000

A stage is a list of jobs; the next begins when all of them have receipts. Pages and openings
are spread over several desks; ballots are issued by the chief alone, a single writer. Issued
ballots and one-time keys are shuffled apart within their batch, so that order does not join a
voter to a key. If too few holders publish, the office stays in SHARES: the votes stay sealed.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

import numpy as np

from node.codec import Value
from node.crypto import Identity
from node.receipt import OK
from node.services import identity as rights
from node.services.election import (
    ADD_VOTER_KEYS,
    CLOSE_VOTING,
    CREATE_VOTING,
    DECRYPT_BALLOTS,
    FINALIZE_VOTING,
    ISSUE_BALLOTS,
    OPEN_VOTING,
    PUBLISH_SHARE,
    REGISTER_VOTERS,
    RESOLVE_REVOTES,
    get_ballot,
    make_add_voter_keys,
    make_close_voting,
    make_create_voting,
    make_decrypt_ballots,
    make_finalize_voting,
    make_issue_ballots,
    make_open_voting,
    make_publish_share,
    make_register_voters,
    make_resolve_revotes,
)
from node.services.election.records import STORED
from node.services.shares import split_secret
from sim.ballots import BallotStore
from sim.cityface import City, Item
from sim.desk import Desk, Job
from sim.electorate import Electorate, Mask, Rows
from sim.errors import ConfigurationError
from sim.times import SECOND_NS

BATCH: Final = 100
DECRYPT_BATCH: Final = 1_000
GROUPS: Final = 50
SWEEPS_MAX: Final = 3


class Stage(IntEnum):
    """Where the office stands; SHARES may last for ever."""

    ENABLE = 0
    REGISTER = 1
    OPEN = 2
    SERVE = 3
    CLOSE = 4
    SHARES = 5
    RESOLVE = 6
    DECRYPT = 7
    FINALIZE = 8
    DONE = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficeConfig:
    """The office's terms; times are the chain's.

    Batches of at most 100 or 2 s; 5 holders of whom 3 suffice (2019, 2021). Openings in batches
    of 1,000 (2021), 20 batches a block. A desk turns to another relay after 6 blocks.
    """

    open_ns: int
    close_ns: int
    grace_ns: int = 900 * SECOND_NS
    services: tuple[str, ...] = ("election",)
    batch_interval_ns: int = 2 * SECOND_NS
    holders: int = 5
    threshold: int = 3
    holders_missing: int = 0
    clerks: int = 3
    window: int = 48
    patience_blocks: int = 6
    decrypt_batches_per_block: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.open_ns < self.close_ns:
            raise ConfigurationError("close_ns", self.close_ns, "it must be after open_ns")
        if not 1 <= self.threshold <= self.holders <= 9:
            raise ConfigurationError("threshold", self.threshold, "1 to holders, at most 9")
        if not 0 <= self.holders_missing <= self.holders:
            raise ConfigurationError(
                "holders_missing", self.holders_missing, f"give 0 to {self.holders}"
            )
        for name in ("window", "decrypt_batches_per_block", "patience_blocks"):
            if getattr(self, name) < 1:
                raise ConfigurationError(name, getattr(self, name), "give 1 or more")

    @property
    def deadline_ns(self) -> int:
        """The last moment at which a ballot may be in a block."""
        return self.close_ns + self.grace_ns


class Served(Protocol):
    """Who asks for ballots: the voters, seen from the office."""

    def upon_ballots(self, slots: Rows, at_ns: int) -> None:
        """Issued, and their keys known to the chain, at ``at_ns``."""
        ...

    def upon_no_ballots(self, slots: Rows, at_ns: int) -> None:
        """They asked too late."""
        ...

    def get_stored(self) -> Rows:
        """Slots whose ballots relays reported stored."""
        ...


class _Batch:
    """Ballots issued together; ready when both transactions are final."""

    __slots__ = ("left", "slots", "status")

    def __init__(self, slots: Rows, transactions: int) -> None:
        self.slots = slots
        self.left = transactions
        self.status = OK


class _Task(NamedTuple):
    desk: Desk
    kind: int
    payload: list[Value]


class Registrar:
    """The office. Its owner calls ``upon_tick`` (after the voters'), ``upon_reply`` for clients
    below 0, and ``upon_final``; ``serve`` tells it whom to answer.

    ``chief`` is the registrar of genesis; ``derive`` makes the keys of clerks and holders from
    a purpose and a number. ``failures`` counts receipts other than "ok" by (stage, status),
    ``began_ns`` says when each stage began.
    """

    def __init__(
        self, *, city: City, electorate: Electorate, ballots: BallotStore, config: OfficeConfig,
        chief: Identity, derive: Callable[[str, int], Identity], stream: np.random.Generator,
    ) -> None:
        self._city = city
        self._electorate = electorate
        self._ballots = ballots
        self._config = config
        self._stream = stream
        self._served: Served | None = None
        patience_ns = config.patience_blocks * city.params.block_interval_ns
        self._window = min(config.window, city.params.sender_pending_max)

        def open_desk(identity: Identity, number: int) -> Desk:
            return Desk(
                city, identity, client=-1 - number, relay=number, window=self._window,
                patience_ns=patience_ns,
            )

        self._desks = [open_desk(chief, 0)]
        for number in range(1, 1 + config.clerks):
            self._desks.append(open_desk(derive("clerk", number), number))
        self._holders = [
            open_desk(derive("holder", number), config.clerks + number)
            for number in range(1, 1 + config.holders)
        ]
        self._everyone = self._desks + self._holders
        self.stage = Stage.ENABLE
        self.began_ns: dict[Stage, int] = {}
        self.failures: Counter[tuple[str, str]] = Counter()
        self.batches = 0
        self.given: Mask = np.zeros(electorate.slots, np.bool_)
        self._asked: list[int] = []
        self._asked_ns: list[int] = []
        self._tasks: Iterator[_Task] = iter(())
        self._outstanding = 0
        self._given_out = 0
        self._retry = False
        self._sweeps = 0

    def serve(self, served: Served) -> None:
        """Answer these voters."""
        self._served = served

    @property
    def is_done(self) -> bool:
        """Whether the result is in the chain."""
        return self.stage == Stage.DONE

    @property
    def is_stuck(self) -> bool:
        """Whether it can go no further: too many holders are missing for the key to be put
        together, or the chain refuses to finalize after all sweeps.
        """
        if self._outstanding:
            return False
        present = self._config.holders - self._config.holders_missing
        sealed = self.stage == Stage.SHARES and present < self._config.threshold
        return sealed or (
            self.stage == Stage.FINALIZE and self._retry and self._sweeps >= SWEEPS_MAX
        )

    def ask(self, slots: Rows, at_ns: Rows) -> None:
        """Voters ask for these ballots at these moments, which are not past."""
        assert len(slots) == len(at_ns)
        last_ns = self._asked_ns[-1] if self._asked_ns else 0
        self._asked += slots.tolist()
        self._asked_ns += np.maximum.accumulate(np.maximum(at_ns, last_ns)).tolist()

    def upon_reply(self, at_ns: int, client: int, transaction_id: bytes, verdict: str) -> None:
        """A relay's verdict on a transaction of desk ``client``."""
        assert -len(self._everyone) <= client < 0
        self._everyone[-1 - client].upon_reply(at_ns, transaction_id, verdict)

    def upon_final(self, at_ns: int, relay: int, height: int, items: list[Item]) -> None:
        """A relay holds a final block with these transactions that came through it."""
        assert height > 0, relay
        for desk in self._everyone:
            if desk.load:
                desk.upon_final(at_ns, items)

    def upon_tick(self, now_ns: int, tick_ns: int) -> None:
        """Go on with the stage; issue what falls due before ``now_ns + tick_ns``."""
        if not self.began_ns:
            self._begin(Stage.ENABLE, now_ns)
        if self.stage == Stage.SERVE:
            self._issue(now_ns + tick_ns)
            ready = now_ns > self._config.deadline_ns + self._city.params.block_interval_ns
        else:
            ready = self.stage != Stage.DONE
            self._feed(now_ns)
        for desk in self._everyone:
            desk.upon_tick(now_ns)
        if ready and not self._outstanding and not self._asked and not self.is_stuck:
            self._advance(now_ns)

    # Stages.

    def _begin(self, stage: Stage, now_ns: int) -> None:
        self.stage = stage
        self.began_ns[stage] = now_ns
        self._retry = False
        self._given_out = 0
        makers: dict[Stage, Callable[[], Iterator[_Task]]] = {
            Stage.ENABLE: self._make_enabling,
            Stage.REGISTER: self._make_pages,
            Stage.OPEN: self._make_opening,
            Stage.CLOSE: self._make_closing,
            Stage.SHARES: self._make_shares,
            Stage.RESOLVE: self._make_groups,
            Stage.DECRYPT: self._make_openings,
            Stage.FINALIZE: self._make_finalizing,
        }
        maker = makers.get(stage)
        self._tasks = iter(()) if maker is None else maker()
        self._feed(now_ns)

    def _advance(self, now_ns: int) -> None:
        if self._retry:
            # Too early to close, or ballots of which no relay had told: look again.
            finalizing = self.stage == Stage.FINALIZE
            self._sweeps += finalizing
            self._begin(Stage.DECRYPT if finalizing else self.stage, now_ns)
            return
        self._begin(Stage(self.stage + 1), now_ns)

    def _feed(self, now_ns: int) -> None:
        """Give out tasks while desks have room; openings at their pace."""
        while not self._is_held(now_ns):
            task = next(self._tasks, None)
            if task is None:
                return
            self._given_out += 1
            self._outstanding += 1
            task.desk.give(Job(task.kind, task.payload, self._upon_done, now_ns))

    def _is_held(self, now_ns: int) -> bool:
        # Tasks go round the desks, so all have room while there are fewer than one window.
        if self._outstanding >= self._window:
            busiest = max(desk.load for desk in self._desks)
            if busiest >= self._window:
                return True
        if self.stage != Stage.DECRYPT:
            return False
        blocks = (now_ns - self.began_ns[self.stage]) // self._city.params.block_interval_ns
        return self._given_out >= self._config.decrypt_batches_per_block * (blocks + 1)

    def _upon_done(self, status: str, at_ns: int) -> None:
        assert at_ns > 0
        self._outstanding -= 1
        assert self._outstanding >= 0
        if status != OK:
            self.failures[(self.stage.name.lower(), status)] += 1
            self._retry |= status == "too early" or self.stage == Stage.FINALIZE

    def _make_enabling(self) -> Iterator[_Task]:
        config, rules, chief = self._config, self._electorate.rules, self._desks[0]
        for service in config.services:
            yield _Task(chief, rights.ENABLE_SERVICE, rights.make_enable_service(service))
        payload = make_create_voting(
            voting=rules.voting, districts=rules.districts, choices=rules.choices,
            open_ns=config.open_ns, close_ns=config.close_ns, grace_ns=config.grace_ns,
            holders=[holder.public for holder in self._holders], threshold=config.threshold,
            box_public=rules.election_public,
        )
        yield _Task(chief, CREATE_VOTING, payload)
        for clerk in self._desks[1:]:
            for right in (rights.REGISTER, rights.DECRYPT):
                payload = rights.make_grant_right(clerk.public, right)
                yield _Task(chief, rights.GRANT_RIGHT, payload)

    def _make_pages(self) -> Iterator[_Task]:
        electorate = self._electorate
        users, voting = electorate.users, electorate.rules.voting
        for page in range(-(-users // BATCH)):
            voters = np.arange(page * BATCH, min((page + 1) * BATCH, users), dtype=np.int64)
            districts = electorate.districts_of(electorate.rows_of_voters(voters))
            payload = make_register_voters(voting, page, districts.tolist())
            yield _Task(self._desks[page % len(self._desks)], REGISTER_VOTERS, payload)

    def _make_opening(self) -> Iterator[_Task]:
        chief, voting = self._desks[0], self._electorate.rules.voting
        yield _Task(chief, rights.LOCK_SERVICES, rights.make_lock_services())
        yield _Task(chief, OPEN_VOTING, make_open_voting(voting))

    def _make_closing(self) -> Iterator[_Task]:
        payload = make_close_voting(self._electorate.rules.voting)
        yield _Task(self._desks[0], CLOSE_VOTING, payload)

    def _make_shares(self) -> Iterator[_Task]:
        config, rules = self._config, self._electorate.rules
        shares = split_secret(
            rules.election_secret, rules.derive(b"shares"), threshold=config.threshold,
            count=config.holders,
        )
        for index in range(1, 1 + config.holders - config.holders_missing):
            payload = make_publish_share(rules.voting, index, shares[index - 1])
            yield _Task(self._holders[index - 1], PUBLISH_SHARE, payload)

    def _make_groups(self) -> Iterator[_Task]:
        electorate, keys = self._electorate, self._ballots.keys
        second = np.flatnonzero(self.given[electorate.users :]) + electorate.users
        for at in range(0, len(second), GROUPS):
            slots = second[at : at + GROUPS]
            rows = electorate.rows_of(slots)
            groups = [
                (electorate.get_group_secret(row), [keys[row].tobytes(), keys[slot].tobytes()])
                for row, slot in zip(rows.tolist(), slots.tolist(), strict=True)
            ]
            desk = self._desks[at // GROUPS % len(self._desks)]
            payload = make_resolve_revotes(electorate.rules.voting, groups)
            yield _Task(desk, RESOLVE_REVOTES, payload)

    def _make_openings(self) -> Iterator[_Task]:
        electorate, ballots = self._electorate, self._ballots
        pending = self._find_pending()
        ballots.open()
        for number, at in enumerate(range(0, len(pending), DECRYPT_BATCH)):
            slots = pending[at : at + DECRYPT_BATCH]
            keys, plains = [], []
            for slot in slots.tolist():
                plain = ballots.plains[slot].tobytes()
                keys.append(ballots.keys[slot].tobytes())
                plains.append(plain)
                self._city.remember_opened(ballots.boxes[slot].tobytes(), plain)
            desk = self._desks[number % len(self._desks)]
            payload = make_decrypt_ballots(electorate.rules.voting, keys, plains)
            yield _Task(desk, DECRYPT_BALLOTS, payload)

    def _make_finalizing(self) -> Iterator[_Task]:
        payload = make_finalize_voting(self._electorate.rules.voting)
        yield _Task(self._desks[0], FINALIZE_VOTING, payload)

    def _find_pending(self) -> Rows:
        """Stored ballots that stand. What relays reported is taken as it is; what they did not,
        and what re-votes touched, is looked up in the chain, and everything in a second sweep.
        """
        assert self._served is not None
        electorate = self._electorate
        stored = np.zeros(electorate.slots, np.bool_)
        stored[self._served.get_stored()] = True
        doubtful = self.given & ~stored
        again = np.flatnonzero(self.given[electorate.users :]) + electorate.users
        doubtful[again] = True
        doubtful[electorate.rows_of(again)] = True
        if self._sweeps:
            doubtful = self.given.copy()
        records = self._desks[0].read_records()
        voting, keys = electorate.rules.voting, self._ballots.keys
        for slot in np.flatnonzero(doubtful).tolist():
            ballot = get_ballot(records, voting, keys[slot].tobytes())
            stored[slot] = ballot is not None and ballot.status == STORED
        pending: Rows = np.flatnonzero(stored)
        return pending

    # Ballots.

    def _issue(self, until_ns: int) -> None:
        asked, asked_ns = self._asked, self._asked_ns
        start = 0
        while start < len(asked):
            due_ns = asked_ns[start] + self._config.batch_interval_ns
            count = bisect_right(asked_ns, due_ns, start) - start
            if count >= BATCH:
                count, due_ns = BATCH, asked_ns[start + BATCH - 1]
            if due_ns >= until_ns:
                break
            self._issue_batch(np.array(asked[start : start + count], np.int64), due_ns)
            start += count
        del asked[:start], asked_ns[:start]

    def _issue_batch(self, slots: Rows, at_ns: int) -> None:
        electorate, ballots, chief = self._electorate, self._ballots, self._desks[0]
        assert 0 < len(slots) <= BATCH
        voting = electorate.rules.voting
        firsts = self._stream.permutation(slots[slots < electorate.users])
        shuffled = self._stream.permutation(slots)
        batch = _Batch(slots, 1 + (len(firsts) > 0))
        self.batches += 1

        def upon_done(status: str, final_ns: int) -> None:
            self._upon_done(status, final_ns)
            self._upon_batch(batch, status, final_ns)

        if len(firsts):
            voters = electorate.voters_of(firsts).tolist()
            self._outstanding += 1
            payload = make_issue_ballots(voting, voters)
            chief.give(Job(ISSUE_BALLOTS, payload, upon_done, at_ns))
        order = shuffled.tolist()
        payload = make_add_voter_keys(
            voting, [ballots.keys[slot].tobytes() for slot in order],
            electorate.districts_of(electorate.rows_of(shuffled)).tolist(),
            [ballots.commitments[slot].tobytes() for slot in order],
        )
        self._outstanding += 1
        chief.give(Job(ADD_VOTER_KEYS, payload, upon_done, at_ns))

    def _upon_batch(self, batch: _Batch, status: str, at_ns: int) -> None:
        assert self._served is not None
        assert batch.left > 0
        if status != OK:
            batch.status = status
        batch.left -= 1
        if batch.left:
            return
        if batch.status == OK:
            self.given[batch.slots] = True
            self._served.upon_ballots(batch.slots, at_ns)
        elif batch.status == "not open":
            # A block of before the opening, or a late set-up: they keep their place.
            self.ask(batch.slots, np.full(len(batch.slots), at_ns, np.int64))
        else:
            self._served.upon_no_ballots(batch.slots, at_ns)
