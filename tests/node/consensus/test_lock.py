from functools import partial

import pytest

from node.codec import encode
from node.consensus.qbft.lock import SLOT, Lock, Prepared, decode_lock
from node.consensus.qbft.messages import decode_message, encode_message
from tests.node.consensus.city import Application, Author, make_genesis

GENESIS = make_genesis(4)
BLOCK = Application(GENESIS, GENESIS.validators[0]).make_block(0)
DIGEST = BLOCK.header.digest
PREPARED = Prepared(
    2, BLOCK, tuple(Author(GENESIS, i).prepare(1, 2, DIGEST) for i in range(3))
)


def read(record):
    chain_id, params = GENESIS.compute_chain_id(), GENESIS.params
    decode = partial(decode_message, chain_id=chain_id, params=params)
    return decode_lock(record, decode, params)


def join(effect):
    return b"".join(effect.parts)


def test_promises_survive_a_restart():
    lock = Lock(1)
    assert read(join(lock.promise_prepare(0, DIGEST))).voted == DIGEST
    entered = read(join(lock.promise_round(2)))
    assert (entered.height, entered.round, entered.voted) == (1, 2, None)
    lock.promise_prepare(2, DIGEST)
    effect = lock.promise_commit(PREPARED)
    assert effect.slot == SLOT
    assert read(join(effect)).prepared == PREPARED
    later = read(join(lock.promise_round(3)))
    assert (later.round, later.voted, later.prepared) == (3, None, PREPARED)


def test_the_record_is_one_value_and_the_block_in_it_is_not_copied():
    lock = Lock(1, 2, DIGEST)
    effect = lock.promise_commit(PREPARED)
    prepares = [encode_message(prepare) for prepare in PREPARED.prepares]
    assert join(effect) == encode([1, 2, DIGEST, [2, BLOCK.encoded, prepares]])
    assert any(part is BLOCK.body for part in effect.parts)


def test_promises_are_never_taken_back():
    lock = Lock(1, 2, DIGEST)
    with pytest.raises(AssertionError):
        lock.promise_round(2)
    with pytest.raises(AssertionError):
        lock.promise_prepare(1, DIGEST)
    with pytest.raises(AssertionError):
        lock.promise_prepare(2, bytes(32))
    with pytest.raises(AssertionError):
        Lock(1, 2).promise_commit(PREPARED)
