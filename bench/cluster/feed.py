"""A load generator at saturation: signed transactions into one door, as many as it takes.

A closed loop, and called so: no more than ``backlog_max`` are handed in and not yet final, so
the relay is never out of work, and its queue, hence the latency, does not grow with the run.
"""

from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from bench.cluster.door import ACCEPTED, BODY_BYTES_MAX, BUSY, Connection

PAUSE_S = 0.01
"""Until a relay that was busy, or whose backlog is full, is looked at again."""


class Taker(Protocol):
    """A connection to whoever takes them: a relay, or what one is held beside."""

    async def post(self, transactions: list[bytes], /) -> list[str]:
        """A verdict for each."""

    async def close(self) -> None:
        """Hang up."""


class Feed:
    """Sends ``transactions`` in order; whoever follows the chain sets ``final``.

    ``sent_ns`` says by ``read_ns`` when each left; ``refused`` counts verdicts by reason, the
    relay's "busy" not among them, for then a transaction is sent again.
    """

    __slots__ = ("_backlog_max", "_batch", "_batch_bytes", "_next", "_open", "_port",
                 "_read_ns", "_transactions", "accepted", "busy", "final", "refused", "sent_ns")

    def __init__(
        self, port: int, transactions: Sequence[bytes], read_ns: Callable[[], int], *,
        backlog_max: int, batch: int, batch_bytes: int = BODY_BYTES_MAX,
        open_taker: Callable[[int], Awaitable[Taker]] = Connection.open,
    ) -> None:
        assert 0 < batch <= backlog_max
        self._port = port
        self._open = open_taker
        self._transactions = transactions
        self._read_ns = read_ns
        self._backlog_max = backlog_max
        self._batch = batch
        self._batch_bytes = batch_bytes
        self._next = 0
        self.accepted = 0
        self.busy = 0
        self.final = 0
        self.refused: Counter[str] = Counter()
        self.sent_ns = array("q", bytes(8 * len(transactions)))

    async def run(self, connections: int) -> None:
        """Until each transaction has its verdict. OSError and the like if the relay is gone.

        With one connection they arrive in their order.
        """
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(self._serve)

    async def _serve(self) -> None:
        connection = await self._open(self._port)
        try:
            while self._next < len(self._transactions):
                waiting = self._next - self.final
                if waiting and waiting + self._batch > self._backlog_max:
                    await trio.sleep(PAUSE_S)
                    continue
                await self._send(connection, self._take())
        finally:
            await connection.close()

    def _take(self) -> range:
        first = self._next
        size = 0
        for transaction in self._transactions[first : first + self._batch]:
            size += len(transaction)
            if size > self._batch_bytes:
                break
            self._next += 1
        assert self._next > first, "no transaction is so large"
        return range(first, self._next)

    async def _send(self, connection: Taker, numbers: Sequence[int]) -> None:
        while numbers:
            now_ns = self._read_ns()
            for number in numbers:
                self.sent_ns[number] = now_ns
            verdicts = await connection.post([self._transactions[n] for n in numbers])
            counts = Counter(verdicts)
            self.accepted += counts.pop(ACCEPTED, 0)
            busy = counts.pop(BUSY, 0)
            self.refused += counts
            if not busy:
                return
            self.busy += busy
            numbers = [number for number, verdict in zip(numbers, verdicts, strict=True)
                       if verdict == BUSY]
            await trio.sleep(PAUSE_S)
