"""Ed25519's curve in plain numbers, to make the signatures that nobody honest would."""

from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(one, other):
    (x1, y1), (x2, y2) = one, other
    k = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P,
    )


def multiply(factor, point):
    result = (0, 1)
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def recover(y):
    """The even x of this y, None if there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 else x


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def find_torsion():
    """A point of order 8."""
    for y in range(2, 100):
        x = recover(y)
        if x is not None:
            point = multiply(ORDER, (x, y))
            if multiply(4, point) != (0, 1):
                return point
    raise AssertionError("there are eight in every hundred")


BASE_Y = 4 * pow(5, -1, P) % P
BASE = (recover(BASE_Y), BASE_Y)
TORSION = find_torsion()


def sign(secret, message, *, key_shift=(0, 1), first_shift=(0, 1), nonce=987654321):
    """(key, signature) with points of small order added to the key or to R."""
    key = encode(add(multiply(secret, BASE), key_shift))
    first = encode(add(multiply(nonce, BASE), first_shift))
    h = int.from_bytes(sha512(first + key + message).digest(), "little") % ORDER
    rest = (nonce + h * secret) % ORDER
    return key, first + rest.to_bytes(32, "little")


def list_odd_signatures():
    """(key, message, signature) that implementations of Ed25519 are known to disagree on."""
    cases = []
    for number in range(24):
        message = b"message %d" % number
        key, signature = sign(12345 + number, message)
        cases.append((key, message, signature))
        rest = int.from_bytes(signature[32:], "little") + ORDER
        cases.append((key, message, signature[:32] + rest.to_bytes(32, "little")))
        cases.append((key[:31] + bytes([key[31] ^ 0x80]), message, signature))
        for shifts in (
            {"key_shift": TORSION}, {"first_shift": TORSION},
            {"key_shift": TORSION, "first_shift": TORSION},
        ):
            key, signature = sign(12345 + number, message, **shifts)
            cases.append((key, message, signature))
        # The equation holds for these; that a point is of small order is what is wrong.
        for secret, nonce in ((0, 7), (7, 0), (0, 0)):
            key, signature = sign(secret, message, nonce=nonce)
            cases.append((key, message, signature))
        for times in range(1, 8):
            key, signature = sign(0, message, key_shift=multiply(times, TORSION))
            cases.append((key, message, signature))
    message = b"small"
    small = [encode(multiply(n, TORSION)) for n in range(8)]
    small += [(P + y).to_bytes(32, "little") for y in (0, 1)]
    small += [(P + 1 | 1 << 255).to_bytes(32, "little"), (1 | 1 << 255).to_bytes(32, "little")]
    _, signature = sign(7, message)
    cases += [(key, message, signature) for key in small]
    cases += [(key, message, key + bytes(32)) for key in small]
    key, signature = sign(7, message)
    cases += [(key, message, first + signature[32:]) for first in small]
    for y in range(19):  # keys that are not written in their only way
        cases.append(((P + y).to_bytes(32, "little"), message, signature))
    for y in range(2, 12):  # some of these are on no curve
        cases.append((y.to_bytes(32, "little"), message, signature))
    cases += [(key[:31], message, signature), (key, message, signature[:63])]
    return cases
