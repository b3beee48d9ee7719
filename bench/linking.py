"""LINK_BYTES: what a byte takes from one node's queue to another's, both ends together.

Two real links of one process talk over the loopback: cut into records, sealed, written, read,
opened and handed over as frames. Whoever receives a byte is charged for both ends.
"""

import time
from collections.abc import Sequence
from contextlib import aclosing

import trio

from bench.ballots import make_identity
from bench.cluster.errors import single_out
from bench.figures import MeasurementFailed, collector_off
from bench.trials import PASSES, Sample, Trial
from node.host.channel import Channel, FrameReader, FrameWriter
from node.host.cipher import STREAM_KEY_BYTES, Opener, Sealer
from node.host.handshake import Agreed
from node.host.limits import Limits
from node.host.link import FrameCame, Happening, Link, LinkDown, LinkStats
from node.host.settings import LOOPBACK
from node.inputs import Role
from node.wire import frame_bundle
from node.work import WorkKind

WAITING_MAX = 64
"""Happenings that the node has not taken yet, at most."""


def make_link_trial(sample: Sample) -> Trial:
    """LINK_BYTES, of the frames in which a relay's bundles travel."""
    frames = [frame_bundle(bundle.encoded) for bundle in sample.bundles]
    count = sum(map(len, frames))
    return Trial(
        WorkKind.LINK_BYTES,
        f"a byte of {len(sample.bundles)} frames with {len(sample.ballots):,} ballots, from "
        "one node's queue to another's over an encrypted link; both ends together",
        lambda: run_carry(frames, PASSES) / count,
    )


def run_carry(frames: Sequence[bytes], passes: int) -> int:
    """As ``carry``. Raises MeasurementFailed if a link ends before all has come."""
    with single_out():
        return trio.run(carry, frames, passes)


async def carry(frames: Sequence[bytes], passes: int) -> int:
    """Processor nanoseconds of the fastest of so many passes, kernel and both ends together."""
    assert frames
    assert passes > 0
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with aclosing(listener):
        port = listener.socket.getsockname()[1]
        here = await trio.open_tcp_stream(LOOPBACK, port)
        there = await listener.accept()
    sealers = [Sealer(bytes([end]) * STREAM_KEY_BYTES) for end in range(2)]
    openers = [
        Opener(bytes([end]) * STREAM_KEY_BYTES, sealers[end].header) for end in range(2)
    ]
    given, taken = trio.open_memory_channel[Happening](WAITING_MAX)
    sender = _make_link(here, sealers[0], openers[1])
    receiver = _make_link(there, sealers[1], openers[0])
    spans_ns = []
    async with trio.open_nursery() as nursery:
        for link in (sender, receiver):
            nursery.start_soon(link.run, given.clone(), b"", None)
        with collector_off():
            for _ in range(passes):
                began_ns = time.process_time_ns()
                for frame in frames:
                    sender.send(frame)
                await _take(taken, frames)
                spans_ns.append(time.process_time_ns() - began_ns)
        nursery.cancel_scope.cancel()
    return max(1, min(spans_ns))


async def _take(taken: trio.MemoryReceiveChannel[Happening], frames: Sequence[bytes]) -> None:
    """Take in as many. Raises MeasurementFailed if a link ends before."""
    left = len(frames)
    while left:
        happening = await taken.receive()
        if isinstance(happening, LinkDown):
            raise MeasurementFailed(f"a link ended while it was timed: {happening.reason}")
        left -= isinstance(happening, FrameCame)


def _make_link(stream: trio.SocketStream, sealer: Sealer, opener: Opener) -> Link:
    limits, stats = Limits(), LinkStats()
    channel = Channel(
        stream, FrameWriter(sealer), FrameReader(opener), limits.idle_timeout_s, stats
    )
    agreed = Agreed(make_identity(1).public, Role.VALIDATOR, sealer, opener)
    return Link(1, agreed, channel, limits, stats)
