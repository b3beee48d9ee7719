"""Signatures made and checked in another process: the same, and nothing depends on when."""

import os
import select
import signal
import socket
from contextlib import ExitStack, closing

import pytest

from node.crypto import Identity, is_signature_valid
from sim import notary as notary_module
from sim.errors import SignaturesUnchecked
from sim.notary import (
    ANSWER_BYTES,
    BLANK,
    GATHERED_MAX,
    MADE,
    WAITING_MAX,
    Notary,
    run_notary,
)
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
    """All that was made of what was asked; it has checked it, too."""
    taken = []
    while notary.waiting:
        wait(notary)
        taken += notary.take()
    return taken


def test_what_holds_is_checked_and_nothing_comes_back(notary):
    for number in range(3 * GATHERED_MAX):
        message = number.to_bytes(32, "big")
        assert notary.check(ALICE.public, message, ALICE.sign(message))
    assert notary.waiting == 2 * GATHERED_MAX, "the last are still gathered"
    notary.finish()
    assert notary.waiting == 0
    assert notary.take() == []


@pytest.mark.parametrize("gathered", [0, GATHERED_MAX])
def test_one_that_does_not_hold_ends_it_and_is_named(gathered, capfd):
    with closing(Notary(dict(zip(KEYS, SEEDS, strict=True)))) as notary:
        for number in range(gathered):
            message = number.to_bytes(32, "big")
            assert notary.check(ALICE.public, message, ALICE.sign(message))
        assert notary.check(ALICE.public, MESSAGE, BOB.sign(MESSAGE))
        with pytest.raises(WorkerDied, match="ended unexpectedly"):
            notary.finish()
    assert f"does not hold: key {ALICE.public.hex()}" in capfd.readouterr().err


def test_it_signs_as_those_would_who_have_not_signed(notary):
    assert notary.sign(MESSAGE, (KEYS[1], KEYS[3]))
    expected = [(KEYS[at], MESSAGE, IDENTITIES[at].sign(MESSAGE)) for at in (0, 2, 4)]
    assert take_all(notary) == expected


@pytest.fixture
def handlers():
    """Whoever runs a notary's loop here ignores signals from then on."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_it_signs_before_it_checks():
    check = ALICE.public + MESSAGE + ALICE.sign(MESSAGE)
    with ExitStack() as stack:
        mine, theirs = map(stack.enter_context, socket.socketpair())
        mine.sendall(WAITING_MAX * check)  # all that is read at once
        mine.sendall(BOB.public + MESSAGE + BLANK)
        mine.shutdown(socket.SHUT_WR)
        run_notary(SEEDS, theirs)
        answers = mine.recv(10 * ANSWER_BYTES)
    assert answers[:ANSWER_BYTES] == MADE + BOB.sign(MESSAGE)


def test_one_that_stands_still_is_not_waited_for_without_end(stopped, monkeypatch):
    monkeypatch.setattr(notary_module, "_PATIENCE_S", 0.01)
    assert stopped.check(ALICE.public, MESSAGE, ALICE.sign(MESSAGE))
    with pytest.raises(SignaturesUnchecked, match="not checked 1 signatures"):
        stopped.finish()


def test_nobody_signs_what_a_stranger_signed(notary):
    assert not notary.sign(MESSAGE, (ALICE.public, STRANGER.public))
    assert notary.waiting == 0


def test_more_than_may_wait_is_left_to_whoever_asks(notary):
    signature = ALICE.sign(MESSAGE)
    for _ in range(WAITING_MAX + 50):
        notary.check(ALICE.public, MESSAGE, signature)
        notary.sign(MESSAGE, (ALICE.public, BOB.public))
        assert notary.waiting <= WAITING_MAX


def test_only_digests_are_signed_and_checked_there(notary):
    assert not notary.check(ALICE.public, b"short", ALICE.sign(b"short"))
    assert not notary.sign(b"short", (ALICE.public, BOB.public))
    assert notary.waiting == 0


def test_what_asks_to_sign_is_not_taken_for_a_signature(notary):
    assert not notary.check(ALICE.public, MESSAGE, BLANK)
    assert notary.waiting == 0


def test_a_process_that_ended_is_named(notary):
    notary.process.kill()
    notary.process.join()
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        notary.take()
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        notary.sign(MESSAGE, (ALICE.public, BOB.public))
    notary.check(ALICE.public, MESSAGE, ALICE.sign(MESSAGE))
    with pytest.raises(WorkerDied, match="ended unexpectedly"):
        notary.finish()


def test_shared_work_gives_the_same_answers_with_it(work):
    signature = work.sign(ALICE, MESSAGE)
    assert work.check_signature(ALICE.public, MESSAGE, signature)
    assert not work.check_signature(BOB.public, MESSAGE, signature)
    assert not work.check_signature(ALICE.public, b"n" * 32, signature)


def test_what_others_signed_is_checked_by_whoever_asks(work, notary):
    forged = BOB.sign(MESSAGE)
    work.sign(ALICE, MESSAGE)
    assert not work.check_signature(ALICE.public, MESSAGE, forged)
    assert work.check_signature(BOB.public, MESSAGE, forged)
    assert notary.waiting == 0


def test_what_a_second_one_signs_is_signed_ahead_for_the_others(work, notary):
    work.sign(ALICE, MESSAGE)
    work.sign(ALICE, MESSAGE)
    assert notary.waiting == 0, "a Proposal or a bundle has one signer: its check can wait"
    work.sign(BOB, MESSAGE)
    assert notary.waiting == 3 + 3
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
    wait(notary)  # the first that it makes is the third's
    signature = work.sign(third, MESSAGE)
    computed = work.computed
    assert work.check_signature(third.public, MESSAGE, signature)
    assert (first.signed, second.signed, third.signed) == (1, 1, 0)
    assert work.computed == computed


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


def fill(notary):
    """Ask until it takes no more."""
    number = 0
    while True:
        message = number.to_bytes(32, "big")
        if not notary.check(ALICE.public, message, ALICE.sign(message)):
            return
        number += 1


def test_when_too_much_waits_everybody_signs_and_whoever_asks_checks(work, stopped):
    third = Watched(SEEDS[2])
    fill(stopped)
    full = stopped.waiting
    for identity in (ALICE, BOB, third):
        computed = work.computed
        signature = work.sign(identity, MESSAGE)
        assert signature == identity.sign(MESSAGE)
        assert work.computed == computed, "nobody has seen that it holds"
        assert work.check_signature(identity.public, MESSAGE, signature)
        assert work.computed == computed + 1
    assert third.signed == 2
    assert stopped.waiting == full
