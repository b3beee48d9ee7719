"""Frames: what goes in comes out, and nothing else is a frame."""

import pytest

from node.block import make_genesis_block
from node.codec import encode
from node.errors import InvalidMessage
from node.params import Genesis
from node.state import EMPTY_STATE
from node.wire import (
    GIVEN_BYTES_MAX,
    BlockCarried,
    BlocksGiven,
    BlocksWanted,
    BundleCarried,
    ConsensusCarried,
    Status,
    decode_frame,
    frame_block,
    frame_bundle,
    frame_consensus,
    frame_given,
    frame_sealed,
    frame_status,
    frame_wanted,
)
from tests.node.samples import KEYS, PARAMS, make_sample_bundle

HEAD = bytes(range(32))
BLOCK = make_genesis_block(
    Genesis(params=PARAMS, validators=KEYS, relays=(), registrar=KEYS[0], time_ns=5),
    EMPTY_STATE.root,
)


def test_each_message_comes_back_from_its_frame():
    bundle = make_sample_bundle()
    assert decode_frame(frame_status(7, HEAD), PARAMS) == Status(7, HEAD)
    assert decode_frame(frame_wanted(3, 16), PARAMS) == BlocksWanted(3, 16)
    assert decode_frame(frame_given([b"a", b"b"]), PARAMS) == BlocksGiven((b"a", b"b"))
    assert decode_frame(frame_given([]), PARAMS) == BlocksGiven(())
    assert decode_frame(frame_consensus(b"vote"), PARAMS) == ConsensusCarried(b"vote")
    assert decode_frame(frame_block(BLOCK.encoded), PARAMS) == BlockCarried(BLOCK)
    assert frame_sealed(BLOCK) == frame_block(BLOCK.encoded)
    assert decode_frame(frame_bundle(bundle.encoded), PARAMS) == BundleCarried(bundle)


@pytest.mark.parametrize("fields", [
    [], [1], [0, 1, HEAD], [7, b""], [1, -1, HEAD], [1, 2**53, HEAD], [1, 5, HEAD[:31]],
    [1, 5, HEAD, 0], [1, 5, "text"], [2, 5], [2, None], [3, "text"], [4, 0, 1], [4, 1, 0],
    [4, 1, 17], [4, -1, 1], [4, 2**53, 1], [4, True, 1], [4, 1, True], [True, 5, HEAD],
    [1, True, HEAD], [5, [1]], [5, [b"a", None]], [5, b"a"], [6, []], ["1", 5, HEAD], 5, None,
    b"bytes", "text", [[1, 5, HEAD]],
])
def test_wrong_tags_fields_and_ranges_are_refused(fields):
    with pytest.raises(InvalidMessage) as caught:
        decode_frame(encode(fields), PARAMS)
    assert caught.value.reason == "frame encoding"


def test_every_truncation_of_a_frame_is_refused():
    for frame in (frame_status(7, HEAD), frame_block(BLOCK.encoded), frame_given([b"x"])):
        for end in range(len(frame)):
            with pytest.raises(InvalidMessage):
                decode_frame(frame[:end], PARAMS)


def test_a_frame_has_a_greatest_size_and_a_greatest_count():
    with pytest.raises(InvalidMessage, match="oversized"):
        decode_frame(frame_consensus(bytes(GIVEN_BYTES_MAX + 65)), PARAMS)
    assert decode_frame(frame_consensus(bytes(GIVEN_BYTES_MAX)), PARAMS)
    with pytest.raises(InvalidMessage, match="too many elements"):
        decode_frame(frame_given([b""] * 100), PARAMS)


def test_garbage_in_a_frame_is_refused_by_what_it_should_be():
    for frame, reason in (
        (frame_block(b"\x90"), "block encoding"), (frame_bundle(b"\x90"), "bundle encoding"),
        (frame_block(encode([b"\x90", 0, [], []])), "header encoding"),
    ):
        with pytest.raises(InvalidMessage) as caught:
            decode_frame(frame, PARAMS)
        assert caught.value.reason == reason
