import pytest

from node.block import VALIDATORS_MAX, Vote, make_header
from node.consensus.authorities import compute_first_proposer, make_authorities
from node.consensus.tally import ValidatorTally
from node.params import Params
from tests.node.consensus.city import make_genesis, make_keys

KEYS = make_keys(9)


def make_block_header(authorities, height, proposer, vote=None):
    nothing = bytes(32)
    return make_header(
        bytes(8), height, nothing, height, proposer, nothing, nothing, nothing,
        authorities.validators, vote,
    )


def test_a_header_without_a_vote_changes_nothing():
    authorities = make_authorities(make_genesis(4))
    header = make_block_header(authorities, 1, authorities.validators[0])
    assert authorities.apply(header) is authorities


def test_a_majority_of_header_votes_adds_a_validator():
    authorities = make_authorities(make_genesis(4))
    newcomer = next(key for key in KEYS if key not in authorities.validators)
    first = authorities.validators
    for height in (1, 2, 3):
        assert authorities.validators == first
        vote = Vote(newcomer, is_add=True)
        header = make_block_header(authorities, height, first[height], vote)
        authorities = authorities.apply(header)
    assert authorities.validators == tuple(sorted((*first, newcomer)))
    assert not authorities.tally.ballots


def test_an_epoch_clears_votes_and_ignores_its_own():
    authorities = make_authorities(make_genesis(1, Params(epoch_blocks=2)))
    vote = Vote(bytes(32), is_add=True)
    header = make_block_header(authorities, 2, authorities.validators[0], vote)
    assert authorities.apply(header).validators == authorities.validators


def test_pending_votes_of_an_epoch_are_cleared():
    authorities = make_authorities(make_genesis(4, Params(epoch_blocks=2)))
    vote = Vote(KEYS[8], is_add=True)
    header = make_block_header(authorities, 1, authorities.validators[0], vote)
    voted = authorities.apply(header)
    assert len(voted.tally.ballots) == 1
    header = make_block_header(voted, 2, authorities.validators[1])
    assert voted.apply(header) == authorities


def test_a_header_of_other_validators_is_our_bug():
    authorities = make_authorities(make_genesis(4))
    other = make_authorities(make_genesis(5))
    with pytest.raises(AssertionError):
        authorities.apply(make_block_header(other, 1, other.validators[0]))


def test_the_last_validator_cannot_be_dropped():
    tally = ValidatorTally(KEYS[:1]).cast(KEYS[0], KEYS[0], is_add=False)
    assert tally.validators == KEYS[:1]


def test_there_is_room_for_so_many_validators_and_no_more():
    keys = tuple(i.to_bytes(32, "big") for i in range(VALIDATORS_MAX))
    tally = ValidatorTally(keys)
    for key in keys:
        tally = tally.cast(key, bytes([255]) * 32, is_add=True)
    assert tally.validators == keys


def test_the_same_vote_twice_counts_once():
    tally = ValidatorTally(KEYS[:4])
    for _ in range(5):
        tally = tally.cast(KEYS[0], KEYS[8], is_add=True)
    assert tally.validators == KEYS[:4]
    assert len(tally.ballots) == 1


def test_a_proposer_that_left_is_followed_by_the_next_higher_key():
    keys = (KEYS[0], KEYS[2], KEYS[4])
    assert compute_first_proposer(keys, KEYS[1]) == 1
    assert compute_first_proposer(keys, KEYS[5]) == 0
    assert compute_first_proposer(keys, KEYS[2]) == 2
    assert compute_first_proposer(keys, bytes(32)) == 0
