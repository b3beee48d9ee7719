"""Signatures made and checked in another process: the same, and nothing depends on when."""

import os
import select
import signal

import pytest

from node.crypto import Identity, is_signature_valid
from sim.notary import BLANK, WAITING_MAX, Notary
from sim.shared import SharedWork
from sim.workers import WorkerDied

SEEDS = [bytes([number]) * 32 for number in range(5)]
IDENTITIES = [Identity(seed) for seed in SEEDS]
KEYS = [identity.public for identity in IDENTITIES]
ALICE, BOB = IDENTITIES[:2]
STRANGER = Identity(b"s" * 32)
MESSAGE = b"m" * 32


@pytest.fixture
def notary():
    one = Notary(dict(zip(KEYS, SEEDS, strict=True)))
    yield one
    one.close()


@pytest.fixture
def work(notary):
    work = SharedWork()
    work.notary = notary
    return work


def wait(notary):
    """Until it has answered something: whoever waits for that here reads the pipe."""
    assert select.select([notary], [], [], 10.0)[0]


def take_all(notary):
    """All that was asked and holds."""
    taken = []
    while notary.waiting:
        wait(notary)
        taken += notary.take()
    return taken


def test_what_is_valid_comes_back_in_order_and_what_is_not_does_not(notary):
    good = ALICE.sign(MESSAGE)
    other = BOB.sign(MESSAGE)
    notary.check(ALICE.public, MESSAGE, good)
    notary.check(ALICE.public, MESSAGE, other)
    notary.check(BOB.public, MESSAGE, other)
    assert take_all(notary) == [(ALICE.public, MESSAGE, good), (BOB.public, MESSAGE, other)]


def test_it_signs_as_those_would_who_have_not_signed(notary):
    assert notary.sign(MESSAGE, (KEYS[1], KEYS[3]))
    expected = [(KEYS[at], MESSAGE, IDENTITIES[at].sign(MESSAGE)) for at in (0, 2, 4)]
    assert take_all(notary) == expected


def test_nobody_signs_what_a_stranger_signed(notary):
    assert not notary.sign(MESSAGE, (ALICE.public, STRANGER.public))
    assert notary.waiting == 0


def test_more_than_may_wait_is_left_to_whoever_asks(notary):
    signature = ALICE.sign(MESSAGE)
    for _ in range(WAITING_MAX + 50):
        notary.check(ALICE.public, MESSAGE, signature)
        notary.sign(MESSAGE, (ALICE.public, BOB.public))
        assert notary.waiting <= WAITING_MAX
    assert len(take_all(notary)) <= WAITING_MAX


def test_only_digests_are_signed_and_checked_there(notary):
    notary.check(ALICE.public, b"short", ALICE.sign(b"short"))
    assert not notary.sign(b"short", (ALICE.public, BOB.public))
    assert notary.waiting == 0


def test_what_asks_to_sign_is_not_taken_for_a_signature(notary):
    notary.check(ALICE.public, MESSAGE, BLANK)
    assert notary.waiting == 0


def test_a_process_that_ended_is_named(notary):
    notary.process.kill()
    notary.process.join()
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        notary.take()
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        notary.sign(MESSAGE, (ALICE.public, BOB.public))


def test_shared_work_gives_the_same_answers_with_it(work):
    signature = work.sign(ALICE, MESSAGE)
    assert work.check_signature(ALICE.public, MESSAGE, signature)
    assert not work.check_signature(BOB.public, MESSAGE, signature)
    assert not work.check_signature(ALICE.public, b"n" * 32, signature)


def test_what_a_second_one_signs_is_signed_ahead_for_the_others(work, notary):
    work.sign(ALICE, MESSAGE)
    assert notary.waiting == 1, "a Proposal or a bundle has one signer"
    work.sign(ALICE, MESSAGE)
    assert notary.waiting == 2, "again by the same one"
    work.sign(BOB, MESSAGE)
    assert notary.waiting == 2 + 1 + 3
    signatures = [work.sign(identity, MESSAGE) for identity in IDENTITIES]
    assert signatures == [identity.sign(MESSAGE) for identity in IDENTITIES]
    assert all(
        is_signature_valid(key, MESSAGE, signature)
        for key, signature in zip(KEYS, signatures, strict=True)
    )


class Watched(Identity):
    """Counts how often it had to sign itself."""

    __slots__ = ("signed",)

    def __init__(self, seed):
        super().__init__(seed)
        self.signed = 0

    def sign(self, message):
        """As every identity."""
        self.signed += 1
        return super().sign(message)


def test_whose_signature_is_there_need_not_sign_and_it_counts_as_checked(work, notary):
    first, second, third = [Watched(seed) for seed in SEEDS[:3]]
    work.sign(first, MESSAGE)
    work.sign(second, MESSAGE)
    while notary.waiting:
        wait(notary)
        assert not work.check_signature(KEYS[4], MESSAGE, bytes(64))
    computed = work.computed
    assert work.check_signature(third.public, MESSAGE, work.sign(third, MESSAGE))
    assert (first.signed, second.signed, third.signed) == (1, 1, 0)
    assert work.computed == computed == len(KEYS)


@pytest.fixture
def stopped(notary):
    """It lives, and has no time for anybody."""
    os.kill(notary.process.pid, signal.SIGSTOP)
    yield notary
    os.kill(notary.process.pid, signal.SIGCONT)


def test_whose_signature_is_not_there_yet_signs_at_once(work, stopped):
    third = Watched(SEEDS[2])
    work.sign(ALICE, MESSAGE)
    work.sign(BOB, MESSAGE)
    signature = work.sign(third, MESSAGE)
    assert signature == IDENTITIES[2].sign(MESSAGE)
    assert third.signed == 1
    assert work.check_signature(third.public, MESSAGE, signature)
    os.kill(stopped.process.pid, signal.SIGCONT)
    assert (third.public, MESSAGE, signature) in take_all(stopped)


def test_when_too_much_waits_everybody_signs(work, stopped):
    third = Watched(SEEDS[2])
    for number in range(WAITING_MAX):  # the pipe may hold less
        stopped.check(ALICE.public, number.to_bytes(32, "big"), b"s" * 64)
    full = stopped.waiting
    for identity in (ALICE, BOB, third):
        assert work.sign(identity, MESSAGE) == identity.sign(MESSAGE)
    assert third.signed == 2
    assert stopped.waiting == full
