"""Voters: rows of numbers that arrive, wait, read, cast, poll, try again and vote again.

Open load: nobody's arrival or reading time depends on how the city answers. A session goes

    NOT_ARRIVED -> AT_DOOR -> WAITING_BALLOT -> READING -> CASTING -> POLLING -> FINAL
                                                   ^          |          |
                                              (ABANDONED)     +- BACKOFF <+   at most tries_max

and a second ballot (its own slot) enters at WAITING_BALLOT some time after the first is FINAL:
who has been inside does not queue again. LEAVING, LATE, REFUSED and other ends: see State.

Every moment is exact although work is done tick by tick: a tick at T takes in what was called
back before T, and carries out what voters do in [T, T + tick), so that all they send leaves in
the future. What the calendar holds for a tick is a list of slots; their moments are in the
columns. Failures (no answer, no receipt) are judged one tick after they fall due, when all
answers that came before have been taken in.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from node.receipt import OK
from sim.ballots import BallotStore
from sim.cityface import ACCEPTED, City, Item, Verify
from sim.door import Door
from sim.electorate import Electorate, Rows, mix64
from sim.errors import ConfigurationError
from sim.voter_columns import Columns, State

_SECOND_NS = 1_000_000_000

_INIT_SLOTS = 100_000

# Comparing a column with a member of an enum costs three times as much as with a number.
_LEAVING, _CASTING, _POLLING = map(int, (State.LEAVING, State.CASTING, State.POLLING))

# Of the read requests of a session: at the door and asking, with the ballot, casting, receipt.
_READ_SHARES = (0.3, 0.4, 0.2, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How voters and their clients behave; defaults are Moscow's of 2021 if not said otherwise.

    A client waits 3 s for an answer, then polls each 500 ms. There it polled 10 times, which
    were ten blocks of its half-second chain; at 5 s a block 40 polls are four blocks. Tries:
    at most 10, delayed 120 s x (n + 1). A ballot expires after 15 minutes (2019); reading takes
    a median of 45 s (assumed). Second votes come after a median of two hours (assumed).
    """

    read_median_ns: int = 45 * _SECOND_NS
    read_sigma: float = 0.7
    read_min_ns: int = 5 * _SECOND_NS
    ballot_ttl_ns: int = 900 * _SECOND_NS
    answer_timeout_ns: int = 3 * _SECOND_NS
    poll_interval_ns: int = _SECOND_NS // 2
    polls_max: int = 40
    retry_delay_ns: int = 120 * _SECOND_NS
    tries_max: int = 10
    revote_median_ns: int = 7_200 * _SECOND_NS
    revote_sigma: float = 1.0
    reads_per_voter: int = 1_000
    reads_interval_ns: int = _SECOND_NS
    door_concurrency_max: int = 60_000
    door_rate_per_s: int | None = None
    tick_ns: int = _SECOND_NS // 2

    def __post_init__(self) -> None:
        for name in ("tick_ns", "poll_interval_ns", "polls_max", "tries_max"):
            if getattr(self, name) < 1:
                raise ConfigurationError(name, getattr(self, name), "give 1 or more")
        for name in ("answer_timeout_ns", "retry_delay_ns", "read_min_ns"):
            if getattr(self, name) < self.tick_ns:
                raise ConfigurationError(name, getattr(self, name), "not below tick_ns")
        if self.tries_max > 255:
            raise ConfigurationError("tries_max", self.tries_max, "at most 255")


class Office(Protocol):
    """Where voters ask for a ballot; it answers ``upon_ballots`` or ``upon_no_ballots``."""

    def ask(self, slots: Rows, at_ns: Rows) -> None:
        """These ballots are asked for at these moments, not before the present."""
        ...


