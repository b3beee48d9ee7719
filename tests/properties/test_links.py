"""Whatever comes over a link, it is refused by name or it is what the other side meant."""

from hypothesis import given, settings
from hypothesis import strategies as st

from node.host.channel import FrameReader, FrameWriter
from node.host.errors import HandshakeFailed, LinkBroken, LinkRefused
from node.host.handshake import HELLO_BYTES, PROOF_BYTES, GenesisAsker, give_genesis
from tests.node.host.wires import CHAIN_ID, make_parties, shake

FLIGHTS = st.sampled_from(["hello", "reply", "proof", "verdict"])
REFUSALS = (HandshakeFailed, LinkRefused)
FRAMES = st.lists(st.binary(max_size=60) | st.integers(0, 200_000).map(bytes), max_size=8)


def make_ends():
    alice, bob = shake(*make_parties())
    return FrameWriter(alice.sealer), FrameReader(bob.opener)


def write(frames, *, is_ended=False):
    """What is on the wire, and the reader for it."""
    writer, reader = make_ends()
    said = b"".join(writer.write(frames))
    return said + (writer.write_last() if is_ended else b""), reader


def read(reader, said):
    """All that can be read, and why it ended."""
    frames = []
    try:
        for at in range(0, len(said), 1000):
            frames += reader.read(said[at : at + 1000])[0]
    except LinkBroken as error:
        return frames, error.reason
    return frames, None


def is_refused(party, data):
    try:
        party.receive(data)
    except REFUSALS:
        return True
    return False


@given(st.binary(min_size=HELLO_BYTES, max_size=HELLO_BYTES), st.integers(0, 47))
@settings(max_examples=400)
def test_any_hello_is_answered_or_refused(noise, kept):
    alice, bob = make_parties()
    hello = alice.hello[:kept] + noise[kept:]
    assert is_refused(bob, hello) or bob.wanted == PROOF_BYTES or bob.asks_genesis
    assert bob.agreed is None


@given(st.data())
@settings(max_examples=400)
def test_any_reply_but_the_true_one_is_refused(data):
    alice, bob = make_parties()
    true = bob.receive(alice.hello)
    kept = data.draw(st.integers(0, len(true) - 1))
    rest = len(true) - kept
    reply = true[:kept] + data.draw(st.binary(min_size=rest, max_size=rest))
    if reply != true:
        assert is_refused(alice, reply[:15]) or is_refused(alice, reply[15:])
        assert alice.agreed is None


@given(FLIGHTS, st.data())
@settings(max_examples=600)
def test_a_changed_bit_of_any_flight_makes_no_link(name, data):
    def tap(flight_name, flight):
        if flight_name != name:
            return flight
        bit = data.draw(st.integers(0, 8 * len(flight) - 1))
        changed = bytearray(flight)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    alice, bob = make_parties()
    try:
        shake(alice, bob, tap=tap)
    except REFUSALS:
        return
    raise AssertionError("a link in spite of a change")


@given(st.binary(max_size=200), st.integers(0, 23))
@settings(max_examples=300)
def test_any_answer_to_the_question_for_the_genesis_is_taken_or_refused(noise, kept):
    asker = GenesisAsker()
    answer = give_genesis(CHAIN_ID, b"beginning")[:kept] + noise
    while asker.wanted and len(answer) >= asker.wanted:
        said, answer = answer[: asker.wanted], answer[asker.wanted :]
        if is_refused(asker, said):
            return
    assert asker.wanted or asker.genesis is not None


@given(FRAMES, st.integers(1, 5000))
@settings(max_examples=200)
def test_however_a_stream_is_cut_into_reads_the_frames_are_the_same(frames, size):
    said, reader = write(frames, is_ended=True)
    got = []
    for at in range(0, len(said), size):
        got += reader.read(said[at : at + size])[0]
    assert got == frames
    assert reader.is_ended


@given(FRAMES, st.data())
@settings(max_examples=400)
def test_a_changed_stream_gives_a_beginning_and_then_breaks_or_waits(frames, data):
    said, reader = write(frames, is_ended=True)
    at = data.draw(st.integers(0, len(said) - 1))
    instead = data.draw(st.binary(min_size=1, max_size=40))
    changed = said[:at] + instead + said[at + data.draw(st.integers(0, 40)) :]
    if changed == said:
        return
    got, reason = read(reader, changed)
    assert got == frames[: len(got)]
    assert reason in ("forged record", "more after the end", None)
    if reason is None:  # a length was changed to one that waits for more
        assert not reader.is_ended


@given(FRAMES, st.data())
@settings(max_examples=200)
def test_a_stream_cut_off_anywhere_is_never_taken_for_a_whole_one(frames, data):
    said, reader = write(frames, is_ended=True)
    got, reason = read(reader, said[: data.draw(st.integers(0, len(said) - 1))])
    assert got == frames[: len(got)]
    assert reason is None
    assert not reader.is_ended


@given(st.binary(max_size=3000))
@settings(max_examples=400)
def test_noise_is_no_stream(noise):
    _, reader = make_ends()
    got, reason = read(reader, noise)
    assert got == []
    assert reason in ("forged record", None)


@given(st.lists(st.binary(max_size=300), max_size=12))
@settings(max_examples=400)
def test_whatever_an_authenticated_peer_seals_is_read_or_refused(plains):
    alice, bob = shake(*make_parties())
    reader = FrameReader(bob.opener)
    said = b""
    for plain in plains:
        sealed = alice.sealer.seal(plain)
        said += len(sealed).to_bytes(2) + sealed
    got, reason = read(reader, said)
    assert reason in ("frame too long", None)
    told = b"".join(len(frame).to_bytes(4) + frame for frame in got)
    assert b"".join(plains).startswith(told)
