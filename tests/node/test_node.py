"""Whole nodes with one another: from a client's transaction to the same state everywhere."""

from itertools import pairwise

import pytest

from node.block import decode_block
from node.bundle import make_bundle
from node.consensus.qbft.messages import Prepare, compute_prepare_message, encode_message
from node.effects import Disconnect, Persist, Send, Spread
from node.events import BundlePublished, RoundChanged
from node.execution import get_nonce
from node.inputs import Received, Submitted
from node.params import Params
from node.receipt import decode_receipt
from node.wire import frame_block, frame_bundle, frame_consensus, frame_status
from tests.node.nodenet import CHIEF, SECOND_NS, NodeNet, get_reasons
from tests.node.samples import make_identity


def assert_dropped(net, index, peer, effects, reason):
    """Refused with a reason, and only then dropped."""
    assert get_reasons(effects) == [reason]
    ends = [effect for effect in effects if type(effect) is Disconnect]
    assert ends == [Disconnect(peer, reason)]
    assert effects.index(ends[0]) == len(effects) - 1
    assert (index, peer) not in net.links


def test_a_transaction_reaches_every_chain_with_the_same_state_root():
    net = NodeNet()
    assert net.submit(net.relays[0], net.make_grant(1)) == "accepted"
    assert net.submit(net.relays[1], net.make_grant(2)) == "accepted"
    net.run_until(lambda: all(get_nonce(n.chain.state, CHIEF.public) == 2 for n in net.nodes))
    net.assert_one_chain()
    height = min(net.get_heights())
    assert len({node.chain.get_header(height).state_root for node in net.nodes}) == 1
    published = [e for i in net.relays for e in net.events[i] if type(e) is BundlePublished]
    assert sum(event.transactions for event in published) == 2


def test_receipts_say_what_became_of_good_and_bad_nonces():
    net = NodeNet()
    relay = net.relays[0]
    for nonce in (1, 2, 4):
        assert net.submit(relay, net.make_grant(nonce)) == "accepted"
    assert net.submit(relay, net.make_grant(2, "again")) == "accepted"
    observer = net.nodes[net.observers[0]]
    net.run_until(lambda: observer.chain.output and observer.chain.output.transaction_count)
    statuses = [decode_receipt(receipt).status for receipt in observer.chain.output.receipts]
    assert statuses == ["ok", "ok", "nonce gap", "duplicate"]
    assert get_nonce(observer.chain.state, CHIEF.public) == 2


def test_blocks_are_an_interval_apart_and_nobody_changes_round():
    net = NodeNet()
    net.reach(6)
    times = [net.nodes[0].chain.get_header(height).time_ns for height in range(7)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap == 5 * SECOND_NS for gap in gaps)
    assert not [e for said in net.events for e in said if type(e) is RoundChanged]
    assert net.lost == []


def test_final_blocks_carry_a_quorum_of_seals_by_distinct_validators():
    net = NodeNet(validators=5)
    net.reach(3)
    for height in (1, 2, 3):
        block = decode_block(net.nodes[-1].chain.get_encoded(height), net.genesis.params)
        assert 4 <= len({seal.validator for seal in block.seals}) == len(block.seals)


def test_an_observer_that_joins_late_catches_up_from_genesis():
    net = NodeNet(observers=2, late=(7,))
    for nonce in range(1, 6):
        net.submit(net.relays[0], net.make_grant(nonce))
        net.run(20)
    net.start(7)
    net.run_until(lambda: net.nodes[7].chain.height >= net.nodes[0].chain.height, 10)
    assert net.nodes[7].chain.height >= 16, "more than one answer was needed"
    assert get_nonce(net.nodes[7].chain.state, CHIEF.public) == 5
    net.assert_one_chain()


@pytest.mark.parametrize("keep_disk", [True, False])
def test_a_laggard_validator_catches_up_and_votes_again(keep_disk):
    net = NodeNet()
    net.reach(2)
    net.crash(1, keep_disk=keep_disk)
    net.run(120)
    head = net.nodes[0].chain.height
    net.start(1)
    assert net.nodes[1].chain.height == (2 if keep_disk else 0)
    net.run_until(lambda: net.nodes[1].chain.height >= head, 10)
    # Now it is needed: with another one gone, three of four must seal.
    net.crash(3)
    goal = net.nodes[0].chain.height + 4
    net.reach(goal, 120)
    sealed = decode_block(net.nodes[0].chain.get_encoded(goal), net.genesis.params)
    assert 1 in [seal.validator for seal in sealed.seals]
    net.assert_one_chain()


