import errno
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio

from node.host.guard import HttpStats
from node.host.http import make_app
from node.host.index import Index
from node.host.limits import HttpLimits
from node.host.server import _Door, serve_http
from tests.node.host.desks import FakeDesk

SHORT_S = 0.05
HEALTH = b"GET /health HTTP/1.1\r\nhost: node\r\n\r\n"


@asynccontextmanager
async def open_server(tmp_path, *, desk=None, takes_transactions=False, **limits):
    """(a way to connect, stats) of a real server on loopback."""
    desk = desk or FakeDesk()
    limits = HttpLimits(**limits)
    stats = HttpStats()
    index = Index.open(tmp_path / "index.sqlite", desk.genesis)
    app = make_app(
        desk, index, limits=limits, stats=stats, takes_transactions=takes_transactions
    )
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            host, port = await nursery.start(
                lambda task_status: serve_http(
                    app, "127.0.0.1", 0, limits=limits, stats=stats, task_status=task_status
                )
            )

            async def connect():
                return await trio.open_tcp_stream(host, port)

            yield connect, stats
            nursery.cancel_scope.cancel()
    index.close()


async def until(is_so):
    """Wait for something that others do of themselves."""
    while not is_so():
        await trio.testing.wait_all_tasks_blocked(0.001)


async def read_all(stream):
    """All that comes until the other side ends the connection, in whatever way."""
    content = b""
    with suppress(trio.BrokenResourceError):
        async for piece in stream:
            content += piece
    return content


