"""A relay: what it takes from clients, how it bundles, and that it does not let go."""

from dataclasses import replace

import pytest

from node.bundle import decode_bundle
from node.codec import decode, encode
from node.crypto import is_signature_valid
from node.effects import Emit, Reply, Send, SetTimer
from node.events import BundlePublished
from node.params import Params
from node.relay import Relay
from node.transaction import make_transaction
from node.types import Now
from node.wire import BundleCarried, decode_frame
from node.work import Work
from tests.node.nodenet import CHIEF, SECOND_NS, NodeNet
from tests.node.samples import CHAIN, make_identity, make_sample_transaction

ORDER = 2**252 + 27742317777372353535851937790883648493
NOW = Now(1_000, 9 * SECOND_NS)
HEAD_NS = 7 * SECOND_NS
SELF = make_identity("relay")


def make_relay(**params):
    return Relay(replace(Params(), **params), CHAIN, SELF, Work(), 100)


def submit(relay, transaction, client=1):
    effects = []
    relay.upon_submitted(NOW, client, transaction, HEAD_NS, effects)
    return effects


def get_verdict(effects):
    return effects[-1].verdict


def publish(relay, validators=(0, 1, 2), height=0):
    effects = []
    relay.publish(height, validators, effects)
    return effects


def get_sent(effects):
    return [effect for effect in effects if type(effect) is Send]