def test_a_validator_cut_off_by_the_wire_catches_up_when_it_heals():
    net = NodeNet()
    net.drop = lambda sender, receiver, frame: 2 in (sender, receiver)
    net.run(90)
    assert net.nodes[2].chain.height == 0
    assert net.nodes[0].chain.height > 8
    net.drop = lambda sender, receiver, frame: False
    net.run_until(lambda: net.nodes[2].chain.height >= net.nodes[0].chain.height, 60)
    net.assert_one_chain()


def test_two_of_four_validators_down_is_a_stall_and_no_fork_and_it_heals():
    net = NodeNet()
    net.reach(2)
    net.crash(0)
    net.crash(1)
    before = net.nodes[2].chain.height
    net.run(100)
    assert net.nodes[2].chain.height <= before + 1
    net.start(0)
    net.reach(before + 4, 200)
    net.assert_one_chain()


def test_a_crash_between_prepare_and_commit_restarts_with_its_lock():
    """All crash when each has stored a lock: the locked block and no other becomes final."""
    net = NodeNet(relays=1, observers=0)
    net.submit(4, net.make_grant(1))

    def is_ballot(frame):
        return len(frame) < 300

    def is_locked(index):
        return len(net.slots[index].get("lock", b"")) > 600

    net.drop = lambda sender, receiver, frame: is_locked(sender) and is_ballot(frame)
    net.run_until(lambda: all(is_locked(index) for index in net.validators))
    locked = {net.slots[index]["lock"] for index in net.validators}
    digests = {net.nodes[index].engine._height.round.digest for index in net.validators}
    assert len(digests) == 1
    assert locked
    for index in net.validators:
        net.crash(index)
    net.drop = lambda sender, receiver, frame: False
    net.run(30)
    for index in net.validators:
        net.start(index)
    net.reach(3, 120)
    assert net.nodes[0].chain.get_digest(1) in digests
    net.assert_one_chain()


def test_a_promise_is_stored_before_it_is_said():
    net = NodeNet()
    seen = []
    tell = net.tell

    def watch(index, happened):
        effects = tell(index, happened)
        seen.append((index, effects))
        return effects

    net.tell = watch
    net.reach(2)
    said = 0
    for index, effects in seen:
        if index not in net.validators:
            continue
        stored = False
        for effect in effects:
            stored |= type(effect) is Persist and effect.slot == "lock"
            if type(effect) is Spread and not effect.content and len(effect.frame) < 300:
                assert stored
                said += 1
    assert said >= 12


def test_a_node_is_the_same_function_of_its_inputs():
    def play():
        net = NodeNet()
        net.submit(4, net.make_grant(1))
        net.run(17)
        return [node.compute_digest() for node in net.nodes], net.events, net.worked

    assert play() == play()


# Liars.


