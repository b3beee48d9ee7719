"""What users and offices see of the city: the one face against which they are written.

They are outside of the network. They hand transactions to relays, hear answers, and are told of
final blocks by the relays they talk to; nothing else of a node is theirs to look at.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.params import Params

Nanoseconds: TypeAlias = NDArray[np.int64]

Item: TypeAlias = tuple[bytes, str, int]
"""(transaction id, receipt's status, time of the block that includes it)."""

ACCEPTED = "accepted"
"""The verdict of a relay that took a transaction; any other is the reason why not."""


class Kernel(Protocol):
    """The virtual clock."""

    @property
    def now_ns(self) -> int:
        """The present."""
        ...


class Records(Protocol):
    """A snapshot of the chain's state, as a relay serves it to whoever asks."""

    def get(self, key: bytes, /) -> bytes | None:
        """The record under ``key``."""
        ...


class City(Protocol):
    """The relays, from outside. Times are virtual nanoseconds."""

    @property
    def kernel(self) -> Kernel:
        """The clock that all share."""
        ...

    @property
    def chain_id(self) -> bytes:
        """For which chain transactions are signed."""
        ...

    @property
    def params(self) -> Params:
        """The chain's rules."""
        ...

    @property
    def relay_count(self) -> int:
        """Relays are numbered from 0."""
        ...

    def submit(self, relay: int, client: int, transaction: bytes, at_ns: int) -> None:
        """A transaction arrives at ``relay`` at ``at_ns``; its last mile is behind it."""
        ...

    def last_mile_ns(self, rows: Nanoseconds) -> Nanoseconds:
        """One way between each voter and a relay; the same whenever asked."""
        ...

    def read_load(self, relay: int, requests: int, at_ns: int) -> None:
        """So many read requests come to a relay, counted and charged as one batch."""
        ...

    def remember_made(self, key: bytes, message: bytes, signature: bytes) -> None:
        """This process has signed it itself, and peers are about to check it."""
        ...

    def remember_checked(self, key: bytes, message: bytes, signature: bytes) -> None:
        """A worker process has checked that this signature holds."""
        ...

    def remember_opened(self, box: bytes, plain: bytes | None) -> None:
        """A worker process has opened this box."""
        ...

    def read_records(self, relay: int) -> Records | None:
        """The latest final state that ``relay`` holds; None while it is down."""
        ...


Verify: TypeAlias = Callable[[int, int, list[bytes]], int]
"""(relay, height, transaction ids) -> how many of them that relay can prove to be final."""
