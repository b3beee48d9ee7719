"""One link to an authenticated peer: its queue, its reader, its writer, its end.

The reader hands each frame to the node and waits until that takes it, so a slow node slows its
peers down by TCP's own means. The writer never makes the node wait: what a slow peer does not
take piles up to a limit, and then the link ends.
"""

import math
from collections import Counter, deque
from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeAlias

import trio

from node.host.channel import LENGTH_BYTES, Channel, Traffic
from node.host.errors import LinkBroken
from node.host.handshake import Agreed
from node.host.limits import Holder, Limits
from node.inputs import Role
from node.types import PeerHandle, PublicKey

_BATCH_BYTES = 256 * 1024


class LinkUp(NamedTuple):
    """A link to an authenticated peer is up; ``peer`` names it and is never used again."""

    peer: PeerHandle
    identity: PublicKey
    role: Role


class FrameCame(NamedTuple):
    """A frame arrived on a link that is up."""

    peer: PeerHandle
    frame: bytes


class LinkDown(NamedTuple):
    """A link that was up is gone; nothing of it follows. ``reason`` is short, for counting."""

    peer: PeerHandle
    reason: str


Happening: TypeAlias = LinkUp | FrameCame | LinkDown


@dataclass(slots=True)
class LinkStats(Traffic):
    """What happened on all links of a node since it started; whoever likes reads it.

    Frames and their bytes are counted when they were sent or handed to the node, the latter
    also by the sender's role; ``bytes_in`` and ``bytes_out`` are those of the wire. Reasons
    come from closed sets.
    """

    frames_in: int = 0
    frames_out: int = 0
    frame_bytes_in: int = 0
    frame_bytes_out: int = 0
    frames_unsent: int = 0
    dials: int = 0
    visitors: int = 0
    accept_pauses: int = 0
    genesis_given: int = 0
    dials_failed: Counter[str] = field(default_factory=Counter)
    visitors_refused: Counter[str] = field(default_factory=Counter)
    links_ended: Counter[str] = field(default_factory=Counter)
    frames_from: Counter[str] = field(default_factory=Counter)
    frame_bytes_from: Counter[str] = field(default_factory=Counter)

    def flatten(self) -> dict[str, int]:
        """All counters by name; one for each reason, ``links_ended.idle`` for example."""
        flat: dict[str, int] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Counter):
                flat |= {f"{each.name}.{reason}": n for reason, n in value.items()}
            else:
                flat[each.name] = value
        return flat


class Link:
    """A link from its verdict to its end.

    ``ended`` is set when nothing more of it will reach the node. ``send`` and ``end`` may be
    called at any time and never wait.
    """

    def __init__(
        self, peer: PeerHandle, agreed: Agreed, channel: Channel, limits: Limits,
        stats: LinkStats,
    ) -> None:
        self.peer = peer
        self.identity = agreed.identity
        self.role = agreed.role
        self.ended = trio.Event()
        self._channel = channel
        self._limits = limits
        self._stats = stats
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        self._reason: str | None = None
        self._useless_since_s = trio.current_time()
        self._heard_s = math.inf  # nobody is silent to whom nobody listens yet

    @property
    def is_ending(self) -> bool:
        """Whether its end has been decided."""
        return self._reason is not None

    def is_silent(self) -> bool:
        """Whether its peer has said so little that it may be dead."""
        return trio.current_time() - self._heard_s > self._limits.silent_after_s

    def describe(self, address: str) -> Holder:
        """What eviction goes by."""
        return Holder(address, self._useless_since_s)

    def send(self, frame: bytes) -> None:
        """Queue a frame. A peer that is too slow to take it loses the link.

        One frame is always taken, so that the largest is not larger than an empty queue.
        """
        if self.is_ending:
            self._stats.frames_unsent += 1
            return
        after_bytes = self._queued_bytes + LENGTH_BYTES + len(frame)
        if self._queued_bytes and after_bytes > self._limits.outbound_bytes_max:
            self._stats.frames_unsent += 1
            self.end("slow consumer")
            return
        self._queue.append(frame)
        self._queued_bytes = after_bytes
        self._wake.set()

    def end(self, reason: str) -> None:
        """End the link; the first reason stays."""
        if self._reason is None:
            self._reason = reason
            self._scope.cancel()

    async def run(
        self, events: trio.MemorySendChannel[Happening], verdict: bytes,
        predecessor: "Link | None",
    ) -> None:
        """Live until the link ends, which it tells the node last. Raises nothing but Cancelled.

        ``verdict`` is what is yet to be sent of the handshake; nothing of this link reaches the
        node before its ``predecessor`` has ended.
        """
        is_up = False
        try:
            with self._scope:
                if verdict:
                    await self._send_verdict(verdict)
                if predecessor is not None:
                    await predecessor.ended.wait()
                await events.send(LinkUp(self.peer, self.identity, self.role))
                is_up = True
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, events)
                    nursery.start_soon(self._write)
        finally:
            reason = self._reason or "stopped"
            self._reason = reason
            self._stats.links_ended[reason] += 1
            self._stats.frames_unsent += len(self._queue)
            await self._channel.aclose()
            try:
                if is_up:
                    await events.send(LinkDown(self.peer, reason))
            finally:
                self.ended.set()

    async def _send_verdict(self, verdict: bytes) -> None:
        try:
            await self._channel.send_verdict(verdict)
        except LinkBroken as error:
            self.end(error.reason)
            await trio.lowlevel.checkpoint()  # which is where the scope ends

    async def _read(self, events: trio.MemorySendChannel[Happening]) -> None:
        self._heard_s = trio.current_time()
        try:
            while True:
                frames = await self._channel.receive_frames()
                self._heard_s = trio.current_time()
                if frames:
                    await self._hand_over(frames, events)
        except LinkBroken as error:
            self.end(error.reason)

    async def _hand_over(
        self, frames: list[bytes], events: trio.MemorySendChannel[Happening]
    ) -> None:
        self._useless_since_s = self._heard_s
        self._heard_s = math.inf  # that the node is slow does not make the peer silent
        stats, role = self._stats, self.role.value
        for frame in frames:
            await events.send(FrameCame(self.peer, frame))
            stats.frames_in += 1
            stats.frame_bytes_in += len(frame)
            stats.frames_from[role] += 1
            stats.frame_bytes_from[role] += len(frame)
        self._heard_s = trio.current_time()

    async def _write(self) -> None:
        try:
            while True:
                with trio.move_on_after(self._limits.ping_interval_s):
                    await self._wake.wait()
                self._wake = trio.Event()
                if not self._queue:
                    await self._channel.send_ping()
                while self._queue:
                    await self._send_batch()
        except LinkBroken as error:
            self.end(error.reason)

    async def _send_batch(self) -> None:
        batch: list[bytes] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0]) <= _BATCH_BYTES):
            batch.append(self._queue.popleft())
            size += len(batch[-1])
        await self._channel.send_frames(batch)
        self._queued_bytes -= size + LENGTH_BYTES * len(batch)
        assert self._queued_bytes >= 0
        self._stats.frames_out += len(batch)
        self._stats.frame_bytes_out += size
