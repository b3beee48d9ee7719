"""Facts that a node tells its observers: the closed union ``Event``.

Metrics, checkers and logs subscribe to these; nothing in the node counts for them.
"""

from typing import NamedTuple, TypeAlias

from node.types import Digest, PeerHandle


class BlockProposed(NamedTuple):
    """This node proposed a block."""

    height: int
    round: int
    digest: Digest
    transactions: int


class BlockFinal(NamedTuple):
    """This node holds a final block and has executed it."""

    height: int
    digest: Digest


class RoundChanged(NamedTuple):
    """This validator moved to a later round; ``cause`` is "timeout", "jump" or "proposal"."""

    height: int
    round: int
    cause: str


class BundlePublished(NamedTuple):
    """This relay gave its gathered transactions to upcoming proposers."""

    digest: Digest
    transactions: int


class InputRefused(NamedTuple):
    """Something from a peer or a client was refused; ``verdict`` is "ignore" or "reject"."""

    peer: PeerHandle
    verdict: str
    reason: str


class SyncStarted(NamedTuple):
    """This node found itself behind and asks for blocks from ``height`` on."""

    height: int


class ConflictSeen(NamedTuple):
    """Two different sealed blocks at one height: the safety of the chain is broken."""

    height: int
    mine: Digest
    other: Digest


Event: TypeAlias = (
    BlockProposed
    | BlockFinal
    | RoundChanged
    | BundlePublished
    | InputRefused
    | SyncStarted
    | ConflictSeen
)
