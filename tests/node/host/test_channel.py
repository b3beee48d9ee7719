import pytest
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair, memory_stream_pump

from node.host.channel import (
    FRAME_BYTES_MAX,
    RECORD_PLAIN_BYTES_MAX,
    FrameReader,
    FrameWriter,
)
from node.host.errors import LinkBroken
from tests.node.host.wires import make_channels, make_parties, shake

FRAMES = [b"", b"a", b"b" * RECORD_PLAIN_BYTES_MAX, b"c" * 300_000, b"d"]


def make_ends():
    """A writer and the reader at its other end, without a stream."""
    alice, bob = shake(*make_parties())
    return FrameWriter(alice.sealer), FrameReader(bob.opener)


def write(writer, frames):
    return b"".join(writer.write(frames))


def test_frames_come_out_as_they_went_in():
    writer, reader = make_ends()
    assert reader.read(write(writer, FRAMES))[0] == FRAMES
    assert reader.read(write(writer, [b"more"])) == ([b"more"], 1)


def test_small_frames_share_a_record():
    writer, reader = make_ends()
    assert reader.read(write(writer, [b"x"] * 100)) == ([b"x"] * 100, 1)


def test_a_large_frame_leaves_in_pieces():
    writer, _ = make_ends()
    pieces = list(writer.write([b"x" * 2**20]))
    assert len(pieces) == 5
    assert max(map(len, pieces)) <= 4 * 2**16


def test_the_largest_frame_passes_and_a_larger_one_is_refused_by_its_length():
    alice, bob = shake(*make_parties())
    writer, reader = FrameWriter(alice.sealer), FrameReader(bob.opener)
    largest = bytes(FRAME_BYTES_MAX)
    assert reader.read(write(writer, [largest]))[0] == [largest]
    sealed = alice.sealer.seal((FRAME_BYTES_MAX + 1).to_bytes(4))
    with pytest.raises(LinkBroken, match="frame too long"):
        reader.read(len(sealed).to_bytes(2) + sealed)


def test_an_announced_length_takes_no_memory():
    alice, bob = shake(*make_parties())
    reader = FrameReader(bob.opener)
    sealed = alice.sealer.seal(FRAME_BYTES_MAX.to_bytes(4))
    assert reader.read(len(sealed).to_bytes(2) + sealed) == ([], 1)
    assert len(reader._plain) == 4


@pytest.mark.parametrize("length", [0, 16])
def test_a_record_too_short_to_be_sealed_is_refused_by_its_length(length):
    _, reader = make_ends()
    with pytest.raises(LinkBroken, match="forged record"):
        reader.read(length.to_bytes(2))


def test_a_repeated_dropped_or_swapped_record_ends_the_stream():
    writer, _ = make_ends()
    first, second = (write(writer, [word]) for word in (b"first", b"other"))
    for told in (first + first, second, second + first):
        _, reader = make_ends()
        with pytest.raises(LinkBroken, match="forged record"):
            reader.read(told)


def test_one_directions_records_are_nothing_in_the_other():
    alice, _ = shake(*make_parties())
    with pytest.raises(LinkBroken, match="forged record"):
        FrameReader(alice.opener).read(write(FrameWriter(alice.sealer), [b"echo"]))


def test_nothing_follows_the_last_record():
    writer, reader = make_ends()
    assert reader.read(writer.write_last()) == ([], 1)
    assert reader.is_ended
    with pytest.raises(LinkBroken, match="more after the end"):
        reader.read(b"\0")
    writer, reader = make_ends()
    with pytest.raises(LinkBroken, match="more after the end"):
        reader.read(writer.write_last() + write(writer, [b"x"]))


def test_a_last_record_within_a_frame_cuts_it_off():
    alice, bob = shake(*make_parties())
    sealed = alice.sealer.seal(b"\0\0\0\7half", is_last=True)
    with pytest.raises(LinkBroken, match="cut off"):
        FrameReader(bob.opener).read(len(sealed).to_bytes(2) + sealed)


async def test_channels_carry_frames_both_ways_at_once():
    alice, bob = make_channels(memory_stream_pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alice.send_frames, FRAMES)
        nursery.start_soon(bob.send_frames, FRAMES[::-1])
    assert await receive(bob, len(FRAMES)) == FRAMES
    assert await receive(alice, len(FRAMES)) == FRAMES[::-1]