async def read_answer(stream):
    """One answer with a body of a known length."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += await stream.receive_some()
    head, _, body = content.partition(b"\r\n\r\n")
    (length,) = [
        int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    ]
    while len(body) < length:
        body += await stream.receive_some()
    return head


async def test_requests_are_answered_one_after_the_other_on_one_connection(tmp_path):
    async with open_server(tmp_path) as (connect, stats), await connect() as stream:
        for number in range(3):
            await stream.send_all(HEALTH)
            head = await read_answer(stream)
            assert head.startswith(b"HTTP/1.1 200")
            assert b"server:" not in head.lower()
            assert stats.answers["get_health", 200] == number + 1
        assert stats.connections == 1


@pytest.mark.parametrize("sent", [b"", b"GET /hea", b"GET / HTTP/1.1\r\nhost: x\r\na: ", b"\0"])
async def test_a_connection_without_a_whole_request_ends_soon(tmp_path, sent):
    async with open_server(tmp_path, idle_timeout_s=SHORT_S) as (connect, stats):
        async with await connect() as stream:
            await stream.send_all(sent)
            assert b" 200 " not in await read_all(stream)
        await until(lambda: stats.connections == 0)


async def test_a_slow_body_is_given_up(tmp_path):
    how = {"takes_transactions": True, "body_timeout_s": SHORT_S}
    async with open_server(tmp_path, **how) as (connect, stats), await connect() as stream:
        await stream.send_all(
            b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
            b"content-type: application/msgpack\r\n\r\n\x92"
        )
        assert (await read_all(stream)).startswith(b"HTTP/1.1 408")
        assert stats.answers == {("post_transaction", 408): 1}


async def test_an_endless_body_is_cut_off(tmp_path):
    async with open_server(tmp_path, takes_transactions=True) as (connect, stats):
        async with await connect() as stream:
            await stream.send_all(
                b"POST /v1/transactions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"
                b"content-type: application/msgpack\r\n\r\n"
            )

            async def send_on():
                with suppress(trio.BrokenResourceError):
                    while True:
                        await stream.send_all(b"10000\r\n" + bytes(0x10000) + b"\r\n")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_on)
                await read_all(stream)
        assert stats.answers == {("post_transaction", 413): 1}


async def test_one_address_has_few_connections(tmp_path):
    how = {"connections_per_address_max": 2}
    async with (
        open_server(tmp_path, **how) as (connect, stats),
        await connect() as first, await connect() as second,
    ):
        for stream in (first, second):
            await stream.send_all(HEALTH)
            await read_answer(stream)
        async with await connect() as third:
            assert await read_all(third) == b""
        assert stats.refusals == {"too many connections": 1}
        await first.aclose()
        await until(lambda: stats.connections == 1)
        async with await connect() as fourth:
            await fourth.send_all(HEALTH)
            assert (await read_answer(fourth)).startswith(b"HTTP/1.1 200")


async def test_when_all_slots_are_taken_newcomers_wait_for_one(tmp_path):
    how = {"connections_max": 2, "connections_per_address_max": 2, "idle_timeout_s": SHORT_S}
    async with open_server(tmp_path, **how) as (connect, stats):
        streams = [await connect() for _ in range(6)]
        await streams[-1].send_all(HEALTH)
        assert (await read_answer(streams[-1])).startswith(b"HTTP/1.1 200")
        assert stats.connections <= 2
        for stream in streams:
            await stream.aclose()


async def ask_without_reading(stream, stats):
    """Fill the way back until the server's write is stuck."""
    async with trio.open_nursery() as nursery:
        @nursery.start_soon
        async def send():
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"GET /proof HTTP/1.1\r\nhost: x\r\n\r\n")

        await until(lambda: stats.in_flight == 1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert stats.in_flight == 1
        nursery.cancel_scope.cancel()


async def test_a_reader_who_does_not_read_cannot_keep_a_node_alive(tmp_path):
    limits = {"rate_per_s": 1e6, "burst": 10**6, "write_timeout_s": 1_000}
    async with AsyncExitStack() as later:
        async with open_server(tmp_path, **limits) as (connect, stats):
            stream = await later.enter_async_context(await connect())
            await ask_without_reading(stream, stats)
            assert stats.connections == 1
        assert stats.connections == 0  # the server has ended, though nothing was read


async def test_a_reader_who_does_not_read_is_cut_off(tmp_path):
    limits = {"rate_per_s": 1e6, "burst": 10**6, "write_timeout_s": 0.5}
    async with open_server(tmp_path, **limits) as (connect, stats), await connect() as stream:
        await ask_without_reading(stream, stats)
        await until(lambda: stats.connections == 0)


async def test_no_descriptors_is_a_pause_and_not_an_end(tmp_path, autojump_clock):
    stats = HttpStats()
    limits = HttpLimits()
    door = _Door(lambda *_: None, limits, stats)

    class Exhausted:
        """A listener for which the system has no descriptors."""

        async def accept(self):
            await trio.lowlevel.checkpoint()
            raise OSError(errno.EMFILE, "too many open files")

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            await door.accept(Exhausted(), nursery)
    assert stats.refusals["no descriptors"] == pytest.approx(1 / limits.accept_pause_s, abs=2)
    assert door._room.value == limits.connections_max


async def test_an_address_that_is_taken_is_an_error_of_the_caller(tmp_path):
    async with open_server(tmp_path) as (connect, _), await connect() as stream:
        _, port = stream.socket.getpeername()
        with pytest.raises(OSError, match="in use"):
            await serve_http(lambda *_: None, "127.0.0.1", port)


@pytest.mark.parametrize("sent", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"\r\n" * 5_000 + b"\0",
    b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9) + b"\xff" * 40,
    b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
])
async def test_what_is_no_request_harms_nobody_else(tmp_path, sent):
    async with open_server(tmp_path, idle_timeout_s=SHORT_S) as (connect, _):
        async with await connect() as stream, trio.open_nursery() as nursery:
            @nursery.start_soon
            async def send():
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await stream.send_all(sent)
                    await stream.send_eof()
            assert b" 200 " not in await read_all(stream)
        async with await connect() as stream:
            await stream.send_all(HEALTH)
            assert (await read_answer(stream)).startswith(b"HTTP/1.1 200")


async def test_a_websocket_is_refused(tmp_path):
    async with open_server(tmp_path) as (connect, _), await connect() as stream:
        await stream.send_all(
            b"GET /health HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        )
        assert (await read_all(stream)).startswith(b"HTTP/1.1 403")
