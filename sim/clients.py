"""Clients: rows of numbers that send a transaction, poll, try again, and hear its end.

What all users' devices have in common, whoever holds them. A planned transaction goes

    (planned) -> CASTING -> POLLING -> FINAL or another end
                   |          |
                   +-> BACKOFF <-+   at most tries_max

Every moment is exact although work is done tick by tick: a tick at T takes in what was called
back before T, and carries out what clients do in [T, T + tick), so that all they send leaves in
the future. What the calendar holds for a tick is a list of slots; their moments are in the
columns. Failures (no answer, no receipt) are judged one tick after they fall due, when all
answers that came before have been taken in.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from node.receipt import OK
from sim.ballots import Ballot
from sim.cityface import ACCEPTED, City, Item, Verify
from sim.electorate import Rows, mix64
from sim.errors import ConfigurationError
from sim.times import SECOND_NS
from sim.voter_columns import ClientColumns, State

INIT_SLOTS: Final = 100_000

# Comparing a column with a member of an enum costs three times as much as with a number.
CASTING, POLLING, FINAL = map(int, (State.CASTING, State.POLLING, State.FINAL))


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long clients wait; defaults are Moscow's of 2021 if not said otherwise.

    A client waits 3 s for an answer, then polls each 500 ms. There it polled 10 times, which
    were ten blocks of its half-second chain; at 5 s a block 40 polls are four blocks. Tries:
    at most 10, delayed 120 s x (n + 1).
    """

    answer_timeout_ns: int = 3 * SECOND_NS
    poll_interval_ns: int = SECOND_NS // 2
    polls_max: int = 40
    retry_delay_ns: int = 120 * SECOND_NS
    tries_max: int = 10
    reads_interval_ns: int = SECOND_NS
    tick_ns: int = SECOND_NS // 2

    def __post_init__(self) -> None:
        for name in ("tick_ns", "poll_interval_ns", "polls_max", "tries_max"):
            if getattr(self, name) < 1:
                raise ConfigurationError(name, getattr(self, name), "give 1 or more")
        for name in ("answer_timeout_ns", "retry_delay_ns"):
            if getattr(self, name) < self.tick_ns:
                raise ConfigurationError(name, getattr(self, name), "not below tick_ns")
        if self.tries_max > 255:
            raise ConfigurationError("tries_max", self.tries_max, "at most 255")


class Transactions(Protocol):
    """Where what clients send comes from, made ahead of time."""

    def get(self, slot: int) -> Ballot:
        """What ``slot`` sends; asked for before ``release``."""
        ...

    def release(self, slots: Rows) -> None:
        """These are settled and will not be sent again."""
        ...


