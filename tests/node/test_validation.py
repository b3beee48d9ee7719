"""Each check of what others made, and the reason that it gives."""

from dataclasses import replace

import pytest

from node.block import make_header
from node.bundle import decode_bundle, make_bundle
from node.errors import InvalidBlock, InvalidMessage, InvalidTransaction
from node.params import Genesis
from node.transaction import decode_transaction
from node.validation import (
    compute_bundles_root,
    compute_execution_key,
    verify_bundle,
    verify_header,
    verify_transaction,
)
from node.work import Work
from tests.node.samples import (
    CHAIN,
    KEYS,
    PARAMS,
    make_identity,
    make_sample_bundle,
    make_sample_transaction,
)

WORK = Work()
RELAY = make_identity("relay")
GENESIS = Genesis(
    params=PARAMS, validators=KEYS, relays=(RELAY.public,), registrar=KEYS[0], time_ns=0
)
NOTHING = bytes(32)
STEP_NS = PARAMS.block_interval_ns


def make_plain_header(height=1, parent=NOTHING, time_ns=0, **other):
    fields = {
        "chain_id": CHAIN, "height": height, "parent": parent, "time_ns": time_ns,
        "proposer": KEYS[0], "bundles_root": NOTHING, "receipts_root": NOTHING,
        "state_root": NOTHING, "validators": KEYS, "vote": None, **other,
    }
    return make_header(**fields)


PARENT = make_plain_header(height=6, time_ns=60 * STEP_NS)
CHILD = {"height": 7, "parent": PARENT.digest, "time_ns": 61 * STEP_NS}


def test_a_header_in_its_place_passes():
    verify_header(make_plain_header(**CHILD), PARENT, KEYS, GENESIS)
    verify_header(make_plain_header(**{**CHILD, "time_ns": 2**62}), PARENT, KEYS, GENESIS)


@pytest.mark.parametrize(("change", "reason"), [
    ({"chain_id": b"another!"}, "wrong chain"), ({"height": 8}, "height"),
    ({"height": 6}, "height"), ({"parent": NOTHING}, "parent"),
    ({"time_ns": 61 * STEP_NS - 1}, "time"), ({"validators": KEYS[:3]}, "validators"),
    ({"validators": KEYS[::-1]}, "validators"), ({"proposer": RELAY.public}, "proposer"),
])
def test_a_header_out_of_its_place_is_refused(change, reason):
    with pytest.raises(InvalidBlock) as caught:
        verify_header(make_plain_header(**{**CHILD, **change}), PARENT, KEYS, GENESIS)
    assert caught.value.reason == reason


def test_a_good_bundle_passes():
    verify_bundle(make_sample_bundle(), GENESIS, CHAIN, WORK)


def make_bad_bundles():
    good = make_sample_bundle()
    item = make_sample_transaction("a")
    other = make_sample_transaction("b")
    broken = other[:-1] + bytes([other[-1] ^ 1])

    def bundle(items, relay=RELAY, chain=CHAIN):
        return decode_bundle(make_bundle(relay, chain, 1, items), PARAMS)

    return {
        "wrong chain": bundle([item], chain=b"another!"),
        "unknown relay": bundle([item], make_identity("outsider")),
        "bundle signature": replace(good, signature=bytes(64)),
        "repeated transaction": bundle([item, item]),
        "bundled transaction": bundle([item, broken]),
    }


@pytest.mark.parametrize("reason", sorted(make_bad_bundles()))
def test_a_bad_bundle_is_refused_whole(reason):
    with pytest.raises(InvalidMessage) as caught:
        verify_bundle(make_bad_bundles()[reason], GENESIS, CHAIN, WORK)
    assert caught.value.reason == reason


def test_a_transaction_of_another_chain_is_refused_before_its_signature():
    item = decode_transaction(make_sample_transaction(), 10_000)
    verify_transaction(item, CHAIN, WORK)
    with pytest.raises(InvalidTransaction, match="wrong chain"):
        verify_transaction(item._replace(signature=bytes(64)), b"another!", WORK)
    for bad in (bytes(64), item.signature[:32] + bytes(32)):
        with pytest.raises(InvalidTransaction, match="signature"):
            verify_transaction(item._replace(signature=bad), CHAIN, WORK)


def test_a_signature_of_other_content_or_by_another_key_is_refused():
    item = decode_transaction(make_sample_transaction(), 10_000)
    other = decode_transaction(make_sample_transaction(nonce=1), 10_000)
    for wrong in (item._replace(signature=other.signature), item._replace(sender=KEYS[0])):
        with pytest.raises(InvalidTransaction, match="signature"):
            verify_transaction(wrong, CHAIN, WORK)


def test_the_execution_key_depends_on_each_of_its_parts():
    parts = (NOTHING, 1, 2, NOTHING)
    keys = {compute_execution_key(*parts)}
    for changed in ((b"\x01" * 32, 1, 2, NOTHING), (NOTHING, 2, 2, NOTHING),
                    (NOTHING, 1, 3, NOTHING), (NOTHING, 1, 2, b"\x01" * 32)):
        keys.add(compute_execution_key(*changed))
    assert len(keys) == 5


def test_the_bundles_root_depends_on_the_order():
    one, two = b"\x01" * 32, b"\x02" * 32
    assert compute_bundles_root([one, two]) != compute_bundles_root([two, one])
