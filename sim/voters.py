"""Voters: rows of numbers that arrive, wait, read, cast, poll, try again and vote again.

Open load: nobody's arrival or reading time depends on how the city answers. A session goes

    NOT_ARRIVED -> AT_DOOR -> WAITING_BALLOT -> READING -> CASTING -> POLLING -> FINAL
                                                   ^          |          |
                                              (ABANDONED)     +- BACKOFF <+   at most tries_max

and a second ballot (its own slot) enters at WAITING_BALLOT some time after the first is FINAL:
who has been inside does not queue again. LEAVING, LATE, REFUSED and other ends: see State.

How ballots are sent, polled for and sent again is the clients' part (sim.clients).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from node.receipt import OK
from sim.ballots import BallotStore
from sim.cityface import City, Verify
from sim.clients import Clients, Patience
from sim.door import Door
from sim.electorate import Electorate, Rows
from sim.errors import ConfigurationError
from sim.times import SECOND_NS
from sim.voter_columns import Columns, State

# compared with a whole column, a number is three times as fast
_LEAVING: Final = int(State.LEAVING)

# Of the read requests of a session: at the door and asking, with the ballot, casting, receipt.
_READ_SHARES = (0.3, 0.4, 0.2, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits(Patience):
    """How voters and their clients behave; defaults are Moscow's of 2021 if not said otherwise.

    A ballot expires after 15 minutes (2019); reading takes a median of 45 s (assumed). Second
    votes come after a median of two hours (assumed).
    """

    read_median_ns: int = 45 * SECOND_NS
    read_sigma: float = 0.7
    read_min_ns: int = 5 * SECOND_NS
    ballot_ttl_ns: int = 900 * SECOND_NS
    revote_median_ns: int = 7_200 * SECOND_NS
    revote_sigma: float = 1.0
    reads_per_voter: int = 1_000
    door_concurrency_max: int = 60_000

    def __post_init__(self) -> None:
        Patience.__post_init__(self)
        if self.read_min_ns < self.tick_ns:
            raise ConfigurationError("read_min_ns", self.read_min_ns, "not below tick_ns")


class Office(Protocol):
    """Where voters ask for a ballot; it answers ``upon_ballots`` or ``upon_no_ballots``."""

    def ask(self, slots: Rows, at_ns: Rows) -> None:
        """These ballots are asked for at these moments, not before the present."""
        ...


class Voters(Clients):
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
        columns = Columns(electorate.slots)
        super().__init__(
            city=city, columns=columns, transactions=ballots, patience=habits,
            rows_of=electorate.rows_of, verify=verify,
            key=int.from_bytes(electorate.rules.derive(b"relay")[:8], "big"),
        )
        self.columns = columns
        self._electorate = electorate
        self._ballots = ballots
        self._office = office
        self._habits = habits
        self._close_ns = close_ns
        self._stream = stream
        columns.arrival_ns[:users] = arrivals_ns
        self._arrivals_ns = columns.arrival_ns[:users]
        self.door = Door(habits.door_concurrency_max)
        self._asking: defaultdict[int, list[int]] = defaultdict(list)
        self._revotes_waiting = 0
        self._requests = [int(habits.reads_per_voter * share) for share in _READ_SHARES]

    @property
    def is_done(self) -> bool:
        """Whether all have come and nothing more will happen to anyone."""
        everyone = self.door.admitted + self.counts["turned_away"] == self._electorate.users
        return everyone and not self.active and not self._revotes_waiting

    def get_stored(self) -> Rows:
        """Slots of the ballots that a relay reported stored in a final block."""
        slots: Rows = np.flatnonzero(self.columns.final_ns > 0)
        return slots

    # What the city tells.

    def _interpret(self, slot: int, status: str) -> str:
        return OK if status == "already cast" else status

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
        self._read(slots, self._requests[1])
        self._plan(self._sending, slots, ballot_ns + reading)

    def upon_no_ballots(self, slots: Rows, at_ns: int) -> None:
        """The office can give these voters no ballot any more."""
        assert at_ns > 0
        self._end(slots, State.NO_BALLOT)

    def upon_tick(self, now_ns: int) -> None:
        """Take in what happened, and do what voters do until the next tick."""
        ticks = self.begin_tick(now_ns)
        self._ballots.pump()
        self._arrive(now_ns)
        for due in ticks:
            if (slots := self._asking.pop(due, None)) is not None:
                self._ask_again(slots, now_ns)
            self.send_due(due, now_ns)
        self.flush_reads(now_ns)

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
        admitted = door.admit(arrived, self.active)
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
        self._read(slots, self._requests[0])
        self._ballots.need(int(self._electorate.rows_of(slots[-1:])[0]))
        self._office.ask(slots, asked_ns + columns.mile_ns[slots])

    def _choose_senders(self, slots: Rows) -> Rows:
        leaving = self.columns.state[slots] == _LEAVING
        if np.count_nonzero(leaving):
            self._end(slots[leaving], State.ABANDONED)
            slots = slots[~leaving]
        return slots

    def _upon_sending(self, slots: Rows) -> None:
        self._read(slots, self._requests[2])

    def _upon_settled(self, slots: Rows, seen_ns: Rows) -> None:
        self._read(slots, self._requests[3])
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
        columns = self.columns
        columns.arrival_ns[second] = again_ns
        columns.state[second] = State.REVOTE_WAIT
        self._revotes_waiting += len(second)
        self._plan(self._asking, second, again_ns)
