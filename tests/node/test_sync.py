"""Catching up: one request at a time, and a peer that does not help loses its turn."""

from hashlib import sha256

from node.block import Seal, decode_block, make_block
from node.effects import Emit, Send, SetTimer
from node.events import SyncStarted
from node.inputs import Received
from node.params import Params
from node.sync import SYNC_RETRY_NS, Sync
from node.types import Now
from node.wire import frame_given, frame_wanted
from tests.node.nodenet import NodeNet, get_reasons

NOW = Now(1_000, 9_000)


def tell(sync, peer, height, mine):
    effects = []
    sync.upon_peer_height(NOW, peer, height, mine, effects)
    return effects


def progress(sync, peer, mine):
    effects = []
    sync.upon_progress(NOW, peer, mine, effects)
    return effects


def fire(sync, target, mine):
    effects = []
    sync.upon_timer(NOW, target, mine, effects)
    return effects


def get_asked(effects):
    return [effect for effect in effects if type(effect) is Send]


def test_a_peer_ahead_is_asked_for_what_is_missing_with_a_limit_and_a_timer():
    sync = Sync(Params())
    assert tell(sync, 3, 40, 10) == [
        Emit(SyncStarted(11)), Send(3, frame_wanted(11, 16)),
        SetTimer(("sync", 11, 0), NOW.monotonic_ns + SYNC_RETRY_NS),
    ]
    assert sync.is_running


def test_a_peer_that_is_not_ahead_changes_nothing():
    sync = Sync(Params())
    before = sync.compute_digest()
    assert tell(sync, 3, 10, 10) == []
    assert sync.compute_digest() == before
    assert not sync.is_running


def test_only_one_is_asked_at_a_time():
    sync = Sync(Params())
    tell(sync, 3, 40, 10)
    assert tell(sync, 4, 50, 10) == []
    assert tell(sync, 3, 60, 10) == []


def test_progress_asks_the_same_peer_on_until_nobody_is_ahead():
    sync = Sync(Params())
    tell(sync, 3, 30, 10)
    assert get_asked(progress(sync, 3, 26)) == [Send(3, frame_wanted(27, 4))]
    assert progress(sync, 3, 30) == []
    assert not sync.is_running


def test_blocks_from_others_are_no_answer():
    sync = Sync(Params())
    tell(sync, 3, 30, 10)
    assert progress(sync, 4, 12) == []
    assert sync.is_running


def test_silence_or_an_empty_answer_turns_to_another_peer():
    for fail in (lambda sync: fire(sync, 11, 10), lambda sync: progress(sync, 3, 10)):
        sync = Sync(Params())
        tell(sync, 3, 2**50, 10)
        tell(sync, 4, 20, 10)
        assert get_asked(fail(sync)) == [Send(4, frame_wanted(11, 10))]
        assert fail(sync) == [] or sync._asked == 4


def test_an_old_timer_does_nothing():
    sync = Sync(Params())
    tell(sync, 3, 40, 10)
    progress(sync, 3, 26)
    assert fire(sync, 11, 26) == []
    assert sync.is_running
    assert fire(Sync(Params()), 11, 26) == []


def test_when_the_asked_peer_leaves_the_timer_turns_to_another():
    sync = Sync(Params())
    tell(sync, 3, 40, 10)
    tell(sync, 4, 40, 10)
    sync.upon_peer_left(3)
    assert get_asked(fire(sync, 11, 10)) == [Send(4, frame_wanted(11, 16))]


def test_when_nobody_answers_the_next_who_is_ahead_is_asked():
    sync = Sync(Params())
    tell(sync, 3, 40, 10)
    assert fire(sync, 11, 10) == []
    assert not sync.is_running
    assert get_asked(tell(sync, 5, 12, 10)) == [Send(5, frame_wanted(11, 2))]


def test_an_observer_syncs_over_a_wire_that_loses_half_of_the_frames():
    net = NodeNet(observers=1, late=(6,))
    net.reach(40, 300)
    count = [0]

    def lose(sender, receiver, frame):
        count[0] += 1
        return 6 in (sender, receiver) and sha256(bytes([count[0] & 255])).digest()[0] < 128

    net.drop = lose
    net.start(6)
    net.run_until(lambda: net.nodes[6].chain.height >= 40, 120)
    net.assert_one_chain()


def test_blocks_with_few_seals_forged_seals_or_other_content_are_refused_from_sync_too():
    net = NodeNet(observers=1, late=(6,))
    net.submit(4, net.make_grant(1))
    net.reach(2)
    true = decode_block(net.nodes[0].chain.get_encoded(1), net.genesis.params)
    few, forged = true.seals[:2], (Seal(0, bytes(64)), *true.seals[1:])
    twice = (true.seals[0], true.seals[0], *true.seals[1:])
    lies = {
        "too few seals": make_block(true.header, true.round, few, true.bundles),
        "seal signature": make_block(true.header, true.round, forged, true.bundles),
        "seals not of distinct validators": make_block(
            true.header, true.round, twice, true.bundles
        ),
        "bundles root": make_block(true.header, true.round, true.seals, ()),
    }
    for reason, block in lies.items():
        net.start(6)
        before = net.nodes[6].compute_digest()
        effects = net.nodes[6].handle(
            net.read_clock(6), Received(4, frame_given([block.encoded]))
        )
        assert get_reasons(effects) == [reason]
        assert net.nodes[6].compute_digest() == before
        net.crash(6)
    net.start(6)
    net.reach(4)
