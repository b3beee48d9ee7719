"""Trails: who may seal follows from genesis, through every change, or is not believed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.block import (
    Seal,
    Vote,
    compute_seal_message,
    make_block,
    make_genesis_block,
    make_header,
)
from node.consensus.authorities import make_authorities
from node.consensus.quorum import compute_quorum
from node.errors import InvalidBlock
from node.host.trail import TrailWalk, build_trail
from node.params import Genesis, Params
from node.state import EMPTY_STATE
from tests.node.samples import make_identity

EPOCH = 6
PEOPLE = {who.public: who for who in (make_identity(f"authority {n}") for n in range(7))}
KEYS = sorted(PEOPLE)
GENESIS = Genesis(
    params=Params(epoch_blocks=EPOCH), validators=tuple(KEYS[:4]), relays=(),
    registrar=KEYS[0], time_ns=10**18,
)


def seal(header, signers):
    message = compute_seal_message(header.chain_id, header.height, 0, header.digest)
    order = sorted(header.validators.index(key) for key in signers)
    return tuple(Seal(n, PEOPLE[header.validators[n]].sign(message)) for n in order)


def make_next(parent, validators, vote=None, proposer=None, height=None):
    height = parent.height + 1 if height is None else height
    return make_header(
        parent.chain_id, height, parent.digest,
        parent.time_ns + GENESIS.params.block_interval_ns, proposer or validators[0],
        bytes(32), bytes(32), EMPTY_STATE.root, validators, vote,
    )


def make_chain(votes):
    """Blocks with these votes, (about, is_add) or None each, by proposers in turn."""
    parent = make_genesis_block(GENESIS, EMPTY_STATE.root).header
    authorities = make_authorities(GENESIS)
    blocks = []
    for turn, vote in enumerate(votes):
        keys = authorities.validators
        header = make_next(parent, keys, vote and Vote(*vote), keys[turn % len(keys)])
        signers = keys[: compute_quorum(len(keys))]
        blocks.append(make_block(header, 0, seal(header, signers), ()))
        authorities = authorities.apply(header)
        parent = header
    return blocks, authorities


def walk(blocks):
    walk = TrailWalk(GENESIS)
    for block in blocks:
        walk.take(block)
    return walk


VOTES = st.one_of(st.none(), st.tuples(st.sampled_from(KEYS[2:6]), st.booleans()))


@settings(max_examples=60, deadline=None)
@given(st.lists(VOTES, min_size=1, max_size=4 * EPOCH), st.integers(1, 4 * EPOCH))
def test_a_trail_leads_to_the_authorities_of_its_block_however_they_changed(votes, cut):
    blocks, authorities = make_chain(votes)
    trail = list(build_trail(GENESIS, blocks))
    followed = walk(trail)
    assert followed.is_sealed
    assert followed.last == blocks[-1].header
    assert followed.authorities == authorities
    # a trail that goes on from an earlier one is as good
    earlier = list(build_trail(GENESIS, blocks[:cut]))
    assert walk(build_trail(GENESIS, [*earlier, *blocks[cut:]])).authorities == authorities


def test_quiet_epochs_are_one_header_each_and_sealed_where_it_matters():
    add = (KEYS[5], True)
    blocks, _ = make_chain([None] * (2 * EPOCH) + [add, add, add, None])
    trail = list(build_trail(GENESIS, blocks))
    heights = [block.header.height for block in trail]
    assert heights == [EPOCH, 2 * EPOCH, *range(2 * EPOCH + 1, 2 * EPOCH + 5)]
    assert [bool(block.seals) for block in trail] == [True, True, False, False, True, True]
    assert walk(trail).last.validators == (*KEYS[:4], KEYS[5])


def test_a_change_of_validators_that_nobody_sealed_is_refused():
    """Who forges headers can vote as anyone, but not seal what follows from it."""
    add = (KEYS[5], True)
    blocks, _ = make_chain([add, add, add, None])
    trail = list(build_trail(GENESIS, blocks))
    bare = make_block(trail[2].header, 0, (), ())
    with pytest.raises(InvalidBlock, match="too few seals"):
        walk([*trail[:2], bare, trail[3]])


def test_an_epoch_that_nobody_sealed_ends_a_trail():
    """Otherwise a forged one could take any amount of time and memory before it is refused."""
    blocks, _ = make_chain([None] * (EPOCH + 1))
    bare = [make_block(block.header, 0, (), ()) for block in blocks]
    assert not walk(bare[: EPOCH - 1]).is_sealed
    with pytest.raises(InvalidBlock, match="too few seals"):
        walk(bare)


def test_no_leap_passes_over_a_change_or_stops_within_an_epoch():
    drop = (KEYS[3], False)
    blocks, _ = make_chain([drop, drop, drop] + [None] * (2 * EPOCH - 3))
    with pytest.raises(InvalidBlock, match="validators"):
        walk([blocks[EPOCH - 1]])
    quiet, _ = make_chain([None] * (2 * EPOCH))
    for chosen in ([1], [EPOCH + 1], [EPOCH - 1, EPOCH + 1], [0, 2], [0, EPOCH - 1],
                   [2 * EPOCH - 1, EPOCH - 1]):
        with pytest.raises(InvalidBlock, match="height in the trail"):
            walk([quiet[at] for at in chosen])
    assert walk([quiet[2 * EPOCH - 1]]).last.height == 2 * EPOCH
    with pytest.raises(InvalidBlock, match="too few seals"):
        walk([make_block(quiet[EPOCH - 1].header, 0, (), ())])


def test_the_seals_of_strangers_and_of_another_chain_decide_nothing():
    (block,), _ = make_chain([None])
    strangers = tuple(KEYS[3:7])
    parent = make_genesis_block(GENESIS, EMPTY_STATE.root).header
    header = make_next(parent, strangers)
    with pytest.raises(InvalidBlock, match="validators"):
        walk([make_block(header, 0, seal(header, strangers), ())])
    other = replace(GENESIS, time_ns=GENESIS.time_ns + 1)
    with pytest.raises(InvalidBlock, match="wrong chain"):
        TrailWalk(other).take(block)
    leap = make_next(parent, strangers, height=EPOCH)
    with pytest.raises(InvalidBlock, match="validators"):
        walk([make_block(leap, 0, seal(leap, strangers), ())])
