"""Canonical msgpack with strict limits: the only encoding on the wire and under hashes.

The subset: nil, booleans, integers of 64 bits, strings, byte strings and arrays. Maps, floats
and extensions are refused. Of the encodings that msgpack allows for a value only the shortest
is accepted, so that decoding and encoding again gives the same bytes (without that check two
encodings, hence two ids, exist for one transaction). Sizes and counts are checked by a scan of
the bytes before anything is built, for a megabyte of empty containers decodes to 74 MB.
"""

from typing import TypeAlias

import msgpack

from node.errors import InvalidEncoding

Value: TypeAlias = "None | bool | int | str | bytes | list[Value] | tuple[Value, ...]"

ELEMENTS_MAX = 65_536
DEPTH_MAX = 8

_packb = msgpack.Packer(use_bin_type=True, strict_types=False, autoreset=True).pack


def encode(value: Value) -> bytes:
    """The canonical bytes of ``value``; lists and tuples are the same thing.

    Raises TypeError, OverflowError or ValueError for a value outside of the subset: our bug.
    """
    encoded: bytes = _packb(value)
    return encoded


def decode(data: bytes, bytes_max: int, elements_max: int = ELEMENTS_MAX) -> Value:
    """The value of which ``data`` is the canonical encoding.

    Raises InvalidEncoding when data is longer than ``bytes_max``, truncated, followed by more
    bytes, nested deeper than DEPTH_MAX, of more than ``elements_max`` elements, outside of
    the subset, or not canonical. Memory is bounded before anything is built.
    """
    size = len(data)
    if size > bytes_max:
        raise InvalidEncoding("oversized", size)
    _scan(data, size, elements_max)
    try:
        value: Value = msgpack.unpackb(data, raw=False, use_list=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise InvalidEncoding("malformed", size) from error
    return value


def _scan(data: bytes, size: int, elements_max: int) -> None:
    """One pass over the type bytes: bounds, depth, counts and shortest forms."""
    at = 0
    elements = 0
    left = 1  # elements still to come in the innermost open array
    outer: list[int] = []
    while True:
        while left == 0:
            if not outer:
                if at != size:
                    raise InvalidEncoding("trailing bytes", size)
                return
            left = outer.pop()
        if at >= size:
            raise InvalidEncoding("truncated", size)
        left -= 1
        elements += 1
        if elements > elements_max:
            raise InvalidEncoding("too many elements", size)
        tag = data[at]
        at += 1
        if tag < 0x80 or tag >= 0xE0 or 0xC0 == tag or tag in (0xC2, 0xC3):
            continue
        if 0x90 <= tag <= 0x9F:
            count = tag & 0x0F
        elif tag == 0xC4:  # bin 8, the commonest after small integers
            at += 1 + (data[at] if at < size else size)
            continue
        elif 0xA0 <= tag <= 0xBF:
            at += tag & 0x1F
            continue
        elif 0xCC <= tag <= 0xD3:
            at = _skip_integer(data, at, tag, size)
            continue
        else:
            form = _LENGTH_FORMS.get(tag)
            if form is None:
                raise InvalidEncoding("type outside of the subset", size)
            width, least, is_array = form
            length = int.from_bytes(data[at : at + width], "big")
            if at + width > size:
                raise InvalidEncoding("truncated", size)
            if length < least:
                raise InvalidEncoding("not canonical", size)
            at += width
            if not is_array:
                at += length
                continue
            count = length
        if count > size - at:
            raise InvalidEncoding("truncated", size)
        if len(outer) >= DEPTH_MAX:
            raise InvalidEncoding("nested too deeply", size)
        outer.append(left)
        left = count


# tag -> (bytes of the length, least length for which this form is the shortest, array?)
_LENGTH_FORMS = {
    0xC5: (2, 1 << 8, False),
    0xC6: (4, 1 << 16, False),
    0xD9: (1, 32, False),
    0xDA: (2, 1 << 8, False),
    0xDB: (4, 1 << 16, False),
    0xDC: (2, 16, True),
    0xDD: (4, 1 << 16, True),
}

# tag -> (width, signed, least and greatest value for which a shorter form exists)
_INTEGER_FORMS = {
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
    if at + width > size:
        raise InvalidEncoding("truncated", size)
    value = int.from_bytes(data[at : at + width], "big", signed=signed)
    if low <= value <= high:
        raise InvalidEncoding("not canonical", size)
    return at + width
