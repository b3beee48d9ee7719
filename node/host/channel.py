"""Frames over an encrypted link. Below: bytes in, frames out; above it, the same on a stream.

A frame is a 4-byte length and its content. Frames follow one another and are cut into records
of at most 64 KiB, so a large frame neither waits in memory to be encrypted whole nor makes
anyone allocate what has not come. A record on the wire is a 2-byte length and the sealed bytes;
an empty one only says that the sender is there. A stream ends with a record marked as the last:
without it, whatever came before may have been cut off by a third party.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import trio

from node.host.cipher import SEAL_OVERHEAD_BYTES, Opener, Sealer
from node.host.errors import LinkBroken
from node.wire import FRAME_OVERHEAD_BYTES, GIVEN_BYTES_MAX

FRAME_BYTES_MAX = GIVEN_BYTES_MAX + FRAME_OVERHEAD_BYTES
LENGTH_BYTES = 4
_RECORD_LENGTH_BYTES = 2
RECORD_PLAIN_BYTES_MAX = 2**16 - _RECORD_LENGTH_BYTES - SEAL_OVERHEAD_BYTES
_WRITE_RECORDS = 4
_READ_BYTES = 2**16
_CLOSE_TIMEOUT_S = 0.25


class FrameWriter:
    """Turns frames into the bytes of one direction of a link."""

    __slots__ = ("_sealer",)

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def write(self, frames: Sequence[bytes]) -> Iterator[bytes]:
        """The frames' records, as many together as are worth one system call.

        They must be sent in order and all: a stream goes on from its last record.
        """
        records = self._cut(frames)
        while several := b"".join(islice(records, _WRITE_RECORDS)):
            yield several

    def write_ping(self) -> bytes:
        """A record that only says that the sender is there."""
        return self._seal(b"")

    def write_last(self) -> bytes:
        """The record after which nothing comes."""
        return self._seal(b"", is_last=True)

    def _cut(self, frames: Sequence[bytes]) -> Iterator[bytes]:
        parts: list[bytes] = []
        for frame in frames:
            assert len(frame) <= FRAME_BYTES_MAX
            parts += (len(frame).to_bytes(LENGTH_BYTES), frame)
        plain = memoryview(b"".join(parts))
        for start in range(0, len(plain), RECORD_PLAIN_BYTES_MAX):
            yield self._seal(bytes(plain[start : start + RECORD_PLAIN_BYTES_MAX]))

    def _seal(self, plain: bytes, *, is_last: bool = False) -> bytes:
        sealed = self._sealer.seal(plain, is_last=is_last)
        return len(sealed).to_bytes(_RECORD_LENGTH_BYTES) + sealed


class FrameReader:
    """Turns the bytes of one direction of a link into frames; holds at most one in part."""

    __slots__ = ("_opener", "_plain", "_sealed", "is_ended")

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._sealed = bytearray()
        self._plain = bytearray()
        self.is_ended = False

    def read(self, data: bytes) -> tuple[list[bytes], int]:
        """The frames that ``data`` completes, and how many records it completed.

        Raises LinkBroken: "forged record", "frame too long", "cut off" (the last record came
        within a frame), "more after the end". ``is_ended`` is set by the last record.
        """
        self._sealed += data
        frames: list[bytes] = []
        records = 0
        while (sealed := self._take_record()) is not None:
            if self.is_ended:
                raise LinkBroken("more after the end")
            plain, self.is_ended = self._opener.open(sealed)
            self._plain += plain
            records += 1
            while (frame := self._take_frame()) is not None:
                frames.append(frame)
        if self.is_ended and self._plain:
            raise LinkBroken("cut off")
        if self.is_ended and self._sealed:
            raise LinkBroken("more after the end")
        return frames, records

    def _take_record(self) -> bytes | None:
        if len(self._sealed) < _RECORD_LENGTH_BYTES:
            return None
        end = _RECORD_LENGTH_BYTES + int.from_bytes(self._sealed[:_RECORD_LENGTH_BYTES])
        if end < _RECORD_LENGTH_BYTES + SEAL_OVERHEAD_BYTES:
            raise LinkBroken("forged record")
        if len(self._sealed) < end:
            return None
        sealed = bytes(self._sealed[_RECORD_LENGTH_BYTES:end])
        del self._sealed[:end]
        return sealed

    def _take_frame(self) -> bytes | None:
        if len(self._plain) < LENGTH_BYTES:
            return None
        length = int.from_bytes(self._plain[:LENGTH_BYTES])
        if length > FRAME_BYTES_MAX:
            raise LinkBroken("frame too long")
        end = LENGTH_BYTES + length
        if len(self._plain) < end:
            return None
        frame = bytes(self._plain[LENGTH_BYTES:end])
        del self._plain[:end]
        return frame


@dataclass(slots=True)
class Traffic:
    """Bytes on the wire of one link or of several."""

    bytes_in: int = 0
    bytes_out: int = 0


class Channel:
    """One link on a stream. One task may send while another receives.

    Whatever ends it is a LinkBroken: "connection lost", "cut off" (the stream ended, its last
    record did not come), "closed by peer", "idle" (no whole record within ``idle_timeout_s``),
    "stuck" (a write of at most 256 KiB took as long), or what FrameReader finds.
    """

    __slots__ = ("_idle_timeout_s", "_is_whole", "_reader", "_stream", "_traffic", "_writer")

    def __init__(
        self, stream: trio.abc.Stream, writer: FrameWriter, reader: FrameReader,
        idle_timeout_s: float, traffic: Traffic,
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._reader = reader
        self._idle_timeout_s = idle_timeout_s
        self._traffic = traffic
        self._is_whole = True  # no record has been sent in part

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send several frames in as few writes as there is sense in."""
        for several in self._writer.write(frames):
            await self._send(several)

    async def send_ping(self) -> None:
        """Say that this side is there."""
        await self._send(self._writer.write_ping())

    async def receive_frames(self) -> list[bytes]:
        """All frames that one read completes; none when the peer only said that it is there."""
        if self._reader.is_ended:
            raise LinkBroken("closed by peer")
        try:
            with trio.fail_after(self._idle_timeout_s):
                while True:
                    data = await self._stream.receive_some(_READ_BYTES)
                    if not data:
                        raise LinkBroken("cut off")
                    self._traffic.bytes_in += len(data)
                    frames, records = self._reader.read(bytes(data))
                    if records:
                        break
        except trio.TooSlowError as error:
            raise LinkBroken("idle") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkBroken("connection lost") from error
        if self._reader.is_ended and not frames:
            raise LinkBroken("closed by peer")
        return frames

    async def send_verdict(self, verdict: bytes) -> None:
        """Send the record that ends the handshake and begins the link."""
        await self._send(verdict)

    async def aclose(self) -> None:
        """Say that nothing follows, if that can be said at once, and close the stream."""
        whole, self._is_whole = self._is_whole, False
        with trio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
            try:
                if whole:
                    await self._stream.send_all(self._writer.write_last())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # nobody is there to be told
            finally:
                await trio.aclose_forcefully(self._stream)

    async def _send(self, several: bytes) -> None:
        # If this is cancelled half-way, the rest of the record can never follow.
        assert self._is_whole
        self._is_whole = False
        try:
            with trio.fail_after(self._idle_timeout_s):
                await self._stream.send_all(several)
        except trio.TooSlowError as error:
            raise LinkBroken("stuck") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkBroken("connection lost") from error
        self._is_whole = True
        self._traffic.bytes_out += len(several)
