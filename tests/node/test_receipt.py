import pytest

from node.codec import encode
from node.errors import InvalidProof
from node.receipt import DUPLICATE, OK, Receipt, decode_receipt, encode_receipt

NAME = bytes(range(32))


@pytest.mark.parametrize("status", [OK, DUPLICATE, "the stall is taken"])
def test_a_receipt_survives_the_wire(status):
    encoded = encode_receipt(NAME, 7, 3, status)
    assert decode_receipt(encoded) == Receipt(NAME, 7, 3, status)
    assert encode([NAME, 7, 3, status]) == encoded


@pytest.mark.parametrize("fields", [
    None, [], [NAME, 7, 3], [NAME, 7, 3, OK, 1], [NAME[:31], 7, 3, OK], ["x", 7, 3, OK],
    [NAME, True, 3, OK], [NAME, -1, 3, OK], [NAME, 7, False, OK], [NAME, 7, -1, OK],
    [NAME, 7, 3, b"ok"], [NAME, 7, 3, None],
])
def test_what_is_not_a_receipt_is_refused(fields):
    with pytest.raises(InvalidProof, match="receipt: not"):
        decode_receipt(encode(fields))


def test_a_receipt_of_any_length_is_not_read():
    with pytest.raises(InvalidProof, match="oversized"):
        decode_receipt(encode_receipt(NAME, 7, 3, "x" * 600))
