from dataclasses import replace

import pytest

from node.block import Seal, compute_seal_message, make_block
from node.consensus.seals import verify_seals
from node.errors import InvalidBlock
from tests.node.consensus.city import Application, is_signed, make_genesis, sign

GENESIS = make_genesis(4)
BLOCK = Application(GENESIS, GENESIS.validators[0]).make_block(0)


def seal(number, *indices):
    header = BLOCK.header
    message = compute_seal_message(header.chain_id, 1, number, header.digest)
    seals = tuple(Seal(i, sign(GENESIS.validators[i], message)) for i in indices)
    return make_block(header, number, seals, ())


def test_a_quorum_of_seals_makes_a_block_final():
    assert verify_seals(seal(2, 0, 1, 3), GENESIS.validators, is_signed) == 3


@pytest.mark.parametrize("indices", [(0, 1), (0, 1, 1), (1, 0, 2)])
def test_seals_are_of_distinct_validators_in_order(indices):
    with pytest.raises(InvalidBlock):
        verify_seals(seal(2, *indices), GENESIS.validators, is_signed)


def test_a_seal_of_another_round_does_not_hold():
    sealed = replace(seal(2, 0, 1, 3), round=1)
    with pytest.raises(InvalidBlock, match="seal signature"):
        verify_seals(sealed, GENESIS.validators, is_signed)


def test_a_seal_beyond_the_validators_does_not_hold():
    good = seal(2, 0, 1, 3)
    sealed = replace(good, seals=(*good.seals, Seal(4, bytes(64))))
    with pytest.raises(InvalidBlock, match="distinct"):
        verify_seals(sealed, GENESIS.validators, is_signed)
