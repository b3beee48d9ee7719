"""Fake networks for the host's tests, and the two ends of a handshake without one."""

import errno
import os
from hashlib import sha256

import trio
from trio.testing import memory_stream_pair

from node.host.channel import Channel, FrameReader, FrameWriter, Traffic
from node.host.handshake import Initiator, Responder, Terms
from node.inputs import Role
from node.params import Genesis, Params
from tests.node.samples import make_identity

CHAIN_ID = b"a chain!"
ALICE, BOB = make_identity("alice"), make_identity("bob")


def make_seed(name):
    return sha256(f"seed {name}".encode()).digest()


def make_terms(identity, role=Role.OBSERVER, chain_id=CHAIN_ID):
    return Terms(identity, role, chain_id)


def make_parties(seed="", expected=None, **terms):
    """Alice, who dials, and Bob."""
    alice = Initiator(make_terms(ALICE, **terms), make_seed(f"alice {seed}"), expected)
    return alice, Responder(make_terms(BOB, **terms), make_seed(f"bob {seed}"))


def shake(alice, bob, verdict=Responder.welcome, tap=lambda name, flight: flight):
    """Carry the flights; ``tap`` sees, and may change, each."""
    reply = tap("reply", bob.receive(tap("hello", alice.hello)))
    assert alice.receive(reply[: alice.wanted]) == b""
    proof = tap("proof", alice.receive(reply[-alice.wanted :]))
    assert bob.receive(proof) == b""
    assert alice.receive(tap("verdict", verdict(bob))) == b""
    assert not alice.wanted
    assert not bob.wanted
    return alice.agreed, bob.agreed


def make_channels(streams, idle_timeout_s=60):
    """Two channels on a pair of streams."""
    both = shake(*make_parties())
    return tuple(
        Channel(
            stream, FrameWriter(agreed.sealer), FrameReader(agreed.opener), idle_timeout_s,
            Traffic(),
        )
        for stream, agreed in zip(streams, both, strict=True)
    )


def make_small_genesis(*, validators=(), relays=(), time_ns=10**18):
    keys = sorted(identity.public for identity in validators) or [make_identity("v").public]
    return Genesis(
        params=Params(), validators=tuple(keys),
        relays=tuple(identity.public for identity in relays),
        registrar=make_identity("registrar").public, time_ns=time_ns,
    )


class FakeListener(trio.abc.Listener):
    """Gives the streams of those who dialled; ``failures`` are raised first."""

    def __init__(self):
        self.arrived, self._arrivals = trio.open_memory_channel(1000)
        self.failures = []

    async def accept(self):
        await trio.lowlevel.checkpoint()
        if self.failures:
            raise OSError(self.failures.pop(), "made up")
        return await self._arrivals.receive()

    async def aclose(self):
        await self.arrived.aclose()


class FakeNetwork:
    """Streams in memory between listeners by (host, port); ``streams`` are all there were."""

    def __init__(self, make_pair=memory_stream_pair):
        self.listeners = {}
        self.streams = []
        self._make_pair = make_pair

    async def connect(self, host, port):
        await trio.lowlevel.checkpoint()
        mine, theirs = self._make_pair()
        try:
            self.listeners[host, port].arrived.send_nowait(theirs)
        except (KeyError, trio.ClosedResourceError):
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)) from None
        self.streams.append((mine, theirs))
        return mine

    async def listen(self, host, port):
        await trio.lowlevel.checkpoint()
        self.listeners[host, port] = FakeListener()
        return [self.listeners[host, port]]
