"""The chain of one node: it only grows, by blocks that fit, and trunks are shared."""

import pytest

from node.block import decode_block, make_block, make_header
from node.chain import Chain
from node.consensus.authorities import make_authorities
from node.errors import InvalidBlock
from node.work import Work
from tests.node.nodenet import CHIEF, NodeNet

WORK = Work()


@pytest.fixture(scope="module")
def net():
    """A chain of real blocks, one of which has transactions."""
    net = NodeNet(observers=0)
    for nonce in (1, 2):
        net.submit(4, net.make_grant(nonce))
    net.reach(4)
    return net


def get_block(net, height):
    return decode_block(net.nodes[0].chain.get_encoded(height), net.genesis.params)


def grow(net, heights, trunk=None):
    chain = Chain(net.genesis, trunk)
    for height in range(1, heights + 1):
        block = get_block(net, height)
        chain.adopt(block, chain.verify_next(block, WORK))
    return chain


def remake(block, bundles=None, **changes):
    """The same block with some of its header changed."""
    names = ("chain_id", "height", "parent", "time_ns", "proposer", "bundles_root",
             "receipts_root", "state_root", "validators", "vote")
    fields = {name: getattr(block.header, name) for name in names}
    header = make_header(**{**fields, **changes})
    return make_block(header, block.round, block.seals,
                      block.bundles if bundles is None else bundles)


def test_a_chain_begins_at_genesis_and_grows_by_blocks_that_fit(net):
    chain = Chain(net.genesis)
    assert chain.height == 0
    assert chain.chain_id == net.genesis.compute_chain_id()
    assert chain.authorities == make_authorities(net.genesis)
    grown = grow(net, 4)
    assert grown.height == 4
    assert grown.state.root == net.nodes[0].chain.get_header(4).state_root
    assert grown.state.get(b"nonce/" + CHIEF.public) == (2).to_bytes(7, "big")
    assert [grown.get_digest(height) for height in range(5)] == [
        net.nodes[0].chain.get_digest(height) for height in range(5)
    ]


@pytest.mark.parametrize(("changes", "reason"), [
    ({"state_root": bytes(32)}, "state root"),
    ({"receipts_root": b"\x01" * 32}, "receipts root"),
    ({"bundles_root": b"\x01" * 32}, "bundles root"), ({"height": 3}, "height"),
    ({"parent": bytes(32)}, "parent"), ({"chain_id": b"another!"}, "wrong chain"),
    ({"time_ns": 5}, "time"), ({"proposer": bytes(32)}, "proposer"),
    ({"bundles": ()}, "bundles root"), ({"bundles": (b"garbage",)}, "bundle encoding"),
])
def test_a_block_with_a_wrong_root_or_place_is_refused(net, changes, reason):
    chain = Chain(net.genesis)
    block = get_block(net, 1)
    assert block.bundles
    with pytest.raises(InvalidBlock) as caught:
        chain.verify_next(remake(block, **changes), WORK)
    assert caught.value.reason == reason
    assert chain.height == 0
    assert chain.verify_next(block, WORK).state_root == block.header.state_root


def test_a_block_with_a_bundle_twice_settles_the_second_as_duplicates(net):
    block = get_block(net, 1)
    chain = Chain(net.genesis)
    with pytest.raises(InvalidBlock):
        chain.verify_next(remake(block, bundles=block.bundles * 2), WORK)


def test_chains_share_a_trunk_until_they_differ(net):
    first = grow(net, 4)
    second = grow(net, 2, first.trunk)
    assert second.trunk is first.trunk
    assert second.height == 2
    block = get_block(net, 3)
    other = remake(block, time_ns=block.header.time_ns + 1)
    second.adopt(other, second.verify_next(other, WORK))
    assert second.trunk is not first.trunk
    assert second.get_digest(3) == other.header.digest != first.get_digest(3)
    assert second.get_digest(2) == first.get_digest(2)
    assert first.height == 4


def test_a_copy_grows_alone(net):
    chain = grow(net, 2)
    copy = chain.copy()
    block = get_block(net, 3)
    copy.adopt(block, copy.verify_next(block, WORK))
    assert (chain.height, copy.height) == (2, 3)
    assert chain.state.root != bytes(32)
    assert chain.get_digest(2) == copy.get_digest(2)


def test_blocks_above_the_head_and_below_genesis_are_not_asked_for(net):
    chain = grow(net, 2)
    for height in (-1, 3):
        with pytest.raises(AssertionError):
            chain.get_header(height)
        with pytest.raises(AssertionError):
            chain.get_encoded(height)