def test_a_good_transaction_is_accepted_and_bundled_in_its_order():
    relay = make_relay()
    items = [make_sample_transaction(name) for name in ("b", "a", "c")]
    first = submit(relay, items[0])
    # The next block is due at 12 s, and the relay publishes half a second before.
    assert SetTimer(("bundle", 100, 0), 1_000 + 5 * SECOND_NS // 2) in first
    for item in items[1:]:
        effects = submit(relay, item)
        assert get_verdict(effects) == "accepted"
        assert not any(type(effect) is SetTimer for effect in effects)
    (sent,) = get_sent(publish(relay))
    message = decode_frame(sent.frame, Params())
    assert type(message) is BundleCarried
    bundle = message.bundle
    assert [item.encoded for item in bundle.transactions] == items
    assert (bundle.relay, bundle.sequence) == (SELF.public, 100)
    assert is_signature_valid(SELF.public, bundle.digest, bundle.signature)


@pytest.mark.parametrize(("head_s", "wait_s"), [
    (9, 4.5), (4.75, 0.25), (4, 4.5), (-21, 4.5), (11, 1.5), (4.5, 0),
])
def test_a_bundle_waits_for_the_lead_before_the_next_block_whatever_the_heads_age(
    head_s, wait_s
):
    """Also when blocks are late, or the head's time is ahead of this relay's clock."""
    relay, effects = make_relay(), []
    head_ns = round(head_s * SECOND_NS)
    relay.upon_submitted(NOW, 1, make_sample_transaction(), head_ns, effects)
    (timer,) = [effect for effect in effects if type(effect) is SetTimer]
    assert timer.at_ns - NOW.monotonic_ns == round(wait_s * SECOND_NS)


def make_malleable(transaction):
    """The same with S + L for S: valid in the group, refused by libsodium."""
    body, signature = decode(transaction, 10_000)
    s = int.from_bytes(signature[32:], "little") + ORDER
    return encode([body, signature[:32] + s.to_bytes(32, "little")])


def make_by_small_order_key():
    """By the identity point, for which a signature of zeros would hold in naive libraries."""
    key = b"\x01" + bytes(31)
    body = encode([CHAIN, 3, key, 0, []])
    return encode([body, key + bytes(32)])


@pytest.mark.parametrize(("transaction", "reason"), [
    (make_malleable(make_sample_transaction()), "signature"),
    (make_by_small_order_key(), "signature"),
    (make_sample_transaction()[:-1] + b"\x00", "signature"),
    (make_transaction(make_identity("x"), b"another!", 3, 1, []), "wrong chain"),
    (make_sample_transaction()[:-1], "encoding"),
    (make_sample_transaction() + b"\x00", "encoding"),
    (b"", "encoding"),
    (bytes(200_000), "encoding"),
    (b"\x91" * 100, "encoding"),
    (encode([encode([CHAIN, 3, bytes(32), -1, []]), bytes(64)]), "encoding"),
    (encode([encode([CHAIN, 3, bytes(32), True, []]), bytes(64)]), "encoding"),
    (encode([encode([CHAIN, 3, bytes(31), 1, []]), bytes(64)]), "encoding"),
    (encode([encode([CHAIN, 3, bytes(32), 2**53, []]), bytes(64)]), "encoding"),
])
def test_a_bad_transaction_is_refused_with_its_reason_and_changes_nothing(transaction, reason):
    relay = make_relay()
    before = relay.compute_digest()
    effects = submit(relay, transaction)
    assert effects[-1] == Reply(1, b"", reason)
    assert [effect.event.reason for effect in effects if type(effect) is Emit] == [reason]
    assert relay.compute_digest() == before
    assert publish(relay) == []


def test_the_same_transaction_again_is_accepted_but_bundled_once():
    relay = make_relay()
    item = make_sample_transaction()
    submit(relay, item)
    before = relay.compute_digest()
    assert get_verdict(submit(relay, item, client=2)) == "accepted"
    assert relay.compute_digest() == before
    publish(relay)
    assert get_verdict(submit(relay, item)) == "accepted"
    assert publish(relay) == []


def test_a_full_relay_is_busy_until_its_bundles_are_final():
    relay = make_relay(relay_pending_max=2)
    for name in ("a", "b"):
        submit(relay, make_sample_transaction(name))
    third = make_sample_transaction("c")
    before = relay.compute_digest()
    assert get_verdict(submit(relay, third)) == "busy"
    assert relay.compute_digest() == before
    (sent,) = get_sent(publish(relay))
    assert get_verdict(submit(relay, third)) == "busy"
    relay.upon_final(1, [decode_frame(sent.frame, Params()).bundle], (0,), [])
    assert get_verdict(submit(relay, third)) == "accepted"


def test_a_bundle_is_full_by_count_or_by_bytes():
    for limits in ({"bundle_transactions_max": 2}, {"bundle_bytes_max": 300}):
        relay = make_relay(**limits)
        submit(relay, make_sample_transaction("a"))
        assert not relay.is_full()
        submit(relay, make_sample_transaction("b"))
        assert relay.is_full()
        publish(relay)
        assert not relay.is_full()


def test_the_timer_of_a_bundle_that_went_out_full_does_nothing():
    relay = make_relay()
    submit(relay, make_sample_transaction("a"))
    publish(relay)
    submit(relay, make_sample_transaction("b"))
    effects = []
    relay.upon_timer(100, 0, (0,), effects)
    assert effects == []
    relay.upon_timer(101, 0, (0,), effects)
    assert [type(e.event) for e in effects if type(e) is Emit] == [BundlePublished]


def test_an_overdue_bundle_goes_to_another_validator_again_and_again_until_it_is_final():
    relay = make_relay(bundle_targets=3)
    submit(relay, make_sample_transaction("a"))
    (first,) = get_sent(publish(relay, (10, 11, 12), height=5))
    given = [first.peer]
    for height in range(6, 15):
        effects = []
        relay.upon_final(height, [], (10, 11, 12), effects)
        sent = get_sent(effects)
        assert [item.frame for item in sent] == ([first.frame] if height % 3 == 2 else [])
        given += [item.peer for item in sent]
    assert sorted(set(given)) == [10, 11, 12]
    bundle = decode_frame(first.frame, Params()).bundle
    relay.upon_final(15, [bundle], (10, 11, 12), [])
    effects = []
    for height in range(16, 30):
        relay.upon_final(height, [], (10, 11, 12), effects)
    assert effects == []
    assert decode_bundle(bundle.encoded, Params()) == bundle


def test_a_relay_without_validators_keeps_its_bundle_for_later():
    relay = make_relay()
    submit(relay, make_sample_transaction("a"))
    assert get_sent(publish(relay, ())) == []
    effects = []
    relay.upon_final(3, [], (4,), effects)
    assert [item.peer for item in get_sent(effects)] == [4]


def test_a_ballot_survives_a_validator_that_swallows_every_bundle_it_is_given():
    net = NodeNet(relays=1)
    swallowed = []

    def swallow(sender, receiver, frame):
        taken = sender == 4 and frame[1] == 2 and receiver in (0, 1, 2)
        swallowed.append(receiver) if taken else None
        return taken

    net.drop = swallow
    assert net.submit(4, net.make_grant(1)) == "accepted"
    net.run_until(lambda: net.nodes[0].chain.state.get(b"nonce/" + CHIEF.public), 120)
    assert swallowed
    net.reach(net.nodes[0].chain.height)
    net.assert_one_chain()


def test_what_a_relay_holds_is_bounded_whatever_clients_send():
    relay = make_relay(relay_pending_max=50, bundle_transactions_max=10)
    identity = make_identity("flood")
    for nonce in range(500):
        submit(relay, make_transaction(identity, CHAIN, 3, nonce, []))
        if relay.is_full():
            publish(relay, ())
    assert len(relay._pending) == 50
    assert len(relay._waiting) + sum(len(item[2]) for item in relay._published.values()) == 50
    assert len(relay._published) == 5
