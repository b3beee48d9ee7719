"""What a host tells a node: the closed union ``Input``."""

from enum import Enum
from typing import Final, NamedTuple, TypeAlias, final

from node.compiling import mypyc_attr
from node.types import PeerHandle, PublicKey


class Role(Enum):
    """What a peer does for the city."""

    VALIDATOR = "validator"
    RELAY = "relay"
    OBSERVER = "observer"


class Started(NamedTuple):
    """The host is ready; arm the first timers."""


class PeerJoined(NamedTuple):
    """A link to an authenticated peer is up."""

    peer: PeerHandle
    identity: PublicKey
    role: Role


class PeerLeft(NamedTuple):
    """The link to a peer is gone."""

    peer: PeerHandle


@final
@mypyc_attr(acyclic=True)
class Received:
    """A frame arrived on a link. Only bytes cross between peers."""

    __slots__ = ("frame", "peer")
    __match_args__ = ("peer", "frame")

    # as for ``Now``: made for each delivery
    def __init__(self, peer: PeerHandle, frame: bytes) -> None:
        self.peer: Final = peer
        self.frame: Final = frame


class TimerFired(NamedTuple):
    """A timer set by ``SetTimer`` came due."""

    timer: tuple[str, int, int]


class Submitted(NamedTuple):
    """A client hands in one encoded transaction."""

    client: int
    transaction: bytes


Other: TypeAlias = Started | PeerJoined | PeerLeft | TimerFired | Submitted
Input: TypeAlias = Received | Other
