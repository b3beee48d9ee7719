"""Users at one relay's door: transactions by HTTP, verdicts back, as any tool would do it."""

import json
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import h11
import trio

from node.codec import encode
from node.host.openapi import BATCH_MAX, MSGPACK
from node.host.settings import LOOPBACK
from sim.cityface import ACCEPTED

CONNECTIONS = 4
"""So that who comes while a relay still checks others is not held up by their answers."""

RECEIVE_BYTES = 64 * 1024
BODY_BYTES_MAX = 768 * 1024
ANSWER_TIMEOUT_S = 20.0
READS_PER_S_MAX = 50.0
"""Of a relay, by the wall clock: each costs it a millisecond or two, and a city's readers are
more than one machine has room for beside the nodes."""

READS_WAITING_MAX = 100
READ = "/v1/head"
REDIAL_S = 0.1
BUSY = "busy"
ENDS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError,
        h11.LocalProtocolError)
OK, TOO_MANY, UNAVAILABLE = 200, 429, 503

__all__ = ["ACCEPTED", "Connection", "Door", "Handed"]


class _Lane:
    """A queue before the door."""

    __slots__ = ("has_more", "queue")

    def __init__(self) -> None:
        self.queue: deque[Handed] = deque()
        self.has_more = trio.Event()


class Handed(NamedTuple):
    """A transaction, and whose it is."""

    client: int
    transaction: bytes


class Door:
    """Sends what is ``put``; ``told`` hears verdicts. Users go in over a few connections.

    ``read`` has people look at the last block; ``reads`` of these requests were answered and
    ``left_out`` were not, for want of room or of a relay.

    Offices, the clients below 0, have one of their own: their nonces must come in order.
    What a relay that is down was to get is lost, as in life: users notice by the silence.
    """

    __slots__ = ("_has_reads", "_offices", "_port", "_reads_waiting", "_told", "_users",
                 "left_out", "lost", "reads")

    def __init__(self, port: int, told: Callable[[Handed, str], None]) -> None:
        self._port = port
        self._told = told
        self._offices = _Lane()
        self._users = _Lane()
        self._reads_waiting = 0
        self._has_reads = trio.Event()
        self.lost = 0
        self.reads = 0
        self.left_out = 0

    def read(self, requests: int) -> None:
        """People look: as many requests as there is room for are sent, one after the other."""
        taken = min(requests, READS_WAITING_MAX - self._reads_waiting)
        self._reads_waiting += taken
        self.left_out += requests - taken
        if taken:
            self._has_reads.set()

    def put(self, handed: Handed) -> None:
        """Send this as soon as a connection is free."""
        lane = self._offices if handed.client < 0 else self._users
        lane.queue.append(handed)
        lane.has_more.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, self._offices)
            nursery.start_soon(self._look)
            for _ in range(CONNECTIONS):
                nursery.start_soon(self._serve, self._users)

    async def _serve(self, lane: _Lane) -> None:
        connection: Connection | None = None
        try:
            while True:
                batch = await self._take(lane)
                handed = [item.transaction for item in batch]
                verdicts: list[str] | None = None
                # a relay hangs up on who was silent, so a kept connection proves nothing; the
                # same transaction twice does no harm
                for _ in range(2 if connection is not None else 1):
                    try:
                        if connection is None:
                            connection = await Connection.open(self._port)
                        with trio.fail_after(ANSWER_TIMEOUT_S):
                            verdicts = await connection.post(handed)
                        break
                    except (*ENDS, trio.TooSlowError):
                        if connection is not None:
                            await connection.close()
                            connection = None
                if verdicts is None:
                    self.lost += len(batch)
                    await trio.sleep(REDIAL_S)
                    continue
                for item, verdict in zip(batch, verdicts, strict=True):
                    self._told(item, verdict)
        finally:
            if connection is not None:
                with trio.CancelScope(shield=True):
                    await connection.close()

    async def _look(self) -> None:
        while True:
            await self._has_reads.wait()
            try:
                connection = await Connection.open(self._port)
            except OSError:
                await self._count_look(answered=False)
                continue
            try:
                while True:
                    await self._has_reads.wait()
                    with trio.fail_after(ANSWER_TIMEOUT_S):
                        await connection.get(READ)
                    await self._count_look(answered=True)
            except (*ENDS, trio.TooSlowError):
                await self._count_look(answered=False)
            finally:
                await connection.close()

    async def _count_look(self, *, answered: bool) -> None:
        """Once for each of those that wait; then a pause."""
        self.reads += answered
        self.left_out += not answered
        self._reads_waiting -= 1
        if not self._reads_waiting:
            self._has_reads = trio.Event()
        await trio.sleep(1 / READS_PER_S_MAX)

    async def _take(self, lane: _Lane) -> list[Handed]:
        while not lane.queue:
            lane.has_more = trio.Event()
            await lane.has_more.wait()
        batch: list[Handed] = []
        size = 0
        queue = lane.queue
        while queue and len(batch) < BATCH_MAX:
            size += len(queue[0].transaction)
            if batch and size > BODY_BYTES_MAX:
                break
            batch.append(queue.popleft())
        return batch


class Connection:
    """One kept-alive connection. Methods raise OSError, trio's or h11's errors."""

    __slots__ = ("_http", "_stream")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """A new one to this port of the loopback."""
        return cls(await trio.open_tcp_stream(LOOPBACK, port))

    async def close(self) -> None:
        """Hang up."""
        await trio.aclose_forcefully(self._stream)

    async def post(self, transactions: list[bytes]) -> list[str]:
        """Their verdicts; all are "busy" if the relay says so of the whole batch."""
        body = encode(list(transactions))
        answer = await self.ask("POST", "/v1/transactions/batch", body)
        if answer is None:
            return [BUSY] * len(transactions)
        verdicts = json.loads(answer)["verdicts"]
        assert len(verdicts) == len(transactions)
        return [str(verdict) for verdict in verdicts]

    async def get(self, path: str) -> bytes:
        """The body of the answer; a relay that has no time for it answers with an empty one."""
        return await self.ask("GET", path) or b""

    async def ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = MSGPACK
    ) -> bytes | None:
        """The body of the answer; None if the other has no time for it."""
        self._begin()
        headers = [("host", LOOPBACK)]
        events: list[h11.Event] = [h11.EndOfMessage()]
        if body:
            headers += [("content-type", content_type), ("content-length", str(len(body)))]
            events.insert(0, h11.Data(data=body))
        events.insert(0, h11.Request(method=method, target=path, headers=headers))
        await self._stream.send_all(b"".join(self._http.send(event) or b"" for event in events))
        status, answer = await self._receive()
        if status in (TOO_MANY, UNAVAILABLE):
            return None
        if status != OK:
            raise AssertionError(f"the relay answers {status}: {answer.decode()}")
        return answer

    def _begin(self) -> None:
        if self._http.our_state is h11.MUST_CLOSE:
            raise trio.BrokenResourceError("the relay wants a new connection")
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()

    async def _receive(self) -> tuple[int, bytes]:
        status, body = 0, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(RECEIVE_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise trio.BrokenResourceError("the relay has hung up")
