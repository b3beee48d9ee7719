"""The same links on real sockets of this machine; what memory streams cannot show."""

import errno
import os
import resource
import socket
from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from node.host.errors import HandshakeFailed, SettingsError
from node.host.greeting import fetch_genesis, greet
from node.host.handshake import GENESIS_BYTES_MAX, Terms
from node.host.limits import Limits
from node.host.link import FrameCame, LinkDown, LinkUp
from node.host.links import Links, Target
from node.host.network import get_address
from node.inputs import Role
from node.wire import GIVEN_BYTES_MAX
from tests.node.host.wires import make_seed, make_small_genesis
from tests.node.samples import make_identity

HERE = "127.0.0.1"
V1, V2 = sorted((make_identity(f"v{i}") for i in range(2)), key=lambda one: one.public)
GENESIS = make_small_genesis(validators=(V1, V2))
FILE = bytes(GENESIS_BYTES_MAX)
LIMITS = Limits(backoff_min_s=0.01, backoff_max_s=0.05, accept_pause_s=0.01)


async def start(nursery, identity, *, role=Role.VALIDATOR, dials=(), limits=LIMITS,
                listen=(HERE, 0)):
    """A node's links, and what they say."""
    sender, receiver = trio.open_memory_channel(100)
    links = Links(
        identity=identity, role=role, genesis=GENESIS, genesis_file=FILE, limits=limits,
        targets=dials, listen=listen, random=lambda: 0.5,
    )
    await nursery.start(partial(links.run, sender))
    return links, receiver


async def start_pair(nursery, limits=LIMITS):
    first = await start(nursery, V1, limits=limits)
    target = Target(*first[0].bound_address, V1.public)
    second = await start(nursery, V2, dials=[target], limits=limits)
    return first, second


@pytest.fixture
async def within_seconds():
    with trio.fail_after(20):
        yield


