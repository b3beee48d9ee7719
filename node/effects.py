"""What a node asks of its host: the closed union ``Effect``, carried out in order.

A host that cannot carry out an effect stops the node; it never reorders or drops one. Time
charged by ``Worked`` and durability promised by ``Persist`` come before the effects after them.
"""

from typing import NamedTuple, TypeAlias

from node.events import Event
from node.types import PeerHandle
from node.work import WorkKind


class Send(NamedTuple):
    """Put one frame on the link to ``peer``."""

    peer: PeerHandle
    frame: bytes


class Spread(NamedTuple):
    """Put one frame on the links to ``peers``, sparing those who say that they have it.

    ``content`` names what the frame carries, so that a host can spare copies by it.
    """

    peers: tuple[PeerHandle, ...]
    frame: bytes
    content: bytes


class SetTimer(NamedTuple):
    """Fire ``TimerFired(timer)`` at ``at_ns`` of the monotonic clock; nothing cancels it."""

    timer: tuple[str, int, int]
    at_ns: int


class Persist(NamedTuple):
    """Make a record durable under ``slot`` (replacing what was there) before going on.

    It comes in ``parts``, for whoever writes it to join: nodes of one process share the
    largest.
    """

    slot: str
    parts: tuple[bytes, ...]


class Worked(NamedTuple):
    """The node computed this much since the previous effect."""

    kind: WorkKind
    units: int


class Reply(NamedTuple):
    """Answer a client: ``verdict`` is "accepted" or the reason of the refusal."""

    client: int
    transaction_id: bytes
    verdict: str


class Disconnect(NamedTuple):
    """End the link to ``peer``, which broke the protocol; ``reason`` was recorded first."""

    peer: PeerHandle
    reason: str


class Emit(NamedTuple):
    """A typed fact for whoever observes the node; it changes nothing."""

    event: Event


Effect: TypeAlias = Send | Spread | SetTimer | Persist | Worked | Reply | Disconnect | Emit