class Voters:
    """All sessions of one election day.

    ``arrivals_ns`` are sorted. ``verify``, if given, is asked to prove what relays call final.
    Whoever owns the clock calls ``upon_tick`` each ``habits.tick_ns`` (from before the first
    arrival, so that workers get ahead), and the other ``upon_`` methods as things happen.
    """

    def __init__(
        self, *, city: City, electorate: Electorate, ballots: BallotStore, office: Office,
        habits: Habits, arrivals_ns: Rows, close_ns: int, stream: np.random.Generator,
        verify: Verify | None = None,
    ) -> None:
        users = electorate.users
        assert len(arrivals_ns) == users
        assert bool((np.diff(arrivals_ns) >= 0).all())
        self._city = city
        self._electorate = electorate
        self._ballots = ballots
        self._office = office
        self._habits = habits
        self._close_ns = close_ns
        self._stream = stream
        self._verify = verify
        self.columns = columns = Columns(electorate.slots)
        columns.arrival_ns[:users] = arrivals_ns
        self._arrivals_ns = columns.arrival_ns[:users]
        key = int.from_bytes(electorate.rules.derive(b"relay")[:8], "big")
        for first in range(0, electorate.slots, _INIT_SLOTS):
            slots = np.arange(first, min(first + _INIT_SLOTS, electorate.slots), dtype=np.int64)
            rows = electorate.rows_of(slots)
            columns.relay[slots] = mix64(key, rows) % np.uint64(city.relay_count)
            columns.mile_ns[slots] = city.last_mile_ns(rows)
        self.door = Door(habits.door_concurrency_max, habits.door_rate_per_s)
        self.active = 0
        self.active_max = 0
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.late_ns_max = 0  # how far behind its own plan the generator ever was
        self._pending: dict[bytes, int] = {}
        self._replies: list[int] = []
        self._replied_ns: list[int] = []
        self._verdicts: list[tuple[int, int, str]] = []
        self._finals: list[int] = []
        self._final_ns: list[int] = []
        self._included_ns: list[int] = []
        self._failures: list[tuple[int, int, str]] = []
        self._origin_ns = -1  # the first tick
        self._tick = -1
        self._asking: defaultdict[int, list[int]] = defaultdict(list)
        self._sending: defaultdict[int, list[int]] = defaultdict(list)
        self._answers_due: defaultdict[int, list[int]] = defaultdict(list)
        self._receipts_due: defaultdict[int, list[int]] = defaultdict(list)
        self._revotes_waiting = 0
        self._reads = np.zeros(city.relay_count, np.int64)
        self._reads_due_ns = 0

    @property
    def is_done(self) -> bool:
        """Whether all have come and nothing more will happen to anyone."""
        everyone = self.door.admitted + self.counts["turned_away"] == self._electorate.users
        return everyone and not self.active and not self._revotes_waiting

    @property
    def backlog(self) -> int:
        """Ballots sent of which no relay has told that they are final."""
        return len(self._pending)

    def get_stored(self) -> Rows:
        """Slots of the ballots that a relay reported stored in a final block."""
        slots: Rows = np.flatnonzero(self.columns.final_ns > 0)
        return slots

    # What the city tells.

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay's answer to ballot ``client`` leaves the relay at ``at_ns``."""
        if verdict == ACCEPTED:
            self._replies.append(client)
            self._replied_ns.append(at_ns)
        else:
            self._verdicts.append((client, at_ns, verdict))

    def upon_final(self, at_ns: int, relay: int, height: int, items: list[Item]) -> None:
        """A relay holds a final block with these transactions that came through it."""
        pending = self._pending
        proven: list[bytes] = []
        for transaction_id, status, included_ns in items:
            slot = pending.pop(transaction_id, None)
            if slot is None:
                continue
            if status == OK:
                proven.append(transaction_id)
            elif status == "already cast":
                # Only this voter has the key: an earlier try had arrived after all.
                self.counts["repeated"] += 1
            else:
                self._failures.append((slot, at_ns, status))
                continue
            self._finals.append(slot)
            self._final_ns.append(at_ns)
            self._included_ns.append(included_ns)
        if proven and self._verify is not None:
            self.counts["proofs"] += self._verify(relay, height, proven)

    def upon_ballots(self, slots: Rows, at_ns: int) -> None:
        """These ballots are issued and their keys known to the chain: the voters read."""
        columns = self.columns
        assert bool((columns.state[slots] == State.WAITING_BALLOT).all())
        habits = self._habits
        drawn = self._stream.lognormal(np.log(habits.read_median_ns), habits.read_sigma,
                                       len(slots))
        reading = np.clip(drawn, habits.read_min_ns, habits.ballot_ttl_ns).astype(np.int64)
        ballot_ns = at_ns + columns.mile_ns[slots].astype(np.int64)
        columns.ballot_ns[slots] = ballot_ns
        columns.intended_ns[slots] = ballot_ns + reading
        columns.sent_ns[slots] = ballot_ns + reading
        leaving = self._electorate.abandons(slots) & (slots < self._electorate.users)
        columns.state[slots] = np.where(leaving, State.LEAVING, State.READING)
        self._read(slots, 1)
        self._plan(self._sending, slots, ballot_ns + reading)

    def upon_no_ballots(self, slots: Rows, at_ns: int) -> None:
        """The office can give these voters no ballot any more."""
        assert at_ns > 0
        self._end(slots, State.NO_BALLOT)

    def upon_tick(self, now_ns: int) -> None:
        """Take in what happened, and do what voters do until the next tick."""
        tick_ns = self._habits.tick_ns
        if self._origin_ns < 0:
            self._origin_ns = now_ns
        tick, rest = divmod(now_ns - self._origin_ns, tick_ns)
        assert rest == 0, now_ns
        assert tick > self._tick, now_ns
        first = self._tick + 1
        self._tick = tick
        if self._replies or self._verdicts:
            self._take_replies()
        if self._finals or self._failures:
            self._take_finals()
        self._ballots.pump()
        self._arrive(now_ns)
        for due in range(first, tick + 1):
            if (slots := self._asking.pop(due, None)) is not None:
                self._ask_again(slots, now_ns)
            if (slots := self._sending.pop(due, None)) is not None:
                self._send(slots, now_ns)
            if (slots := self._answers_due.pop(due, None)) is not None:
                self._judge(slots, _CASTING)
            if (slots := self._receipts_due.pop(due, None)) is not None:
                self._judge(slots, _POLLING)
        if now_ns >= self._reads_due_ns:
            self._flush_reads(now_ns)

    # What voters do.

    def _arrive(self, now_ns: int) -> None:
        door = self.door
        if door.admitted == self._electorate.users or self.counts["turned_away"]:
            return
        columns = self.columns
        until_ns = now_ns + self._habits.tick_ns
        arrived = int(self._arrivals_ns.searchsorted(until_ns))
        if arrived == door.admitted and now_ns < self._close_ns:
            return
        if now_ns >= self._close_ns:
            users = self._electorate.users
            columns.state[door.admitted : users] = State.TURNED_AWAY
            self.counts["turned_away"] = users - door.admitted
            return
        columns.state[door.arrived : arrived] = State.AT_DOOR
        admitted = door.admit(arrived, self.active, now_ns)
        if admitted:
            rows = np.arange(admitted.start, admitted.stop, dtype=np.int64)
            self._ask(rows, np.maximum(columns.arrival_ns[rows], now_ns))

    def _ask_again(self, listed: list[int], now_ns: int) -> None:
        slots = np.array(listed, np.int64)
        self._revotes_waiting -= len(slots)
        if now_ns >= self._close_ns:
            self.columns.state[slots] = State.NOT_ARRIVED
            return
        self.counts["revotes"] += len(slots)
        slots = slots[np.argsort(self.columns.arrival_ns[slots], kind="stable")]
        self._ask(slots, np.maximum(self.columns.arrival_ns[slots], now_ns))

    def _ask(self, slots: Rows, asked_ns: Rows) -> None:
        columns = self.columns
        columns.asked_ns[slots] = asked_ns
        columns.state[slots] = State.WAITING_BALLOT
        self.active += len(slots)
        self.active_max = max(self.active_max, self.active)
        self.counts["asked"] += len(slots)
        self._read(slots, 0)
        self._ballots.need(int(self._electorate.rows_of(slots[-1:])[0]))
        self._office.ask(slots, asked_ns + columns.mile_ns[slots])

    def _send(self, listed: list[int], now_ns: int) -> None:
        columns = self.columns
        slots = np.array(listed, np.int64)
        leaving = columns.state[slots] == _LEAVING
        if np.count_nonzero(leaving):
            self._end(slots[leaving], State.ABANDONED)
            slots = slots[~leaving]
        known = columns.final_ns[slots] > 0
        if np.count_nonzero(known):
            # Stored after all: the client asks about its key before it sends again.
            found = slots[known]
            self._settle(found, columns.sent_ns[found] + 2 * columns.mile_ns[found])
            slots = slots[~known]
        if not len(slots):
            return
        slots = slots[np.argsort(columns.sent_ns[slots], kind="stable")]
        sent_ns = columns.sent_ns[slots]
        self.late_ns_max = max(self.late_ns_max, now_ns - int(sent_ns[0]))
        columns.tries[slots] += 1
        columns.state[slots] = _CASTING
        self.counts["sent"] += len(slots)
        self._read(slots, 2)
        self._plan(
            self._answers_due, slots,
            sent_ns + (self._habits.answer_timeout_ns + self._habits.tick_ns),
        )
        self._submit(slots, np.maximum(sent_ns + columns.mile_ns[slots], now_ns))

    def _submit(self, slots: Rows, arrives_ns: Rows) -> None:
        get, pending = self._ballots.get, self._pending
        remember, submit = self._city.remember_checked, self._city.submit
        for slot, relay, at_ns in zip(
            slots.tolist(), self.columns.relay[slots].tolist(), arrives_ns.tolist(), strict=True
        ):
            ballot = get(slot)
            pending[ballot.id] = slot
            remember(ballot.key, ballot.id, ballot.signature)
            submit(relay, slot, ballot.transaction, at_ns)

    def _judge(self, listed: list[int], waiting: int) -> None:
        """Whoever still waits has waited too long: back off, or give up."""
        columns = self.columns
        slots = np.array(listed, np.int64)
        slots = slots[columns.state[slots] == waiting]
        if not len(slots):
            return
        habits = self._habits
        if waiting == _CASTING:
            self.counts["unanswered"] += len(slots)
            due_ns = columns.sent_ns[slots] + habits.answer_timeout_ns
        else:
            self.counts["unconfirmed"] += len(slots)
            due_ns = columns.accepted_ns[slots] + habits.polls_max * habits.poll_interval_ns
        self._fail(slots, due_ns)

    def _fail(self, slots: Rows, failed_ns: Rows) -> None:
        columns = self.columns
        hopeless = columns.tries[slots] >= self._habits.tries_max
        if hopeless.any():
            self._end(slots[hopeless], State.GAVE_UP)
            slots, failed_ns = slots[~hopeless], failed_ns[~hopeless]
        columns.state[slots] = State.BACKOFF
        columns.relay[slots] = (columns.relay[slots] + 1) % self._city.relay_count
        tries = columns.tries[slots].astype(np.int64)
        again_ns = failed_ns + self._habits.retry_delay_ns * tries
        columns.sent_ns[slots] = again_ns
        self._plan(self._sending, slots, again_ns)

    # What voters hear.

    def _take_replies(self) -> None:
        columns, habits = self.columns, self._habits
        if self._replies:
            slots = np.array(self._replies, np.int64)
            mile_ns = columns.mile_ns[slots]
            here_ns = np.array(self._replied_ns, np.int64) + mile_ns
            self._replies, self._replied_ns = [], []
            timely = columns.state[slots] == _CASTING
            timely &= here_ns <= columns.sent_ns[slots] + habits.answer_timeout_ns
            self.counts["late_answers"] += len(slots) - int(np.count_nonzero(timely))
            slots, here_ns, mile_ns = slots[timely], here_ns[timely], mile_ns[timely]
            columns.accepted_ns[slots] = here_ns
            columns.state[slots] = _POLLING
            wait_ns = habits.polls_max * habits.poll_interval_ns + habits.tick_ns
            self._plan(self._receipts_due, slots, here_ns + 2 * mile_ns + wait_ns)
        verdicts, self._verdicts = self._verdicts, []
        for slot, verdict_ns, verdict in verdicts:
            self.refusals[verdict] += 1
            one = np.array([slot], np.int64)
            if columns.state[slot] != State.CASTING:
                continue
            if verdict == "busy":
                self._fail(one, one * 0 + verdict_ns)
            else:
                self._end(one, State.REFUSED)

    def _take_finals(self) -> None:
        columns, habits = self.columns, self._habits
        if self._finals:
            slots = np.array(self._finals, np.int64)
            at_ns = np.array(self._final_ns, np.int64)
            columns.final_ns[slots] = at_ns
            columns.included_ns[slots] = self._included_ns
            self._finals, self._final_ns, self._included_ns = [], [], []
            polling = columns.state[slots] == _POLLING
            slots, at_ns = slots[polling], at_ns[polling]
            mile_ns = columns.mile_ns[slots]
            base_ns = columns.accepted_ns[slots]
            interval_ns = habits.poll_interval_ns
            polls = np.maximum(-((base_ns + mile_ns - at_ns) // interval_ns), 1)
            seen = polls <= habits.polls_max
            seen_ns = base_ns + polls * interval_ns + 2 * mile_ns
            self._settle(slots[seen], seen_ns[seen])
        failures, self._failures = self._failures, []
        for slot, _, status in failures:
            self.refusals[status] += 1
            state = State.LATE if status == "late" else State.REFUSED
            if columns.state[slot] < State.FINAL:
                self._end(np.array([slot], np.int64), state)

    def _settle(self, slots: Rows, seen_ns: Rows) -> None:
        if not len(slots):
            return
        columns = self.columns
        columns.seen_ns[slots] = seen_ns
        self._read(slots, 3)
        self._end(slots, State.FINAL)
        firsts = slots < self._electorate.users
        second = self._electorate.revote_slots_of(slots[firsts])
        wanting = second >= 0
        if not wanting.any():
            return
        habits = self._habits
        second = second[wanting]
        delay = self._stream.lognormal(
            np.log(habits.revote_median_ns), habits.revote_sigma, len(second)
        )
        again_ns = seen_ns[firsts][wanting] + np.maximum(delay, 60e9).astype(np.int64)
        in_time = again_ns < self._close_ns
        second, again_ns = second[in_time], again_ns[in_time]
        columns.arrival_ns[second] = again_ns
        columns.state[second] = State.REVOTE_WAIT
        self._revotes_waiting += len(second)
        self._plan(self._asking, second, again_ns)

    def _end(self, slots: Rows, state: State) -> None:
        assert bool((self.columns.state[slots] < State.FINAL).all())
        self.columns.state[slots] = state
        self.active -= len(slots)
        assert self.active >= 0
        self.counts[state.name.lower()] += len(slots)
        self._ballots.release(slots)

    # Small things.

    def _plan(self, calendar: defaultdict[int, list[int]], slots: Rows, due_ns: Rows) -> None:
        # A tick that is under way or over takes nothing more: what is due then is late.
        due = np.maximum((due_ns - self._origin_ns) // self._habits.tick_ns, self._tick + 1)
        for slot, tick in zip(slots.tolist(), due.tolist(), strict=True):
            calendar[tick].append(slot)

    def _read(self, slots: Rows, phase: int) -> None:
        requests = int(self._habits.reads_per_voter * _READ_SHARES[phase])
        if requests:
            relays = self.columns.relay[slots]
            self._reads += requests * np.bincount(relays, minlength=len(self._reads))

    def _flush_reads(self, now_ns: int) -> None:
        self._reads_due_ns = now_ns + self._habits.reads_interval_ns
        read_load = self._city.read_load
        for relay, requests in enumerate(self._reads.tolist()):
            if requests:
                read_load(relay, requests, now_ns)
        self.counts["reads"] += int(self._reads.sum())
        self._reads[:] = 0