async def receive(channel, count):
    frames = []
    while len(frames) < count:
        frames += await channel.receive_frames()
    return frames


async def test_a_byte_at_a_time_is_enough():
    mine, theirs = memory_stream_pair()
    alice, bob = make_channels((mine, theirs))
    mine.send_stream.send_all_hook = None
    await alice.send_frames([b"slowly", b"but surely"])
    theirs.receive_stream.receive_some_hook = None
    data = mine.send_stream.get_data_nowait()
    for at in range(len(data)):
        theirs.receive_stream.put_data(data[at : at + 1])
    assert await bob.receive_frames() == [b"slowly", b"but surely"]


async def test_an_orderly_end_is_told_after_all_that_came_before():
    alice, bob = make_channels(memory_stream_pair())
    await alice.send_frames([b"last words"])
    await alice.aclose()
    assert await bob.receive_frames() == [b"last words"]
    for _ in range(2):
        with pytest.raises(LinkBroken, match="closed by peer"):
            await bob.receive_frames()


async def test_an_end_without_the_last_record_is_a_cut():
    mine, theirs = memory_stream_pair()
    alice, bob = make_channels((mine, theirs))
    await alice.send_frames([b"and then"])
    await mine.aclose()
    assert await bob.receive_frames() == [b"and then"]
    with pytest.raises(LinkBroken, match="cut off"):
        await bob.receive_frames()


async def test_a_silent_peer_is_idle_and_a_ping_is_not(autojump_clock):
    alice, bob = make_channels(memory_stream_pair())
    began_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alice.send_ping)
        assert await bob.receive_frames() == []
    with pytest.raises(LinkBroken, match="idle"):
        await bob.receive_frames()
    assert trio.current_time() - began_s == pytest.approx(60)


async def test_who_drips_a_record_byte_by_byte_is_idle(autojump_clock):
    mine, theirs = memory_stream_pair()
    _, bob = make_channels((mine, theirs))
    began_s = trio.current_time()

    async def drip():
        await mine.send_all(b"\xff\xff")
        while True:
            with trio.move_on_after(10):
                await trio.sleep_forever()
            await mine.send_all(b"x")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        with pytest.raises(LinkBroken, match="idle"):
            await bob.receive_frames()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began_s == pytest.approx(60)


async def test_a_peer_that_takes_nothing_leaves_the_sender_stuck(autojump_clock):
    alice, _ = make_channels(lockstep_stream_pair())
    with pytest.raises(LinkBroken, match="stuck"):
        await alice.send_frames([b"hello?"])


async def test_a_channel_that_was_cut_in_a_write_closes_without_a_last_one(autojump_clock):
    streams = lockstep_stream_pair()
    alice, bob = make_channels(streams)
    with trio.move_on_after(1):
        await alice.send_frames([b"perhaps whole"])
    began_s = trio.current_time()
    await alice.aclose()
    assert trio.current_time() == began_s
    assert await bob.receive_frames() == [b"perhaps whole"]
    with pytest.raises(LinkBroken, match="cut off"):
        await bob.receive_frames()


async def test_closing_waits_for_nobody_for_long(autojump_clock):
    alice, _ = make_channels(lockstep_stream_pair())
    began_s = trio.current_time()
    await alice.aclose()
    assert trio.current_time() - began_s == pytest.approx(0.25)


async def test_a_stream_that_breaks_is_a_lost_connection():
    mine, theirs = memory_stream_pair()
    alice, bob = make_channels((mine, theirs))
    await theirs.aclose()
    with pytest.raises(LinkBroken, match="connection lost"):
        await alice.send_frames([b"anybody?"])
    with pytest.raises(LinkBroken, match="connection lost"):
        await bob.receive_frames()
    await alice.aclose()
    await bob.aclose()


async def test_traffic_counts_what_is_on_the_wire():
    mine, theirs = memory_stream_pair()
    mine.send_stream.send_all_hook = None
    alice, bob = make_channels((mine, theirs))
    await alice.send_frames([bytes(100)])
    memory_stream_pump(mine.send_stream, theirs.receive_stream)
    await bob.receive_frames()
    assert alice._traffic.bytes_out == bob._traffic.bytes_in == 2 + 17 + 4 + 100