class Clients:
    """The sending half of a population; who owns it decides what is sent, and when.

    ``rows_of`` tells whose device a slot is on; ``key`` chooses relays. ``verify``, if given,
    is asked to prove what relays call final. Subclasses call ``begin_tick``, do their own part
    of the tick, then ``send_due`` and ``flush_reads``; they may override the ``_upon_`` hooks.
    """

    def __init__(
        self, *, city: City, columns: ClientColumns, transactions: Transactions,
        patience: Patience, rows_of: Callable[[Rows], Rows], key: int, verify: Verify | None,
    ) -> None:
        self._city = city
        self._clients = columns
        self._transactions = transactions
        self._patience = patience
        self._verify = verify
        slots_count = len(columns.state)
        for first in range(0, slots_count, INIT_SLOTS):
            slots = np.arange(first, min(first + INIT_SLOTS, slots_count), dtype=np.int64)
            rows = rows_of(slots)
            columns.relay[slots] = mix64(key, rows) % np.uint64(city.relay_count)
            columns.mile_ns[slots] = city.last_mile_ns(rows)
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
        self._failures: list[tuple[int, int, int, str]] = []
        self._origin_ns = -1  # the first tick
        self._tick = -1
        self._sending: defaultdict[int, list[int]] = defaultdict(list)
        self._answers_due: defaultdict[int, list[int]] = defaultdict(list)
        self._receipts_due: defaultdict[int, list[int]] = defaultdict(list)
        self._reads = np.zeros(city.relay_count, np.int64)
        self._reads_due_ns = 0

    @property
    def backlog(self) -> int:
        """Transactions sent of which no relay has told that they are final."""
        return len(self._pending)

    def count_backlog(self, now_ns: int) -> int:
        """As ``backlog``, without what a tick has given out but is sent only after now."""
        slots = np.fromiter(self._pending.values(), np.int64, len(self._pending))
        return int(np.count_nonzero(self._clients.intended_ns[slots] <= now_ns))

    def find_slot(self, transaction_id: bytes) -> int:
        """Whose transaction this is, or -1 once its end was told or if it is nobody's."""
        return self._pending.get(transaction_id, -1)

    # What the city tells.

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay's answer to the transaction of slot ``client`` leaves it at ``at_ns``."""
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
            else:
                told = self._interpret(slot, status)
                if told != OK:
                    self._failures.append((slot, at_ns, included_ns, told))
                    continue
                # Only this client has the key: an earlier try had arrived after all.
                self.counts["repeated"] += 1
            self._finals.append(slot)
            self._final_ns.append(at_ns)
            self._included_ns.append(included_ns)
        if proven and self._verify is not None:
            self.counts["proofs"] += self._verify(relay, height, proven)

    def _interpret(self, slot: int, status: str) -> str:
        """What a receipt other than "ok" means to its client."""
        assert slot >= 0
        return status

    # A tick.

    def begin_tick(self, now_ns: int) -> range:
        """Take in what happened; the ticks that are due, mostly one."""
        tick_ns = self._patience.tick_ns
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
        return range(first, tick + 1)

    def send_due(self, due: int, now_ns: int) -> None:
        """Send what is planned for tick ``due``, and time out who waited too long."""
        if (slots := self._sending.pop(due, None)) is not None:
            self._send(slots, now_ns)
        if (slots := self._answers_due.pop(due, None)) is not None:
            self._time_out(slots, CASTING)
        if (slots := self._receipts_due.pop(due, None)) is not None:
            self._time_out(slots, POLLING)

    def flush_reads(self, now_ns: int) -> None:
        """Give relays the read requests that have gathered."""
        if now_ns < self._reads_due_ns:
            return
        self._reads_due_ns = now_ns + self._patience.reads_interval_ns
        read_load = self._city.read_load
        for relay, requests in enumerate(self._reads.tolist()):
            if requests:
                read_load(relay, requests, now_ns)
        self.counts["reads"] += int(self._reads.sum())
        self._reads[:] = 0

    # What clients do.

    def _send(self, listed: list[int], now_ns: int) -> None:
        columns = self._clients
        slots = np.array(listed, np.int64)
        # Who learnt of the end while backing off sends no more.
        slots = self._choose_senders(slots[columns.state[slots] < FINAL])
        known = columns.final_ns[slots] > 0
        if np.count_nonzero(known):
            # Stored after all: the client asks about its key before it sends again.
            found = slots[known]
            self._settle(found, columns.sent_ns[found] + 2 * columns.mile_ns[found])
            slots = slots[~known]
        if not len(slots):
            return
        # earliest first: how late the generator is shows in the first
        slots = slots[np.argsort(columns.sent_ns[slots], kind="stable")]
        sent_ns = columns.sent_ns[slots]
        self.late_ns_max = max(self.late_ns_max, now_ns - int(sent_ns[0]))
        columns.tries[slots] += 1
        columns.state[slots] = CASTING
        self.counts["sent"] += len(slots)
        self._upon_sending(slots)
        self._plan(
            self._answers_due, slots,
            sent_ns + (self._patience.answer_timeout_ns + self._patience.tick_ns),
        )
        self._submit(slots, np.maximum(sent_ns + columns.mile_ns[slots], now_ns))

    def _choose_senders(self, slots: Rows) -> Rows:
        return slots

    def _upon_sending(self, slots: Rows) -> None:
        """A hook: these are about to be sent."""

    def _submit(self, slots: Rows, arrives_ns: Rows) -> None:
        get, pending = self._transactions.get, self._pending
        remember, submit = self._city.remember_checked, self._city.submit
        for slot, relay, at_ns in zip(
            slots.tolist(), self._clients.relay[slots].tolist(), arrives_ns.tolist(),
            strict=True,
        ):
            made = get(slot)
            pending[made.id] = slot
            remember(made.key, made.id, made.signature)
            submit(relay, slot, made.transaction, at_ns)

    def _time_out(self, listed: list[int], waiting: int) -> None:
        """Whoever still waits has waited too long: back off, or give up."""
        columns = self._clients
        slots = np.array(listed, np.int64)
        slots = slots[columns.state[slots] == waiting]
        if not len(slots):
            return
        patience = self._patience
        if waiting == CASTING:
            self.counts["unanswered"] += len(slots)
            due_ns = columns.sent_ns[slots] + patience.answer_timeout_ns
        else:
            self.counts["unconfirmed"] += len(slots)
            due_ns = columns.accepted_ns[slots] + patience.polls_max * patience.poll_interval_ns
        self._fail(slots, due_ns)

    def _fail(self, slots: Rows, failed_ns: Rows) -> None:
        columns = self._clients
        hopeless = columns.tries[slots] >= self._patience.tries_max
        if hopeless.any():
            self._end(slots[hopeless], State.GAVE_UP)
            slots, failed_ns = slots[~hopeless], failed_ns[~hopeless]
        columns.state[slots] = State.BACKOFF
        # never the same relay again: it may be down, cut off, or keep quiet on purpose
        columns.relay[slots] = (columns.relay[slots] + 1) % self._city.relay_count
        tries = columns.tries[slots].astype(np.int64)
        again_ns = failed_ns + self._patience.retry_delay_ns * tries
        columns.sent_ns[slots] = again_ns
        self._plan(self._sending, slots, again_ns)

    # What clients hear.

    def _take_replies(self) -> None:
        columns, patience = self._clients, self._patience
        if self._replies:
            slots = np.array(self._replies, np.int64)
            mile_ns = columns.mile_ns[slots]
            here_ns = np.array(self._replied_ns, np.int64) + mile_ns
            self._replies, self._replied_ns = [], []
            # an answer after the time-out finds a client that has hung up
            timely = columns.state[slots] == CASTING
            timely &= here_ns <= columns.sent_ns[slots] + patience.answer_timeout_ns
            self.counts["late_answers"] += len(slots) - int(np.count_nonzero(timely))
            slots, here_ns, mile_ns = slots[timely], here_ns[timely], mile_ns[timely]
            columns.accepted_ns[slots] = here_ns
            columns.state[slots] = POLLING
            wait_ns = patience.polls_max * patience.poll_interval_ns + patience.tick_ns
            self._plan(self._receipts_due, slots, here_ns + 2 * mile_ns + wait_ns)
        verdicts, self._verdicts = self._verdicts, []
        for slot, verdict_ns, verdict in verdicts:
            self.refusals[verdict] += 1
            one = np.array([slot], np.int64)
            if columns.state[slot] != State.CASTING:
                continue
            # any other reason lies in the transaction, and every relay would find it
            if verdict == "busy":
                self._fail(one, one * 0 + verdict_ns)
            else:
                self._end(one, State.REFUSED)

    def _take_finals(self) -> None:
        columns, patience = self._clients, self._patience
        if self._finals:
            slots = np.array(self._finals, np.int64)
            at_ns = np.array(self._final_ns, np.int64)
            columns.final_ns[slots] = at_ns
            columns.included_ns[slots] = self._included_ns
            self._finals, self._final_ns, self._included_ns = [], [], []
            polling = columns.state[slots] == POLLING
            slots, at_ns = slots[polling], at_ns[polling]
            mile_ns = columns.mile_ns[slots]
            base_ns = columns.accepted_ns[slots]
            interval_ns = patience.poll_interval_ns
            # the first poll that reaches the relay when the block is final there, rounded up
            polls = np.maximum(-((base_ns + mile_ns - at_ns) // interval_ns), 1)
            seen = polls <= patience.polls_max
            seen_ns = base_ns + polls * interval_ns + 2 * mile_ns
            self._settle(slots[seen], seen_ns[seen])
        failures, self._failures = self._failures, []
        for slot, at, included_ns, status in failures:
            self._take_failure(slot, at, included_ns, status)

    def _take_failure(self, slot: int, at_ns: int, included_ns: int, status: str) -> None:
        assert included_ns <= at_ns
        self.refusals[status] += 1
        state = State.LATE if status == "late" else State.REFUSED
        if self._clients.state[slot] < State.FINAL:
            self._end(np.array([slot], np.int64), state)

    def _settle(self, slots: Rows, seen_ns: Rows) -> None:
        if not len(slots):
            return
        self._clients.seen_ns[slots] = seen_ns
        self._end(slots, State.FINAL)
        self._upon_settled(slots, seen_ns)

    def _upon_settled(self, slots: Rows, seen_ns: Rows) -> None:
        """A hook: these have seen their receipts."""

    def _end(self, slots: Rows, state: State) -> None:
        assert bool((self._clients.state[slots] < State.FINAL).all())
        self._clients.state[slots] = state
        self.active -= len(slots)
        assert self.active >= 0
        self.counts[state.name.lower()] += len(slots)
        self._transactions.release(slots)

    # Small things.

    def _plan(self, calendar: defaultdict[int, list[int]], slots: Rows, due_ns: Rows) -> None:
        # A tick that is under way or over takes nothing more: what is due then is late.
        due = np.maximum((due_ns - self._origin_ns) // self._patience.tick_ns, self._tick + 1)
        for slot, tick in zip(slots.tolist(), due.tolist(), strict=True):
            calendar[tick].append(slot)

    def _read(self, slots: Rows, requests: int) -> None:
        if requests:
            relays: NDArray[np.int16] = self._clients.relay[slots]
            self._reads += requests * np.bincount(relays, minlength=len(self._reads))
