import pytest

from node.codec import decode, encode
from node.crypto import is_signature_valid
from node.errors import InvalidTransaction
from node.transaction import compute_transaction_id, decode_transaction, make_transaction
from tests.node.samples import CHAIN, make_identity

VOTER = make_identity("voter")
BODY = [CHAIN, 3, VOTER.public, 5, [1, b"x"]]


def wrap(body, signature=bytes(64)):
    return encode([encode(body), signature])


def refuse(encoded, bytes_max=10_000):
    with pytest.raises(InvalidTransaction) as caught:
        decode_transaction(encoded, bytes_max)
    assert caught.value.reason == "encoding"
    return caught.value.detail


def test_a_transaction_decodes_to_what_was_signed():
    encoded = make_transaction(VOTER, CHAIN, 3, 5, [1, b"x"])
    transaction = decode_transaction(encoded, 10_000)
    assert (transaction.chain_id, transaction.kind, transaction.nonce) == (CHAIN, 3, 5)
    assert transaction.sender == VOTER.public
    assert transaction.payload == [1, b"x"]
    assert transaction.encoded == encoded
    assert is_signature_valid(VOTER.public, transaction.id, transaction.signature)


def test_the_id_does_not_cover_the_signature():
    first = decode_transaction(wrap(BODY), 10_000)
    second = decode_transaction(wrap(BODY, b"s" * 64), 10_000)
    assert first.id == second.id == compute_transaction_id(encode(BODY))


@pytest.mark.parametrize(("place", "wrong"), [
    (0, b"short"), (0, "chain-id"), (0, None),
    (1, True), (1, "3"), (1, None),
    (2, b"k" * 31), (2, "k" * 32), (2, None),
    (3, -1), (3, 2**53), (3, False), (3, b"5"),
    (4, b"payload"), (4, None), (4, 7),
])
def test_each_field_has_one_type_and_range(place, wrong):
    body = list(BODY)
    body[place] = wrong
    assert "not [chain" in refuse(wrap(body))


def test_the_greatest_nonce_is_accepted():
    assert decode_transaction(wrap([*BODY[:3], 2**53 - 1, []]), 10_000).nonce == 2**53 - 1


@pytest.mark.parametrize("body", [[], BODY[:4], [*BODY, 1], 7, b"body", None])
def test_a_body_has_five_fields(body):
    assert "five fields" in refuse(wrap(body))


@pytest.mark.parametrize("outer", [
    [], [encode(BODY)], [encode(BODY), bytes(63)], [encode(BODY), "s" * 64], ["x", bytes(64)],
    [encode(BODY), None], 5, b"", None,
])
def test_the_outside_is_a_body_and_a_signature(outer):
    assert refuse(encode(outer)) == "not [body, signature]"
    assert "too many" in refuse(encode([encode(BODY), bytes(64), 1]))


def test_a_body_that_is_not_canonical_is_refused():
    long = encode(BODY)[:-3] + b"\xc5\x00\x01x"
    assert "not canonical" in refuse(encode([long, bytes(64)]))
    nonce = encode(BODY).replace(VOTER.public + b"\x05", VOTER.public + b"\xcc\x05")
    assert "not canonical" in refuse(encode([nonce, bytes(64)]))


def test_size_is_checked_first():
    encoded = wrap(BODY)
    assert decode_transaction(encoded, len(encoded))
    assert "oversized" in refuse(encoded, len(encoded) - 1)


def test_making_and_decoding_agree_bit_for_bit():
    encoded = make_transaction(VOTER, CHAIN, 3, 5, [1, b"x"])
    body, signature = decode(encoded, 10_000)
    assert encode([encode(decode(body, 10_000)), signature]) == encoded
