"""Who is linked, and who is given a block."""

from node.block import make_header
from node.gossip import Gossip, is_spreader
from node.inputs import PeerJoined, Role
from tests.node.nodenet import NodeNet
from tests.node.samples import make_identity

V, R, C = Role.VALIDATOR, Role.RELAY, Role.OBSERVER


def make_gossip(*roles):
    gossip = Gossip()
    for peer, role in enumerate(roles):
        gossip.upon_joined(PeerJoined(peer, make_identity(peer).public, role))
    return gossip


def test_blocks_go_onward_to_relays_and_observers_but_not_back():
    gossip = make_gossip(V, R, C, V, C)
    assert gossip.get_onward(None) == (1, 2, 4)
    assert gossip.get_onward(2) == (1, 4)
    assert gossip.get_onward(0) == (1, 2, 4)
    assert gossip.get_onward(99) == (1, 2, 4)


def test_who_leaves_is_given_nothing_more():
    gossip = make_gossip(V, R, C)
    assert gossip.get_onward(1) == (2,)
    gossip.upon_left(2)
    gossip.upon_left(2)
    assert gossip.get_onward(1) == ()
    assert gossip.get_onward(None) == (1,)
    assert gossip.get_role(2) is None


def test_validators_are_known_by_key_and_handle():
    gossip = make_gossip(V, R, V)
    assert gossip.validators == (0, 2)
    assert gossip.validators_by_key == {make_identity(n).public: n for n in (0, 2)}
    gossip.upon_left(0)
    assert gossip.validators == (2,)


def test_the_answers_do_not_grow_with_strangers_who_ask():
    gossip = make_gossip(V, R, C)
    for stranger in range(100, 2_000):
        gossip.get_onward(stranger)
    assert len(gossip._excluding) <= 3


def test_the_digest_names_the_links():
    assert make_gossip(V, R).compute_digest() != make_gossip(V).compute_digest()
    gossip = make_gossip(V, R)
    gossip.upon_left(1)
    assert gossip.compute_digest() == make_gossip(V).compute_digest()


def test_a_block_reaches_an_observer_through_one_relay_if_the_other_is_deaf():
    net = NodeNet(relays=2, observers=3)
    net.drop = lambda sender, receiver, frame: 4 in (sender, receiver)
    observers = [net.nodes[index] for index in net.observers]
    net.run_until(lambda: all(node.chain.height >= 3 for node in observers))
    net.assert_one_chain()


def test_the_proposer_and_the_f_after_it_hand_a_block_on():
    keys = tuple(bytes([number]) * 32 for number in range(7))
    header = make_header(
        b"c" * 8, 1, bytes(32), 1, keys[5], bytes(32), bytes(32), bytes(32), keys, None
    )
    assert [key[0] for key in keys if is_spreader(header, key)] == [0, 5, 6]
    assert not is_spreader(header, b"stranger".ljust(32))