def make_lies(net):
    """(frame, reason) for lies that any validator must refuse."""
    outsider, relay = make_identity("outsider"), net.identities[net.relays[0]]
    transaction = net.make_grant(1)
    bundle = make_bundle(relay, net.chain_id, 5, [transaction])
    forged = bundle[:-1] + bytes([bundle[-1] ^ 1])
    unsigned = transaction[:-1] + bytes([transaction[-1] ^ 1])
    signed = compute_prepare_message(net.chain_id, 1, 0, bytes(32))

    def say(height, round_number, author, signature):
        prepare = Prepare(height, round_number, author, bytes(32), signature, signed)
        return frame_consensus(encode_message(prepare))

    return {
        "garbage": (b"\xc1garbage", "frame encoding"),
        "empty": (b"", "frame encoding"),
        "truncated": (frame_bundle(bundle)[:-9], "frame encoding"),
        "trailing": (frame_bundle(bundle) + b"\x00", "frame encoding"),
        "oversized": (bytes(17 * 1024 * 1024), "frame encoding"),
        "oversized bundle": (frame_bundle(bytes(500_000)), "bundle encoding"),
        "deep": (b"\x91" * 5_000 + b"\x90", "frame encoding"),
        "not canonical": (b"\x93\xcc\x01\x00\xc4\x20" + bytes(32), "frame encoding"),
        "long form": (b"\xdc\x00\x03\x01\x00\xc4\x20" + bytes(32), "frame encoding"),
        "boolean tag": (b"\x93\xc3\x05\xc4\x20" + bytes(32), "frame encoding"),
        "boolean height": (b"\x93\x01\xc3\xc4\x20" + bytes(32), "frame encoding"),
        "unknown tag": (b"\x92\x63\xc4\x00", "frame encoding"),
        "wrong type": (b"\x92\x02\xa1x", "frame encoding"),
        "a map": (b"\x81\x01\x02", "frame encoding"),
        "bundle signature": (frame_bundle(forged), "bundle signature"),
        "no relay": (
            frame_bundle(make_bundle(outsider, net.chain_id, 5, [transaction])),
            "unknown relay",
        ),
        "wrong chain": (
            frame_bundle(make_bundle(relay, b"another!", 5, [transaction])), "wrong chain"
        ),
        "repeated": (
            frame_bundle(make_bundle(relay, net.chain_id, 5, [transaction] * 2)),
            "repeated transaction",
        ),
        "bundled lie": (
            frame_bundle(make_bundle(relay, net.chain_id, 5, [unsigned])),
            "bundled transaction",
        ),
        "bundled garbage": (
            frame_bundle(make_bundle(relay, net.chain_id, 5, [b"garbage"])),
            "bundle encoding",
        ),
        "forged vote": (say(1, 0, 1, bytes(64)), "signature"),
        "vote by nobody": (say(1, 0, 99, bytes(64)), "unknown author"),
        "round above all": (say(1, 2_000, 1, bytes(64)), "message encoding"),
        "height above all": (say(2**60, 0, 1, bytes(64)), "message encoding"),
        "not a vote": (frame_consensus(b"\x96\x09"), "message encoding"),
    }


LIES = sorted(make_lies(NodeNet()))


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_with_a_reason_and_then_dropped_and_the_city_goes_on(lie):
    net = NodeNet()
    frame, reason = make_lies(net)[lie]
    effects = net.receive(0, net.relays[0], frame)
    assert_dropped(net, 0, net.relays[0], effects, reason)
    net.reach(2)
    assert net.lost == [(0, net.relays[0], reason)]


@pytest.mark.parametrize("lie", LIES)
def test_a_refused_lie_leaves_the_digest(lie):
    net = NodeNet()
    frame, _ = make_lies(net)[lie]
    node = net.nodes[0]
    before = node.compute_digest()
    effects = node.handle(net.read_clock(0), Received(net.relays[0], frame))
    assert get_reasons(effects)
    assert node.compute_digest() == before


def test_a_consensus_message_to_a_relay_or_an_observer_is_refused():
    net = NodeNet()
    for index, peer in ((4, 0), (6, 4)):
        effects = net.receive(index, peer, frame_consensus(b"anything"))
        assert_dropped(net, index, peer, effects, "consensus to a non-validator")


def test_a_bundle_to_an_observer_is_ignored_and_costs_nobody():
    net = NodeNet()
    bundle = make_bundle(net.identities[4], net.chain_id, 1, [net.make_grant(1)])
    effects = net.receive(6, 4, frame_bundle(bundle))
    assert get_reasons(effects, "ignore") == ["not a validator"]
    assert net.lost == []


def test_a_replayed_bundle_is_ignored_while_it_waits_and_after_it_is_final():
    net = NodeNet()
    frame = frame_bundle(make_bundle(net.identities[4], net.chain_id, 1, [net.make_grant(1)]))
    for index in net.validators:
        net.receive(index, 4, frame)
    before = net.nodes[0].compute_digest()
    assert get_reasons(net.receive(0, 5, frame), "ignore") == ["known bundle"]
    assert net.nodes[0].compute_digest() == before
    net.reach(2)
    assert get_nonce(net.nodes[0].chain.state, CHIEF.public) == 1
    assert get_reasons(net.receive(0, 5, frame), "ignore") == ["known bundle"]
    net.reach(4)
    assert sum(len(decode_block(encoded, net.genesis.params).bundles)
               for encoded in net.blocks[0]) == 1


def test_a_bundle_that_comes_again_long_after_it_was_final_executes_nothing():
    net = NodeNet(params=Params(mempool_expiry_blocks=2))
    relay, chain = net.relays[0], net.nodes[0].chain
    frame = frame_bundle(
        make_bundle(net.identities[relay], net.chain_id, 1, [net.make_grant(1)])
    )
    statuses = []
    for _ in range(3):
        assert get_reasons(net.receive(0, relay, frame), "ignore") == []
        net.run_until(lambda: chain.output is not None and chain.output.receipts)
        statuses += [decode_receipt(receipt).status for receipt in chain.output.receipts]
        net.reach(chain.height + 3)
    assert statuses == ["ok", "duplicate", "duplicate"]
    assert get_nonce(chain.state, CHIEF.public) == 1
    net.assert_one_chain()


