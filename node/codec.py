"""Canonical msgpack with strict limits: the only encoding on the wire and under hashes.

The subset: nil, booleans, integers of 64 bits, strings, byte strings and arrays. Maps, floats
and extensions are refused. Of the encodings that msgpack allows for a value only the shortest
is accepted, so that decoding and encoding again gives the same bytes (without that check two
encodings, hence two ids, exist for one transaction). Sizes and counts are checked by a scan of
the bytes before anything is built, for a megabyte of empty containers decodes to 74 MB.
"""

from typing import Final, TypeAlias, TypeGuard

import msgpack

from node.errors import InvalidEncoding

Value: TypeAlias = "bool | int | str | bytes | list[Value] | tuple[Value, ...] | None"

ELEMENTS_MAX: Final = 65_536
DEPTH_MAX: Final = 8

_packb = msgpack.Packer(use_bin_type=True, strict_types=False, autoreset=True).pack


def encode(value: Value) -> bytes:
    """The canonical bytes of ``value``; lists and tuples are the same thing.

    Raises TypeError, OverflowError or ValueError for a value outside of the subset: our bug.
    """
    encoded: bytes = _packb(value)
    return encoded


def encode_bytes_head(size: int) -> bytes:
    """What stands before ``size`` bytes in their encoding: for those who need not copy them."""
    assert 0 <= size < 1 << 32
    if size < 1 << 8:
        return b"\xc4" + size.to_bytes(1, "big")
    if size < 1 << 16:
        return b"\xc5" + size.to_bytes(2, "big")
    return b"\xc6" + size.to_bytes(4, "big")


def decode(data: bytes, bytes_max: int, elements_max: int = ELEMENTS_MAX) -> Value:
    """The value of which ``data`` is the canonical encoding; arrays come as lists.

    Raises InvalidEncoding when data is longer than ``bytes_max``, truncated, followed by more
    bytes, nested deeper than DEPTH_MAX, of more than ``elements_max`` elements, outside of
    the subset, or not canonical. Memory is bounded before anything is built.
    """
    size = len(data)
    if size > bytes_max:
        raise InvalidEncoding("oversized", size)
    try:
        end = _scan(data, size, elements_max)
    except IndexError as past_end:
        raise InvalidEncoding("truncated", size) from past_end
    if end != size:
        raise InvalidEncoding("truncated" if end > size else "trailing bytes", size)
    try:
        value: Value = msgpack.unpackb(data, raw=False, use_list=True)
    except ValueError as not_utf8:  # the scan saw to all else
        raise InvalidEncoding("malformed", size) from not_utf8
    return value


def is_whole(value: Value) -> TypeGuard[int]:
    """Whether ``value`` is an integer; booleans are none, though patterns take True for one."""
    return type(value) is int


def is_below(value: Value, end: int) -> TypeGuard[int]:
    """Whether ``value`` is an integer from 0 to ``end - 1``."""
    return type(value) is int and 0 <= value < end


def _scan(data: bytes, size: int, elements_max: int) -> int:
    """One pass over the type bytes: depth, counts and shortest forms. Returns where it ends.

    Reading past the end is an IndexError. A transaction costs two scans, so the commonest
    elements come first and are counted by the array that holds them.
    """
    steps = _STEPS
    at = 0
    elements = 1
    left = 1  # elements still to come in the innermost open array
    outer: list[int] = []
    while True:
        while left:
            left -= 1
            tag = data[at]
            step = steps[tag]
            if step:
                at += step
                continue
            if tag == _BIN_8:
                at += 2 + data[at + 1]
                continue
            if tag & 0xF0 == _FIXARRAY:
                count = tag & 0x0F
                at += 1
            elif tag in _INTEGER_FORMS:
                at = _skip_integer(data, at + 1, tag, size)
                continue
            else:
                at, count = _skip_length(data, at + 1, tag, size)
                if count < 0:
                    continue
            elements += count
            if elements > elements_max:
                raise InvalidEncoding("too many elements", size)
            if len(outer) == DEPTH_MAX:
                raise InvalidEncoding("nested too deeply", size)
            outer.append(left)
            left = count
        if not outer:
            return at
        left = outer.pop()


_BIN_8: Final = 0xC4
_FIXARRAY: Final = 0x90

# tag -> bytes of the whole element where the tag alone tells them, otherwise 0:
# small integers, nil, booleans, short strings
_STEPS = (
    bytes([1]) * 0x80 + bytes(0x20) + bytes(range(1, 0x21))
    + bytes([1, 0, 1, 1]) + bytes(0x1C) + bytes([1]) * 0x20
)
assert len(_STEPS) == 256

# tag -> (bytes of the length, least length for which this form is the shortest, array?)
_LENGTH_FORMS: Final = {
    0xC5: (2, 1 << 8, False),
    0xC6: (4, 1 << 16, False),
    0xD9: (1, 32, False),
    0xDA: (2, 1 << 8, False),
    0xDB: (4, 1 << 16, False),
    0xDC: (2, 16, True),
    0xDD: (4, 1 << 16, True),
}

# tag -> (width, signed, least and greatest value for which a shorter form exists)
_INTEGER_FORMS: Final = {
    0xCC: (1, False, 0, 0x7F),
    0xCD: (2, False, 0, 0xFF),
    0xCE: (4, False, 0, 0xFFFF),
    0xCF: (8, False, 0, 0xFFFF_FFFF),
    0xD0: (1, True, -32, 0x7F),
    0xD1: (2, True, -128, 0x7FFF),
    0xD2: (4, True, -(1 << 15), 0x7FFF_FFFF),
    0xD3: (8, True, -(1 << 31), (1 << 63) - 1),
}


def _skip_integer(data: bytes, at: int, tag: int, size: int) -> int:
    width, signed, low, high = _INTEGER_FORMS[tag]
    end = at + width
    if end > size:
        raise InvalidEncoding("truncated", size)
    if low <= int.from_bytes(data[at:end], "big", signed=signed) <= high:
        raise InvalidEncoding("not canonical", size)
    return end


def _skip_length(data: bytes, at: int, tag: int, size: int) -> tuple[int, int]:
    """(where the string ends, -1), or (where the first element begins, how many)."""
    form = _LENGTH_FORMS.get(tag)
    if form is None:
        raise InvalidEncoding("type outside of the subset", size)
    width, least, is_array = form
    end = at + width
    if end > size:
        raise InvalidEncoding("truncated", size)
    length = int.from_bytes(data[at:end], "big")
    if length < least:
        raise InvalidEncoding("not canonical", size)
    return (end, length) if is_array else (end + length, -1)
