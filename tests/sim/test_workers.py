"""Crews: whoever answers, and however much waits, the answers are the same."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sim.applicants import Applicants, SeasonRules, get_application_factory
from sim.signing import ROWS_PER_REQUEST, SignedStore, pack_request, unpack_request
from sim.workers import InlineCrew, WorkerCrew
from tests.sim.fake_city import check_signature

ROOT = Path(__file__).parents[2]


def make_echo(times):
    return lambda request: request * times


def test_a_request_reads_as_it_was_written():
    slots, amounts = np.array([3, 1, 2]), np.array([10, 0, 2**50])
    operation, found, sums = unpack_request(pack_request(1, slots, amounts))
    assert (operation, found.tolist(), sums.tolist()) == (1, [3, 1, 2], [10, 0, 2**50])
    assert unpack_request(pack_request(0, slots))[2].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_workers_and_crew_do_not_wait_for_each_other():
    # Far more than a pipe holds, in both directions, before anything is taken.
    requests = [bytes([index]) * 20_000 for index in range(120)]
    inline = InlineCrew(partial(make_echo, 3))
    with WorkerCrew(partial(make_echo, 3), 2) as crew:
        for index, request in enumerate(requests):
            crew.ask(index, request)
            inline.ask(index, request)
        for index in range(len(requests)):
            assert crew.get(index) == inline.get(index)


def test_who_asks_does_not_wait_for_what_a_worker_has_in_hand():
    large = bytes(200_000)  # more than may wait in its pipe, but it is reading it
    with WorkerCrew(partial(make_echo, 1), 1, patience_s=60) as crew:
        crew.ask(0, large)
        crew.ask(1, b"small")
        assert not crew._ready, "no answer was waited for to make room"
        assert not crew.is_free(0)
        assert [crew.get(0), crew.get(1)] == [large, b"small"]
        assert crew.is_free(0)


def test_a_worker_that_gets_no_processor_is_helped_and_its_late_answers_are_dropped():
    requests = [bytes([index]) * 40_000 for index in range(8)]
    with WorkerCrew(partial(make_echo, 3), 2, patience_s=60) as crew:
        crew.ask(0, requests[0])
        assert crew.get(0) == requests[0] * 3
        assert crew.helped == 0
        crew.patience_s = 0.05
        stopped = crew.process_ids[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            for index in range(1, 8):  # more than the stopped worker's pipe may hold
                crew.ask(index, requests[index])
            for index in range(1, 6):
                assert crew.get(index) == requests[index] * 3
            assert crew.helped >= 2
        finally:
            os.kill(stopped, signal.SIGCONT)
        for index in (6, 7, 8):
            if index == 8:
                crew.ask(8, b"more")
            assert crew.get(index) == (requests[index] if index < 8 else b"more") * 3


def test_a_store_gives_real_signed_transactions_and_forgets_the_released():
    rules = SeasonRules(
        seed=1, users=ROWS_PER_REQUEST + 50, chain_id=b"testcity", sites=5, periods=4,
        places=50,
    )
    applicants = Applicants(rules)
    store = SignedStore(
        InlineCrew(get_application_factory(rules)), rules.users, applicants.slots.rows_of
    )
    store.ask(np.arange(ROWS_PER_REQUEST + 10))
    second = applicants.slots.users
    store.ask(np.array([second]))
    assert store.made == ROWS_PER_REQUEST + 11
    for slot in (0, ROWS_PER_REQUEST + 9, second):
        made = store.get(slot)
        assert check_signature(made.transaction)
        assert made.transaction.endswith(made.signature)
    first = int(applicants.slots.again[0])
    assert store.get(second).key == store.get(first).key == store.keys[first].tobytes()
    store.release(np.array([0]))
    with pytest.raises(AssertionError, match="nobody asked"):
        store.get(0)


def test_who_exits_without_ending_its_processes_does_not_wait_for_them():
    code = """from functools import partial
from sim.workers import run_worker, start_process
process, pipe = start_process(run_worker, partial(partial, bytes))
pipe.send_bytes(bytes(8))
pipe.recv_bytes()"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