def test_a_replayed_block_and_vote_do_nothing():
    net = NodeNet()
    recorded = []
    net.drop = lambda sender, receiver, frame: recorded.append((sender, receiver, frame))
    net.reach(2)
    before = {index: node.compute_digest() for index, node in enumerate(net.nodes)}
    for sender, receiver, frame in recorded:
        if frame[1] in (3, 6):
            effects = net.receive(receiver, sender, frame)
            assert get_reasons(effects) == []
            assert not [effect for effect in effects if type(effect) in (Spread, Persist)]
    assert {i: node.compute_digest() for i, node in enumerate(net.nodes)} == before
    assert net.lost == []


def test_votes_for_a_future_height_are_kept_within_bounds():
    net = NodeNet()
    author = net.identities[1]
    for height in range(2, 60):
        for round_number in range(12):
            signed = compute_prepare_message(net.chain_id, height, round_number, bytes(32))
            prepare = Prepare(height, round_number, 1, bytes(32), author.sign(signed), signed)
            net.receive(0, 1, frame_consensus(encode_message(prepare)))
    assert 0 < net.nodes[0].engine._buffer.count() <= net.genesis.params.future_messages_max
    assert net.lost == []
    net.drop = lambda sender, receiver, frame: False
    net.reach(3, 120)


def test_a_peer_that_claims_a_height_and_gives_nothing_cannot_keep_a_node_from_the_truth():
    """The liar answers each request at once, with nothing: it is asked but once."""
    net = NodeNet(relays=2, observers=1, late=(6,))
    net.reach(20, 150)
    liar, asked, send = 4, [], net._send

    def lie(sender, receiver, frame):
        asked.append((sender, receiver, frame[1]))
        send(sender, receiver, b"\x92\x05\x90" if (sender, receiver) == (liar, 6) else frame)

    net._send = lie
    net.start(6)
    net.receive(6, liar, frame_status(2**50, bytes(32)))
    net.run_until(lambda: net.nodes[6].chain.height >= 20, 4)
    assert asked.count((6, liar, 4)) == 1
    net.assert_one_chain()


def test_a_submission_to_one_who_is_no_relay_is_refused():
    net = NodeNet()
    for index in (0, 6):
        before = net.nodes[index].compute_digest()
        effects = net.tell(index, Submitted(7, net.make_grant(1)))
        assert get_reasons(effects) == ["not a relay"]
        assert net.replies[-1][1].verdict == "not a relay"
        assert net.nodes[index].compute_digest() == before


@pytest.mark.slow
def test_fifty_thousand_tiny_messages_leave_memory_bounded():
    net = NodeNet()
    frames = [
        frame_status(2**40, bytes(32)), b"\xc1", b"", b"\x90", frame_consensus(b"\x96\x01"),
        b"\x93\x04\x01\x01", frame_bundle(b""), frame_block(b"\x90"), b"\x92\x05\x90",
    ]
    node = net.nodes[0]
    now = net.read_clock(0)
    node.handle(now, Received(1, frames[0]))
    before = node.compute_digest()
    for number in range(50_000):
        effects = node.handle(now, Received(1, frames[number % len(frames)]))
        assert len(effects) <= 4
    assert len(node.sync._heights) <= 1
    assert node.engine._buffer.count() == 0
    assert len(node.mempool) == 0
    assert len(node.compute_digest()) == len(before)


@pytest.mark.slow
def test_many_small_bundles_fill_a_mempool_and_no_more():
    net = NodeNet()
    params = net.genesis.params
    node, relay = net.nodes[0], net.identities[4]
    reasons = set()
    for number in range(1_500):
        transaction = net.make_grant(number + 1)
        frame = frame_bundle(make_bundle(relay, net.chain_id, number, [transaction]))
        effects = node.handle(net.read_clock(0), Received(4, frame))
        reasons.update(get_reasons(effects, "ignore"))
        assert sum(type(effect) in (Send, Spread) for effect in effects) <= 1
    assert reasons == {"sender full"}
    assert len(node.mempool) == params.sender_pending_max
