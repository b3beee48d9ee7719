"""The scan of the codec against the plainest rule: unpack, encode again, compare."""

import msgpack
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.codec import DEPTH_MAX, decode, encode
from node.errors import InvalidEncoding

LIMIT = 4096
ELEMENTS = 64

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=40)
    | st.binary(max_size=40)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=20), max_leaves=40)


def count_elements(value):
    return 1 + (sum(map(count_elements, value)) if isinstance(value, list) else 0)


def measure_depth(value):
    return 1 + max(map(measure_depth, value), default=0) if isinstance(value, list) else 0


def is_in_subset(value):
    if isinstance(value, list):
        return all(map(is_in_subset, value))
    return value is None or type(value) in (bool, int, str, bytes)


def decode_plainly(data):
    """The value, or None for a refusal, wrapped in a tuple to tell nil from that."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):  # TypeError: a list as a key
        return None
    if not is_in_subset(value) or encode(value) != data:
        return None
    if count_elements(value) > ELEMENTS or measure_depth(value) > DEPTH_MAX:
        return None
    return (value,)


def decode_strictly(data):
    try:
        return (decode(data, LIMIT, ELEMENTS),)
    except InvalidEncoding:
        return None


@given(VALUES)
@settings(max_examples=300)
def test_what_is_encoded_decodes_to_itself(value):
    encoded = encode(value)
    decoded = decode_strictly(encoded)
    assert decoded == decode_plainly(encoded)
    if decoded is not None:
        assert decoded == (value,)
        assert encode(decoded[0]) == encoded


@given(st.binary(max_size=64))
@settings(max_examples=1000)
@example(b"\xd9")
@example(b"\xc4")
@example(b"\xdc\x00")
@example(b"\x91\xc4")
@example(b"")
def test_any_bytes_are_accepted_by_both_or_refused_by_both(data):
    assert decode_strictly(data) == decode_plainly(data)


@given(VALUES, st.data())
@settings(max_examples=500)
def test_a_damaged_encoding_is_accepted_by_both_or_refused_by_both(value, data):
    encoded = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        encoded[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not encoded:
            break
    damaged = bytes(encoded)[:LIMIT]
    assert decode_strictly(damaged) == decode_plainly(damaged)
