"""What the HTTP interface asks of the host: nothing else of it is known on that side."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import trio

from node.chain import Chain
from node.inputs import Role
from node.params import Genesis
from node.types import PublicKey


class Desk(Protocol):
    """A running node as its readers and clients see it."""

    @property
    def genesis(self) -> Genesis:
        """What the chain began with."""

    @property
    def role(self) -> Role:
        """What this node does for the city; only a relay takes transactions."""

    @property
    def chain(self) -> Chain:
        """The final chain; to be read, and not across an await."""

    @property
    def has_fault(self) -> str | None:
        """What is broken beyond repair; None while nothing is known to be."""

    async def submit_many(self, transactions: Sequence[bytes]) -> list[str]:
        """Verdicts in order: "accepted", or the reason of the refusal."""

    def peers(self) -> Sequence[tuple[PublicKey, Role]]:
        """Who is linked."""

    def counters(self) -> Mapping[str, float]:
        """Counts since the start, and levels at this moment, by dotted name."""

    def subscribe(self) -> trio.MemoryReceiveChannel[int]:
        """Heights as they become final; who is slow misses some, but never the news itself:
        a height is only dropped while an earlier one waits to be read.
        """