async def test_two_nodes_meet_over_tcp_and_the_largest_frame_passes(within_seconds):
    async with trio.open_nursery() as nursery:
        (one, one_said), (other, other_said) = await start_pair(nursery)
        assert await one_said.receive() == LinkUp(1, V2.public, Role.VALIDATOR)
        assert await other_said.receive() == LinkUp(1, V1.public, Role.VALIDATOR)
        large = make_seed("large") * (GIVEN_BYTES_MAX // 32)
        one.send(1, large)
        other.send(1, b"small")
        assert await other_said.receive() == FrameCame(1, large)
        assert await one_said.receive() == FrameCame(1, b"small")
        assert one.stats.bytes_out > len(large)
        assert one.stats.bytes_in < 1000
        nursery.cancel_scope.cancel()


async def test_a_peer_whose_process_is_killed_is_gone_at_once_and_dialled_again(
    within_seconds,
):
    async with trio.open_nursery() as nursery:
        (one, one_said), (_, other_said) = await start_pair(nursery)
        await one_said.receive()
        await other_said.receive()
        one._links[1]._channel._stream.socket.close()  # as the kernel does for the dead
        down = await other_said.receive()
        assert down.reason in ("cut off", "connection lost")
        assert (await one_said.receive()).reason == "connection lost"
        assert await other_said.receive() == LinkUp(2, V1.public, Role.VALIDATOR)
        nursery.cancel_scope.cancel()


async def test_a_reset_in_the_handshake_is_counted_and_nothing_else(within_seconds):
    async with trio.open_nursery() as nursery:
        links, _ = await start(nursery, V1)
        stream = await trio.open_tcp_stream(*links.bound_address)
        await stream.send_all(b"veche")
        linger_not = b"\1\0\0\0\0\0\0\0"
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        await stream.aclose()
        while not links.stats.visitors_refused:
            await wait_all_tasks_blocked(0.001)
        assert set(links.stats.visitors_refused) <= {"connection lost", "hung up"}
        nursery.cancel_scope.cancel()


async def test_garbage_and_half_a_hello_leave_no_descriptor_open(within_seconds):
    before = len(os.listdir("/proc/self/fd"))
    async with trio.open_nursery() as nursery:
        links, _ = await start(nursery, V1)
        for said in (b"", b"veche", make_seed(1) + make_seed(2), bytes(100_000)):
            stream = await trio.open_tcp_stream(*links.bound_address)
            async with stream:
                try:
                    await stream.send_all(said)
                    await stream.send_eof()
                    assert await stream.receive_some() == b""
                except trio.BrokenResourceError:
                    pass  # hung up upon in the middle of the garbage
        assert links.stats.visitors_refused.total() == 4
        nursery.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_out_of_descriptors_the_node_waits_and_then_takes_who_waited(within_seconds):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with trio.open_nursery() as nursery:
        links, said = await start(nursery, V1)
        visitor = trio.socket.socket()
        await wait_all_tasks_blocked()
        used = max(map(int, os.listdir("/proc/self/fd")))
        hogs = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
            hog_all(hogs)
            await visitor.connect(links.bound_address)
            while links.stats.accept_pauses < 2:
                await wait_all_tasks_blocked(0.001)
        finally:
            for descriptor in hogs:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        terms = Terms(V2, Role.VALIDATOR, GENESIS.compute_chain_id())
        async with trio.SocketStream(visitor) as stream:
            await greet(stream, terms, make_seed("visitor"), V1.public)
            assert await said.receive() == LinkUp(1, V2.public, Role.VALIDATOR)
        nursery.cancel_scope.cancel()


def hog_all(hogs):
    """Take every descriptor that is left."""
    while True:
        try:
            hogs.append(os.dup(0))
        except OSError as error:
            if error.errno == errno.EMFILE:
                return
            raise


async def test_a_flood_from_one_address_does_not_keep_another_out(within_seconds):
    limits = Limits(pending_max=8, handshake_timeout_s=10)
    async with trio.open_nursery() as nursery:
        links, said = await start(nursery, V1, limits=limits)
        async with AsyncExitStack() as stack:
            flood = ["127.0.0.1"] * 4 + ["127.0.0.2"] + ["127.0.0.1"] * 50
            streams = [
                await stack.enter_async_context(
                    await trio.open_tcp_stream(*links.bound_address, local_address=address)
                )
                for address in flood
            ]
            while links.stats.visitors < len(flood):
                await wait_all_tasks_blocked(0.001)
            terms = Terms(V2, Role.VALIDATOR, GENESIS.compute_chain_id())
            await greet(streams[4], terms, make_seed("visitor"), V1.public)
            assert (await said.receive()).identity == V2.public
            assert links.stats.visitors_refused == {"crowded out": len(flood) - 8}
        nursery.cancel_scope.cancel()


async def test_the_largest_genesis_is_fetched(within_seconds):
    async with trio.open_nursery() as nursery:
        links, _ = await start(nursery, V1)
        assert await fetch_genesis(*links.bound_address) == FILE
        nursery.cancel_scope.cancel()
    host, port = links.bound_address
    with pytest.raises(HandshakeFailed, match=f"^{host}:{port}: "):
        await fetch_genesis(host, port)


async def test_an_address_is_for_one_node(within_seconds):
    async with trio.open_nursery() as nursery:
        links, _ = await start(nursery, V1)
        rival = Links(
            identity=V2, role=Role.VALIDATOR, genesis=GENESIS, genesis_file=FILE,
            limits=LIMITS, targets=[], listen=links.bound_address, random=lambda: 0.5,
        )
        with pytest.raises(SettingsError, match="in use"):
            await rival.run(trio.open_memory_channel(0)[0])
        nursery.cancel_scope.cancel()


async def test_a_stream_whose_peer_is_gone_has_no_address(within_seconds):
    async with trio.open_nursery() as nursery:
        links, _ = await start(nursery, V1)
        stream = await trio.open_tcp_stream(*links.bound_address)
        assert get_address(stream) == HERE
        await stream.aclose()
        assert get_address(stream) == ""
        nursery.cancel_scope.cancel()


async def test_stopping_says_goodbye(within_seconds):
    async with trio.open_nursery() as nursery:
        first = await start(nursery, V1)
        async with trio.open_nursery() as inner:
            target = Target(*first[0].bound_address, V1.public)
            _, said = await start(inner, V2, dials=[target])
            await said.receive()
            inner.cancel_scope.cancel()
        assert await first[1].receive() == LinkUp(1, V2.public, Role.VALIDATOR)
        assert await first[1].receive() == LinkDown(1, "closed by peer")
        nursery.cancel_scope.cancel()
