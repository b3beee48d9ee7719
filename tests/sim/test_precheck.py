"""Signatures checked in another process: the same answers, and nothing that depends on when."""

import select

import pytest

from node.crypto import Identity
from sim.precheck import WAITING_MAX, Precheck
from sim.shared import SharedWork
from sim.workers import WorkerDied

ALICE, BOB = Identity(bytes(32)), Identity(b"b" * 32)
MESSAGE = b"m" * 32


@pytest.fixture
def precheck():
    one = Precheck()
    yield one
    one.close()


def take_all(precheck, count):
    """Answers come when they come; whoever waits for them here reads the pipe until then."""
    taken = []
    while precheck.waiting:
        select.select([precheck], [], [], 10.0)
        taken += precheck.take()
    assert len(taken) <= count
    return taken


def test_what_is_valid_comes_back_in_order_and_what_is_not_does_not(precheck):
    good = ALICE.sign(MESSAGE)
    other = BOB.sign(MESSAGE)
    precheck.ask(ALICE.public, MESSAGE, good)
    precheck.ask(ALICE.public, MESSAGE, other)
    precheck.ask(BOB.public, MESSAGE, other)
    assert take_all(precheck, 3) == [
        (ALICE.public, MESSAGE, good), (BOB.public, MESSAGE, other)
    ]


def test_more_than_may_wait_is_left_to_whoever_asks(precheck):
    signature = ALICE.sign(MESSAGE)
    for _ in range(WAITING_MAX + 50):
        precheck.ask(ALICE.public, MESSAGE, signature)
        assert precheck.waiting <= WAITING_MAX
    assert len(take_all(precheck, WAITING_MAX)) <= WAITING_MAX


def test_only_digests_are_checked_there(precheck):
    precheck.ask(ALICE.public, b"short", ALICE.sign(b"short"))
    assert precheck.waiting == 0


def test_a_process_that_ended_is_named(precheck):
    precheck.process.kill()
    precheck.process.join()
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        precheck.take()


def test_shared_work_gives_the_same_answers_with_it():
    work = SharedWork()
    work.precheck = Precheck()
    try:
        signature = work.sign(ALICE, MESSAGE)
        assert work.check_signature(ALICE.public, MESSAGE, signature)
        assert not work.check_signature(BOB.public, MESSAGE, signature)
        assert not work.check_signature(ALICE.public, b"n" * 32, signature)
    finally:
        work.precheck.close()
