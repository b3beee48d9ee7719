"""Hypercorn's HTTP protocols upon our own listening: connections are counted and can end.

Hypercorn's worker accepts without limit, and shields each write from cancellation, so that one
client who does not read keeps a cancelled node alive. Here the socket of a connection closes
when its task is cancelled or a write takes too long, which ends the write.
"""

from collections import Counter
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from node.host.buckets import compute_bucket
from node.host.guard import HttpStats
from node.host.limits import HttpLimits

_FULL = {EMFILE, ENFILE, ENOBUFS, ENOMEM}


async def serve_http(
    app: ASGIApp, host: str, port: int, *, limits: HttpLimits | None = None,
    stats: HttpStats | None = None,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; started, with the address, once it listens.

    Port 0 lets the system choose. Raises OSError when the address cannot be had.
    """
    listeners = await trio.open_tcp_listeners(port, host=host)
    address = listeners[0].socket.getsockname()
    door = _Door(app, limits or HttpLimits(), stats or HttpStats())
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(door.accept, listener, nursery)
        task_status.started((address[0], address[1]))


class _Stream:
    """What Hypercorn uses of a trio stream, with an end to every write."""

    def __init__(
        self, stream: trio.SocketStream, context: WorkerContext, write_timeout_s: float
    ) -> None:
        self._stream = stream
        self._context = context
        self._write_timeout_s = write_timeout_s
        self.socket = stream.socket
        self.send_eof = stream.send_eof
        self.aclose = stream.aclose

    async def receive_some(self, bytes_max: int) -> bytes | bytearray:
        data = b""
        try:
            data = await self._stream.receive_some(bytes_max)
        finally:
            if not data:  # otherwise a connection that has ended would idle on
                await self._context.terminated.set()
        return data

    async def send_all(self, data: bytes) -> None:
        with trio.move_on_after(self._write_timeout_s) as deadline:
            await self._stream.send_all(data)
        if deadline.cancelled_caught:
            self.socket.close()
            raise trio.BrokenResourceError("the reader does not read")

    async def close_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.socket.close()


class _Door:
    def __init__(self, app: ASGIApp, limits: HttpLimits, stats: HttpStats) -> None:
        self._limits = limits
        self._stats = stats
        self._config = _make_config(limits)
        self._app: AppWrapper = wrap_app(
            app,  # type: ignore[arg-type]  # Starlette and Hypercorn each have their own types
            self._config.wsgi_max_body_size, "asgi",
        )
        self._by_address: Counter[str] = Counter()
        self._room = trio.Semaphore(limits.connections_max)

    async def accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """One listener; when all slots are taken, newcomers wait in the system's queue."""
        async with listener:
            while True:
                await self._room.acquire()
                try:
                    stream = await listener.accept()
                except OSError as error:
                    self._room.release()
                    if error.errno not in _FULL:
                        raise
                    self._stats.refusals["no descriptors"] += 1
                    await trio.sleep(self._limits.accept_pause_s)
                    continue
                except BaseException:
                    self._room.release()
                    raise
                nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                address = compute_bucket(stream.socket.getpeername()[0])
                if self._by_address[address] >= self._limits.connections_per_address_max:
                    self._stats.refusals["too many connections"] += 1
                    return
                self._by_address[address] += 1
                self._stats.connections += 1
                try:
                    await self._speak(stream)
                finally:
                    self._stats.connections -= 1
                    self._by_address[address] -= 1
                    if not self._by_address[address]:
                        del self._by_address[address]
        except* Exception:  # noqa: BLE001  # the one supervised place of this interface
            # What a stranger's bytes do to the protocol's code ends one connection, no other:
            # Hypercorn lets some of its errors out. The app's own are answered and logged.
            self._stats.refusals["broken connection"] += 1
        finally:
            self._room.release()

    async def _speak(self, socket_stream: trio.SocketStream) -> None:
        context = WorkerContext(None)
        stream = _Stream(socket_stream, context, self._limits.write_timeout_s)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.close_when_cancelled)
            await TCPServer(
                self._app, self._config, context, ConnectionState({}),
                stream,  # type: ignore[arg-type]  # it needs no more of it than there is
            ).run()
            nursery.cancel_scope.cancel()


def _make_config(limits: HttpLimits) -> Config:
    config = Config()
    config.keep_alive_timeout = limits.idle_timeout_s
    config.read_timeout = round(limits.answer_timeout_s + limits.body_timeout_s) + 1
    config.include_server_header = False
    config.loglevel = "ERROR"
    return config
