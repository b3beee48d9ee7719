"""Streams to other machines: TCP, or whatever else a test puts in its place."""

from collections.abc import Sequence
from typing import Protocol

import trio

# How many connections the kernel keeps for us while we are busy; it cuts this to its own limit.
_BACKLOG = 128


class Network(Protocol):
    """Where streams come from. Both methods raise OSError."""

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """A stream to whoever listens there."""
        ...

    async def listen(
        self, host: str, port: int
    ) -> Sequence[trio.abc.Listener[trio.abc.Stream]]:
        """Listeners for streams from others; port 0 lets the system choose."""
        ...


class TcpNetwork:
    """TCP by trio, which sends without delay and knows both families of addresses."""

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """Dial; several addresses of one name are tried in turn."""
        return await trio.open_tcp_stream(host, port)

    async def listen(
        self, host: str, port: int
    ) -> Sequence[trio.abc.Listener[trio.abc.Stream]]:
        """Listen on each address of ``host``."""
        return await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)


def get_address(stream: trio.abc.Stream) -> str:
    """The address of the other machine; empty if the stream has none."""
    if not isinstance(stream, trio.SocketStream):
        return ""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # it has hung up already
        return ""


def get_bound_address(listener: trio.abc.Listener[trio.abc.Stream]) -> tuple[str, int]:
    """Host and port that a listener is bound to; empty and 0 if it has none."""
    if not isinstance(listener, trio.SocketListener):
        return "", 0
    name = listener.socket.getsockname()
    return str(name[0]), int(name[1])
