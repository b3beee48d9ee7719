"""A crowd: everyone sends once at a moment of their own, and some a second time later.

Rows are in order of their first click. What they send is asked for ten to twelve seconds before
the click, so that worker processes have it ready; for a bid that is also when its bidder looks
at the price. Every fourth tick looks ahead for four: waking a worker costs most of a
millisecond, whatever it is asked.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.execution import SEQUENCE_PER_BLOCK
from node.receipt import DUPLICATE, NONCE_GAP, OK
from sim.cityface import City, Verify
from sim.clients import Clients, Patience
from sim.electorate import Rows
from sim.signing import SignedStore
from sim.slots import Slots
from sim.times import SECOND_NS
from sim.voter_columns import ClientColumns, State

LEAD_NS: Final = 10 * SECOND_NS
"""From looking to clicking: what it takes to fill in a form (assumed)."""

LOOK_TICKS: Final = 4

_READ_SHARES = (0.6, 0.3, 0.1)  # while looking, sending, with the receipt

Prepare = Callable[[Rows, int], Rows | None]
"""(slots, now) -> the amounts that their transactions say, if they say any."""


class CrowdColumns(ClientColumns):
    """With each transaction's place in the chain, -1 for none, and what became of it."""

    __slots__ = ("sequence", "status")

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self.sequence: Rows = np.full(slots, -1, np.int64)
        self.status: NDArray[np.uint8] = np.zeros(slots, np.uint8)  # see Crowd.statuses


class Crowd(Clients):
    """All users of one window. ``statuses`` names the codes of ``columns.status``.

    ``upon_seen``, if set, hears of slots whose users have their receipts, and when.
    """

    def __init__(
        self, *, city: City, slots: Slots, store: SignedStore, intended_ns: Rows, key: int,
        reads_per_user: int, prepare: Prepare, verify: Verify | None,
    ) -> None:
        assert len(intended_ns) == slots.users
        assert bool((np.diff(intended_ns) >= 0).all())
        columns = CrowdColumns(slots.count)
        super().__init__(
            city=city, columns=columns, transactions=store, patience=Patience(),
            rows_of=slots.rows_of, key=key, verify=verify,
        )
        self.columns = columns
        self.slots = slots
        self._store = store
        self._prepare = prepare
        columns.intended_ns[: slots.users] = intended_ns
        self._clicks_ns = columns.intended_ns[: slots.users]
        self._begun = 0
        self._later: defaultdict[int, list[int]] = defaultdict(list)
        self._later_count = 0
        self._requests = [int(reads_per_user * share) for share in _READ_SHARES]
        self.statuses = ["", OK]
        self.failures: Counter[str] = Counter()
        self.upon_seen: Callable[[Rows, Rows], None] | None = None

    @property
    def tick_ns(self) -> int:
        """How often ``upon_tick`` is called."""
        return self._patience.tick_ns

    @property
    def is_done(self) -> bool:
        """Whether all have come and nothing more will happen to anyone."""
        return self._begun == self.slots.users and not self.active and not self._later_count

    @property
    def done_count(self) -> int:
        """Transactions of whose end a relay has told."""
        return self.counts["sent"] - self.backlog

    def plan(self, slots: Rows, intended_ns: Rows) -> None:
        """These second transactions are meant for these moments, LEAD_NS from now or later."""
        assert not len(slots) or int(slots.min()) >= self.slots.users
        self.columns.intended_ns[slots] = intended_ns
        self._later_count += len(slots)
        looks = (intended_ns - LEAD_NS - self._origin_ns) // (LOOK_TICKS * self.tick_ns)
        looks = np.maximum(looks, self._tick // LOOK_TICKS + 1)
        for slot, look in zip(slots.tolist(), looks.tolist(), strict=True):
            self._later[look].append(slot)

    def upon_tick(self, now_ns: int) -> None:
        """Take in what happened, and do what users do until the next tick."""
        ticks = self.begin_tick(now_ns)
        self._store.pump()
        for due in ticks:
            if due % LOOK_TICKS == 0:
                self._look_ahead(due // LOOK_TICKS, now_ns)
            self.send_due(due, now_ns)
        self.flush_reads(now_ns)

    def _look_ahead(self, look: int, now_ns: int) -> None:
        upto_ns = now_ns + LEAD_NS + LOOK_TICKS * self.tick_ns
        until = int(self._clicks_ns.searchsorted(upto_ns))
        if until > self._begun:
            self._look(np.arange(self._begun, until, dtype=np.int64), now_ns)
            self._begun = until
        if (listed := self._later.pop(look, None)) is not None:
            self._later_count -= len(listed)
            self._look(np.array(listed, np.int64), now_ns)

    def upon_block(self, height: int, receipts: list[tuple[bytes, str]]) -> None:
        """All receipts of a final block in their order: the first of each counts."""
        columns, find_slot = self.columns, self.find_slot
        first = height * SEQUENCE_PER_BLOCK
        for index, (transaction_id, status) in enumerate(receipts):
            slot = find_slot(transaction_id)
            if slot < 0 or columns.status[slot] or status in (DUPLICATE, NONCE_GAP):
                continue
            if status not in self.statuses:
                self.statuses.append(status)
            columns.sequence[slot] = first + index
            columns.status[slot] = self.statuses.index(status)

    def _look(self, slots: Rows, now_ns: int) -> None:
        columns = self.columns
        columns.sent_ns[slots] = columns.intended_ns[slots]
        self.active += len(slots)
        self.active_max = max(self.active_max, self.active)
        self._read(slots, self._requests[0])
        self._store.ask(slots, self._prepare(slots, now_ns))
        self._plan(self._sending, slots, columns.intended_ns[slots])

    def _interpret(self, slot: int, status: str) -> str:
        # An earlier try had arrived by another relay; its own receipt says how it ended.
        if status == DUPLICATE:
            return self.statuses[self.columns.status[slot]] or status
        return status

    def _upon_sending(self, slots: Rows) -> None:
        self._read(slots, self._requests[1])

    def _upon_settled(self, slots: Rows, seen_ns: Rows) -> None:
        self._read(slots, self._requests[2])
        if self.upon_seen is not None:
            self.upon_seen(slots, seen_ns)

    def _take_failure(self, slot: int, at_ns: int, included_ns: int, status: str) -> None:
        columns = self.columns
        self.failures[status] += 1
        columns.final_ns[slot] = at_ns
        columns.included_ns[slot] = included_ns
        if columns.state[slot] < State.FINAL:
            state = State.LATE if status in ("late", "closed") else State.REFUSED
            self._end(np.array([slot], np.int64), state)
