"""What becomes of something that a peer sent: only ``Reject`` costs the peer (gossip v1.1)."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Accept:
    """Kept, and worth passing on."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """Not kept, and nobody's fault; ``reason`` is a short phrase for counting."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Forbidden by the protocol: whoever sent it pays; ``reason`` is for counting."""

    reason: str


Verdict: TypeAlias = Accept | Ignore | Reject
