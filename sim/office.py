"""An office that works by a script: steps of transactions, each step after the one before.

The fairs and the auctions have one writer, the registrar, whose desk sends in the order of its
nonces. A step's transactions go out as far as the desk's window allows; when all have receipts,
the script goes on and may look at what the chain holds. A step may have to wait for its hour.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from node.codec import Value
from node.crypto import Identity
from node.receipt import OK
from sim.cityface import City, Item, Records
from sim.desk import Desk, Job

Task: TypeAlias = tuple[int, list[Value]]
"""(kind, payload)."""

WINDOW = 48
PATIENCE_BLOCKS = 6
VAIN_STEPS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``tasks`` to send once ``is_due`` says so for the present."""

    name: str
    tasks: Iterator[Task]
    is_due: Callable[[int], bool] = lambda now_ns: True


Script: TypeAlias = Callable[["Office"], Iterator[Step]]


class Office:
    """Carries out a script. ``failures`` counts receipts other than "ok" by (step, status).

    A step that fails as a whole may come again by its script; ``is_stuck`` tells that too many
    steps on end have.
    """

    def __init__(self, *, city: City, chief: Identity, script: Script) -> None:
        window = min(WINDOW, city.params.sender_pending_max)
        self._city = city
        self._desk = Desk(
            city, chief, client=-1, relay=0, window=window,
            patience_ns=PATIENCE_BLOCKS * city.params.block_interval_ns,
        )
        self._steps = script(self)
        self._step: Step | None = None
        self._outstanding = 0
        self._has_begun = False
        self._given = self._failed = 0
        self._vain_steps = 0
        self.is_done = False
        self.failures: Counter[tuple[str, str]] = Counter()

    @property
    def now_ns(self) -> int:
        """The present."""
        return self._city.kernel.now_ns

    @property
    def is_stuck(self) -> bool:
        """Whether the chain refuses what must come next."""
        return self._vain_steps >= VAIN_STEPS_MAX

    @property
    def step(self) -> str:
        """The name of the step under way."""
        return "done" if self._step is None else self._step.name

    def read_records(self) -> Records:
        """As ``Desk.read_records``."""
        return self._desk.read_records()

    def upon_reply(self, at_ns: int, client: int, transaction_id: bytes, verdict: str) -> None:
        """A relay's verdict on a transaction of the office."""
        assert client == -1
        self._desk.upon_reply(at_ns, transaction_id, verdict)

    def upon_final(self, at_ns: int, items: list[Item]) -> None:
        """A relay holds a final block with these transactions that came through it."""
        if self._desk.load:
            self._desk.upon_final(at_ns, items)

    def upon_tick(self, now_ns: int) -> None:
        """Go on with the script as far as it goes now."""
        while not self.is_done:
            if self._step is None:
                self._begin()
                continue
            if not self._has_begun and not self._step.is_due(now_ns):
                break
            if not self._has_begun:
                self._has_begun = True
                self._given = self._failed = 0
            self._feed(now_ns)
            if self._outstanding or self.is_stuck:
                break
            # one success is progress; a step that had nothing to send is none and no failure
            is_vain = 0 < self._given == self._failed
            self._vain_steps = self._vain_steps + 1 if is_vain else 0
            self._step = None
        self._desk.upon_tick(now_ns)

    def _begin(self) -> None:
        self._step = next(self._steps, None)
        self._has_begun = False
        self.is_done = self._step is None

    def _feed(self, now_ns: int) -> None:
        assert self._step is not None
        while self._desk.has_room:
            task = next(self._step.tasks, None)
            if task is None:
                return
            self._outstanding += 1
            self._given += 1
            self._desk.give(Job(*task, self._upon_done, now_ns))

    def _upon_done(self, status: str, at_ns: int) -> None:
        assert at_ns > 0
        assert self._step is not None
        self._outstanding -= 1
        if status != OK:
            self._failed += 1
            self.failures[(self._step.name, status)] += 1
