from dataclasses import replace

import pytest

from node.bundle import compute_bundle_digest, decode_bundle, make_bundle
from node.codec import encode
from node.crypto import is_signature_valid
from node.errors import InvalidMessage
from tests.node.samples import CHAIN, PARAMS, make_identity, make_sample_transaction

RELAY = make_identity("relay")
ITEMS = [make_sample_transaction(f"voter {i}") for i in range(3)]
BODY = [CHAIN, RELAY.public, 4, ITEMS]


def wrap(body, signature=bytes(64)):
    return encode([encode(body), signature])


def refuse(encoded, params=PARAMS):
    with pytest.raises(InvalidMessage) as caught:
        decode_bundle(encoded, params)
    assert caught.value.reason == "bundle encoding"
    return caught.value.detail


def test_a_bundle_keeps_the_order_of_arrival():
    encoded = make_bundle(RELAY, CHAIN, 4, ITEMS)
    bundle = decode_bundle(encoded, PARAMS)
    assert [item.encoded for item in bundle.transactions] == ITEMS
    assert (bundle.chain_id, bundle.relay, bundle.sequence) == (CHAIN, RELAY.public, 4)
    assert bundle.encoded == encoded
    assert is_signature_valid(RELAY.public, bundle.digest, bundle.signature)


def test_the_digest_does_not_cover_the_signature():
    bundle = decode_bundle(wrap(BODY), PARAMS)
    assert bundle.digest == compute_bundle_digest(encode(BODY))


@pytest.mark.parametrize(("place", "wrong"), [
    (0, b"c"), (0, None), (1, b"k" * 33), (1, "k" * 32), (2, -1), (2, True), (2, b"4"),
    (3, []), (3, b"items"), (3, None),
])
def test_each_field_has_one_type_and_range(place, wrong):
    body = list(BODY)
    body[place] = wrong
    assert "body is not" in refuse(wrap(body))


def test_one_malformed_transaction_refuses_the_whole_bundle():
    assert "not bytes" in refuse(wrap([*BODY[:3], [ITEMS[0], 5]]))
    assert "encoding" in refuse(wrap([*BODY[:3], [ITEMS[0], ITEMS[1][:-1]]]))
    params = replace(PARAMS, transaction_bytes_max=len(ITEMS[0]) - 1)
    assert "oversized" in refuse(wrap(BODY), params)


def test_the_outside_is_a_body_and_a_signature():
    for outer in ([], [encode(BODY)], [encode(BODY), bytes(63)], [1, bytes(64)], 7, None):
        assert refuse(encode(outer)) == "not [body, signature]"


def test_transactions_and_bytes_are_bounded():
    few = replace(PARAMS, bundle_transactions_max=2)
    many = [ITEMS[0]] * 20
    assert "too many" in refuse(wrap([*BODY[:3], many]), few)
    assert len(decode_bundle(wrap([*BODY[:3], ITEMS[:2]]), few).transactions) == 2
    assert "bundle_transactions_max" in refuse(wrap(BODY), few)
    assert refuse(bytes(PARAMS.bundle_bytes_max + PARAMS.transaction_bytes_max + 1))
