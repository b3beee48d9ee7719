import tracemalloc

import msgpack
import pytest

from node.codec import DEPTH_MAX, decode, encode, encode_bytes_head
from node.errors import InvalidEncoding

LIMIT = 1 << 21


def refuse(data, bytes_max=LIMIT, elements_max=65_536):
    with pytest.raises(InvalidEncoding) as caught:
        decode(data, bytes_max, elements_max)
    assert caught.value.size_bytes == len(data)
    return caught.value.reason


@pytest.mark.parametrize("value", [
    None, True, False, 0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1,
    -1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63),
    "", "a" * 31, "a" * 32, "a" * 255, "a" * 256, "a" * 65_536, "вече",
    b"", b"a" * 255, b"a" * 256, b"a" * 65_535, b"a" * 65_536,
    [], [1] * 15, [1] * 16, [1] * 65_535, [[], [[]], [None, [b"", ""]]],
])
def test_a_value_survives_the_wire_and_its_bytes_are_the_only_ones(value):
    encoded = encode(value)
    assert decode(encoded, LIMIT, 1 << 17) == value
    assert encode(decode(encoded, LIMIT, 1 << 17)) == encoded


@pytest.mark.parametrize("size", [0, 255, 256, 65_535, 65_536])
def test_the_head_of_bytes_is_what_stands_before_them(size):
    assert encode_bytes_head(size) + bytes(size) == encode(bytes(size))


def test_a_tuple_is_a_list():
    assert encode((1, (2, b"x"))) == encode([1, [2, b"x"]])


@pytest.mark.parametrize("value", [
    300, 70_000, 2**40, -200, -70_000, -(2**40), "a" * 40, "a" * 300, b"a" * 9, b"a" * 300,
    b"a" * 70_000, [1, 2, 3], [1] * 20, [b"abc", "def", [1, [2]]],
])
def test_every_cut_of_an_encoding_is_truncated(value):
    encoded = encode(value)
    for end in {*range(min(len(encoded), 400)), len(encoded) - 1}:
        assert refuse(encoded[:end]) == "truncated"


def test_bytes_after_the_value_are_refused():
    assert refuse(encode([1, 2]) + b"\0") == "trailing bytes"


def test_an_oversized_message_is_refused_before_it_is_read():
    assert refuse(b"\xc1" * 11, bytes_max=10) == "oversized"
    assert decode(encode(b"x" * 8), 10) == b"x" * 8


@pytest.mark.parametrize("encoded", [
    "cc7f", "cd00ff", "ce0000ffff", "cf00000000ffffffff",
    "d07f", "d0e0", "d0ff", "d10000", "d1ff80", "d20000ffff", "d2ffff8000",
    "d3000000007fffffff", "d37fffffffffffffff", "d3ffffffff80000000",
    "c500ff" + "00" * 255, "c60000ffff" + "00" * 65_535, "c50000", "c600000000",
    "d91f" + "61" * 31, "da00ff" + "61" * 255, "db0000ffff" + "61" * 65_535,
    "dc000f" + "00" * 15, "dc0000", "dd0000ffff" + "00" * 65_535, "dd00000000",
])
def test_a_longer_form_than_needed_is_not_canonical(encoded):
    assert refuse(bytes.fromhex(encoded)) == "not canonical"
    assert refuse(b"\x91" + bytes.fromhex(encoded)) == "not canonical"


@pytest.mark.parametrize("encoded", [
    msgpack.packb({}), msgpack.packb({1: 2}), msgpack.packb(1.5),
    msgpack.packb(1.5, use_single_float=True), msgpack.packb(msgpack.ExtType(1, b"x")),
    msgpack.packb(msgpack.ExtType(1, b"x" * 300)), msgpack.packb(msgpack.Timestamp(1)),
    b"\xc1", b"\xde\x00\x00", b"\xdf\x00\x00\x00\x00",
])
def test_maps_floats_and_extensions_are_outside_of_the_subset(encoded):
    assert refuse(encoded) == "type outside of the subset"
    assert refuse(b"\x92\x01" + encoded) == "type outside of the subset"


def test_a_string_that_is_not_utf_8_is_malformed():
    assert refuse(b"\xa2\xff\xfe") == "malformed"
    assert refuse(b"\x92\x01\xa3\xed\xa0\x80") == "malformed"  # a lone surrogate


def test_nesting_has_a_floor():
    assert decode(b"\x91" * (DEPTH_MAX - 1) + b"\x90", LIMIT) is not None
    assert refuse(b"\x91" * DEPTH_MAX + b"\x90") == "nested too deeply"
    assert refuse(b"\x91" * 1_000_000 + b"\x90") == "nested too deeply"


def test_a_million_empty_arrays_are_refused_before_anything_is_built():
    for encoded in (b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000, b"\xdd\xff\xff\xff\xff"):
        tracemalloc.start()
        assert refuse(encoded) == "too many elements"
        assert tracemalloc.get_traced_memory()[1] < 20_000
        tracemalloc.stop()


def test_elements_are_counted_over_all_arrays():
    encoded = encode([[1, 2], [3, [4]]])
    assert decode(encoded, LIMIT, 8) == [[1, 2], [3, [4]]]
    assert refuse(encoded, elements_max=7) == "too many elements"


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, object()])
def test_encoding_what_is_outside_of_the_subset_is_our_bug(value):
    with pytest.raises((TypeError, OverflowError, ValueError)):
        encode(value)
