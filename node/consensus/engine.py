"""What a node asks of a consensus engine, and what an engine asks of its node.

An engine is a pure state machine like the node itself: it is told heads, messages and timers
and answers with outcomes, in the order in which they must be carried out. ``Persist`` must be
durable before the outcomes after it: an engine says nothing that it could forget.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, TypeAlias

from node.block import Block, Header
from node.compiling import mypyc_attr
from node.consensus.authorities import Authorities
from node.effects import Emit, Persist, SetTimer, Worked
from node.events import InputRefused
from node.types import Now, PublicKey, Signature
from node.work import WorkKind

UNKNOWN_PEER: Final = -1
"""Stands in ``InputRefused`` for the peer, whom only the node knows."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Application(ABC):
    """The node as its engine sees it."""

    __slots__ = ()

    @abstractmethod
    def propose(self, now: Now, height: int) -> Block | None:
        """An unsealed block of round 0 on the head, by this node; None to let the turn pass."""

    @abstractmethod
    def verify(self, now: Now, block: Block) -> None:
        """Raises InvalidBlock unless ``block`` may follow the head, executed and all."""

    @abstractmethod
    def check_signature(self, key: PublicKey, message: bytes, signature: Signature) -> bool:
        """Whether ``key`` signed ``message``."""

    @abstractmethod
    def sign(self, message: bytes) -> Signature:
        """This node's signature of ``message``."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send one consensus message to all other validators."""

    frame_payload: bytes


@dataclass(frozen=True, slots=True)
class Decide:
    """The block of this height is final; it carries at least a quorum of seals."""

    block: Block


@dataclass(frozen=True, slots=True)
class Behind:
    """A validator speaks of ``height``, above the one in progress: blocks are missing here."""

    height: int


Outcome: TypeAlias = Say | Decide | Behind | SetTimer | Persist | Worked | Emit


@mypyc_attr(allow_interpreted_subclasses=True)
class Engine(ABC):
    """One validator's part in agreeing on blocks."""

    __slots__ = ()

    @abstractmethod
    def upon_head(
        self, now: Now, head: Header, authorities: Authorities | None = None
    ) -> list[Outcome]:
        """Start the height after ``head``; call it at start and after every adopted block.

        ``authorities`` are those after ``head``. They may be left out for block 0 and for the
        next block in order, which the engine folds itself.
        """

    @abstractmethod
    def upon_message(self, now: Now, payload: bytes) -> list[Outcome]:
        """Raises InvalidMessage for what must cost its sender, and then nothing has changed.

        What is late, early or double is harmless and at most reported as ignored.
        """

    @abstractmethod
    def upon_timer(self, now: Now, timer: tuple[str, int, int]) -> list[Outcome]:
        """A timer named ("block" | "round", height, round); stale ones do nothing."""

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Whether nothing is under way until the block timer."""

    @abstractmethod
    def compute_digest(self) -> bytes:
        """A digest of all that the engine remembers."""


# Outcomes that a busy validator returns thousands of times per block are made once.
CHECKED: Outcome = Worked(WorkKind.CHECK_SIGNATURE, 1)
SIGNED: Outcome = Worked(WorkKind.SIGN, 1)


def make_ignored(reason: str) -> Outcome:
    """The report of a message that is dropped at no cost for its sender."""
    return Emit(InputRefused(UNKNOWN_PEER, "ignore", reason))
