"""Shamir's secret sharing of 32 bytes over GF(256), byte by byte.

The election's secret key is split among holders, any ``threshold`` of whom restore it while
fewer learn nothing (Shamir, How to share a secret, 1979). Moscow 2019 and 2021 split their keys
so: 3 of 5. The field is that of AES: polynomials over GF(2) modulo x^8 + x^4 + x^3 + x + 1.
"""

from collections.abc import Mapping
from typing import Final

from node.crypto import digest

SECRET_BYTES: Final = 32
SHARES_MAX: Final = 255

_ORDER: Final = 255  # of the multiplicative group, which 3 generates


def _make_powers() -> tuple[bytes, bytes]:
    powers = bytearray(2 * _ORDER)
    logs = bytearray(256)
    value = 1
    for exponent in range(_ORDER):
        powers[exponent] = powers[exponent + _ORDER] = value
        logs[value] = exponent
        double = value << 1
        value ^= double ^ (0x11B if double & 0x100 else 0)
    assert value == 1, "3 generates the group"
    return bytes(powers), bytes(logs)


# Powers stand there twice, so that a sum of two logarithms needs no reduction.
_POWERS, _LOGS = _make_powers()


def split_secret(
    secret: bytes, seed: bytes, *, threshold: int, count: int
) -> tuple[bytes, ...]:
    """Shares 1 to ``count`` of ``secret``, 32 bytes each; share i stands at place i - 1.

    The same arguments give the same shares. ``seed`` must be unpredictable; it may serve for
    several secrets, because each secret draws its own polynomial from it.
    """
    assert len(secret) == SECRET_BYTES
    assert 1 <= threshold <= count <= SHARES_MAX, (threshold, count)
    rows = [
        digest(b"share", seed + secret + bytes((degree,))) for degree in range(1, threshold)
    ]
    return tuple(_evaluate([secret, *rows], index) for index in range(1, count + 1))


def combine_shares(shares: Mapping[int, bytes]) -> bytes:
    """The secret behind ``shares``, which maps index (1 to 255) to share.

    Exactly ``threshold`` of them are wanted. A wrong share gives a wrong secret and no
    error: compare the public key that belongs to the result.
    """
    assert shares
    secret = 0
    for index, share in shares.items():
        assert 1 <= index <= SHARES_MAX, index
        assert len(share) == SECRET_BYTES
        weight = _weigh(index, shares)
        scaled = bytes(_multiply(byte, weight) for byte in share)
        secret ^= int.from_bytes(scaled, "big")
    return secret.to_bytes(SECRET_BYTES, "big")


def _evaluate(rows: list[bytes], index: int) -> bytes:
    # Horner's rule; rows[d][i] is the coefficient of x^d for byte i.
    values = bytearray(SECRET_BYTES)
    for row in reversed(rows):
        for place, coefficient in enumerate(row):
            values[place] = _multiply(values[place], index) ^ coefficient
    return bytes(values)


def _weigh(index: int, shares: Mapping[int, bytes]) -> int:
    # Lagrange's basis polynomial at zero; subtraction is xor.
    weight = 1
    for other in shares:
        if other != index:
            weight = _multiply(weight, _divide(other, other ^ index))
    assert weight != 0
    return weight


def _multiply(left: int, right: int) -> int:
    if left == 0 or right == 0:
        return 0
    return _POWERS[_LOGS[left] + _LOGS[right]]


def _divide(left: int, right: int) -> int:
    assert right != 0
    return 0 if left == 0 else _POWERS[_LOGS[left] + _ORDER - _LOGS[right]]
