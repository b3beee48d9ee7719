"""Links of a cluster that go through us, so that the rules of faults apply to real TCP.

A proxy knows no frames: the bytes are encrypted. A rule's verdict is on each piece of a stream
as it comes. A piece that is "dropped" is sent again as TCP does, after ``RTO_NS`` and then
twice that, up to ``RTO_NS_MAX``; what follows waits behind it. So loss is delay here, and a
partition that heals gives all that was held back, where frames of the simulation are gone.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import trio

from node.host.settings import LOOPBACK
from sim.rules import DROP, RuleSet

RTO_NS: Final = 200_000_000
RTO_NS_MAX: Final = 5_000_000_000
LOOPBACK_NS: Final = 50_000
"""What a rule that stretches links takes for the length of one on loopback."""

PIECE_BYTES: Final = 64 * 1024
PIECES_MAX: Final = 256
ENDS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class Way(NamedTuple):
    """Who dials whom, and where the one who is dialled listens."""

    sender: int
    receiver: int
    port: int


class Proxies:
    """A listening port for each way; ``run`` serves them until cancelled.

    ``speed`` is that of the cluster's clock, by which all delays are meant.
    """

    __slots__ = ("_listeners", "_read_now_ns", "_rules", "_sent", "_speed")

    def __init__(self, rules: RuleSet, read_now_ns: Callable[[], int], speed: float) -> None:
        self._rules = rules
        self._read_now_ns = read_now_ns
        self._speed = speed
        self._sent = 0
        self._listeners: list[tuple[Way, trio.SocketListener]] = []

    async def open(self, way: Way) -> int:
        """Listen for whoever dials that way; the port."""
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        self._listeners.append((way, listener))
        port: int = listener.socket.getsockname()[1]
        return port

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for way, listener in self._listeners:
                nursery.start_soon(self._accept, way, listener, nursery)

    async def _accept(
        self, way: Way, listener: trio.SocketListener, nursery: trio.Nursery
    ) -> None:
        async with listener:
            while True:
                stream = await listener.accept()
                nursery.start_soon(self._join, way, stream)

    async def _join(self, way: Way, near: trio.SocketStream) -> None:
        async with near:
            try:
                far = await trio.open_tcp_stream(LOOPBACK, way.port)
            except OSError:  # the other node is down
                return
            async with far, trio.open_nursery() as nursery:
                scope = nursery.cancel_scope
                nursery.start_soon(self._carry, near, far, way.sender, way.receiver, scope)
                nursery.start_soon(self._carry, far, near, way.receiver, way.sender, scope)

    async def _carry(
        self, source: trio.SocketStream, sink: trio.SocketStream, sender: int, receiver: int,
        scope: trio.CancelScope,
    ) -> None:
        """One direction; its end is that of both, after what is under way has arrived."""
        put, take = trio.open_memory_channel[tuple[int, bytes]](PIECES_MAX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive, source, put)
            async with take:
                try:
                    async for at_ns, piece in take:
                        await self._wait_way(sender, receiver, at_ns)
                        await sink.send_all(piece)
                except ENDS:
                    pass
            scope.cancel()

    async def _receive(
        self, source: trio.SocketStream, put: trio.MemorySendChannel[tuple[int, bytes]]
    ) -> None:
        async with put:
            try:
                while piece := await source.receive_some(PIECE_BYTES):
                    await put.send((self._read_now_ns(), bytes(piece)))
            except ENDS:
                pass

    async def _wait_way(self, sender: int, receiver: int, at_ns: int) -> None:
        """As long as the rules make a piece that came at ``at_ns`` take."""
        rto_ns = RTO_NS
        while self._rules.active:
            self._sent += 1
            verdict = self._rules.judge(sender, receiver, LOOPBACK_NS, self._sent)
            if verdict != DROP:
                await self._wait(at_ns + verdict - self._read_now_ns())
                return
            await self._wait(rto_ns)
            rto_ns = min(2 * rto_ns, RTO_NS_MAX)

    async def _wait(self, wait_ns: int) -> None:
        if wait_ns > 0:
            await trio.sleep(wait_ns / 1e9 / self._speed)
