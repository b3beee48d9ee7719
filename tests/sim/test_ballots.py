"""Ballots made ahead: the right bytes, the same whoever makes them, no worker left behind."""

import os
import signal
from contextlib import closing

import numpy as np
import pytest
from nacl.exceptions import CryptoError

from node.crypto import Identity
from node.services.election import (
    STORE_BALLOT,
    compute_commitment,
    encode_choice,
    make_store_ballot,
    open_ballot,
)
from node.transaction import decode_transaction, make_transaction
from sim.ballot_pool import BallotPool
from sim.ballots import (
    CHUNK_ROWS,
    BallotMaker,
    BallotStore,
    InlineSource,
    list_chunk,
    make_template,
)
from sim.electorate import BallotRules, Electorate
from sim.errors import ConfigurationError
from sim.workers import WorkerDied

CHAIN_ID = b"testcity"


def make_rules(users: int = 40, **changes) -> BallotRules:
    return BallotRules(seed=5, users=users, chain_id=CHAIN_ID, **changes)


def make_store(rules: BallotRules) -> tuple[Electorate, BallotStore]:
    electorate = Electorate(rules)
    return electorate, BallotStore(electorate, InlineSource(rules, electorate))


class BlankSource:
    """Frames of zeros, for what does not look into them."""

    def __init__(self, rules: BallotRules, electorate: Electorate) -> None:
        self.electorate = electorate
        self.size = 160 + make_template(rules, 1).transaction_bytes

    def get(self, index: int) -> bytes:
        return bytes(self.size * len(list_chunk(self.electorate, index)[0]))

    def pump(self) -> None:
        pass

    @property
    def is_idle(self) -> bool:
        return False

    def ask_opening(self, index: int, sealed: bytes) -> None:
        raise AssertionError

    def get_opening(self, index: int) -> bytes:
        raise AssertionError


def test_a_ballot_is_what_the_nodes_own_encoder_and_signer_would_make():
    rules = make_rules(revote_ratio=0.5, abandon_ratio=0)
    electorate, store = make_store(rules)
    store.need(39)
    assert not store.plains.any()
    store.open()
    assert electorate.slots > 45
    for slot in range(electorate.slots):
        ballot = store.get(slot)
        transaction = decode_transaction(ballot.transaction, 1_000)
        voting, district, box_public, nonce, box = transaction.payload
        one = np.array([slot])
        row = electorate.rows_of(one)
        assert (transaction.kind, transaction.nonce, voting) == (STORE_BALLOT, 0, rules.voting)
        assert district == electorate.districts_of(row)[0]
        assert transaction.id == ballot.id
        assert transaction.sender == ballot.key == store.keys[slot].tobytes()
        assert box == store.boxes[slot].tobytes()
        choice = open_ballot(box_public, nonce, box, rules.election_secret, rules.choices)
        assert store.plains[slot].tobytes() == encode_choice(choice)
        assert choice == electorate.choices_of(one)[0]
        secret = electorate.get_group_secret(int(row[0]))
        commitment = compute_commitment(secret, ballot.key)
        assert store.commitments[slot].tobytes() == commitment


def test_the_signature_is_that_of_the_one_time_key():
    rules = make_rules(abandon_ratio=0)
    electorate, store = make_store(rules)
    maker = BallotMaker(rules, electorate)
    seed = bytes(range(32))
    identity = Identity(seed)
    template = make_template(rules, 3)
    secret = identity._secret
    *_, sealed = maker._seal(identity.public, secret, seed, template, 2)
    payload = decode_transaction(sealed, 1_000).payload
    assert payload == make_store_ballot(rules.voting, 3, *payload[2:])
    assert sealed == make_transaction(identity, CHAIN_ID, STORE_BALLOT, 0, payload)
    store.need(0)
    assert store.get(0).signature == store.get(0).transaction[-64:]


def test_who_abandons_has_a_key_and_nothing_to_send():
    rules = make_rules(abandon_ratio=1)
    electorate, store = make_store(rules)
    store.need(0)
    assert electorate.slots == 40, "who does not cast does not vote again"
    assert store.keys.any(axis=1).all()
    assert not store.boxes.any()
    store.open()
    assert not store.plains.any()
    assert not any(store.get(0).transaction)


def test_no_two_ballots_share_a_key_or_a_box():
    electorate, store = make_store(make_rules(revote_ratio=1, abandon_ratio=0))
    store.need(39)
    assert electorate.slots == 80
    for column in (store.keys, store.boxes, store.commitments):
        assert len(np.unique(column, axis=0)) == 80


def test_a_chunk_is_dropped_when_all_its_first_ballots_are_settled():
    rules = make_rules(CHUNK_ROWS + 10, revote_ratio=0.01)
    electorate = Electorate(rules)
    store = BallotStore(electorate, BlankSource(rules, electorate))
    store.need(CHUNK_ROWS)
    store.release(np.arange(CHUNK_ROWS - 1))
    store.get(CHUNK_ROWS - 1)
    store.release(np.array([CHUNK_ROWS - 1, rules.users]))
    with pytest.raises(KeyError):
        store.get(CHUNK_ROWS - 1)
    store.get(CHUNK_ROWS)
    store.get(rules.users)


def test_the_register_is_a_permutation_of_the_queue():
    for users in (1, 2, 3, 100, 1_000, 7_919):
        electorate = Electorate(make_rules(users))
        rows = np.arange(users)
        voters = electorate.voters_of(rows)
        assert sorted(voters.tolist()) == list(range(users))
        assert electorate.rows_of_voters(voters).tolist() == rows.tolist()


def test_traits_have_the_shares_that_were_asked_for():
    electorate = Electorate(make_rules(100_000))
    rows = np.arange(100_000)
    assert electorate.abandons(rows).mean() == pytest.approx(0.02, abs=0.002)
    assert len(electorate.revoters) / 100_000 == pytest.approx(0.039, abs=0.003)
    assert np.bincount(electorate.choices_of(rows))[1:] / 1e5 == pytest.approx(0.1, abs=0.005)
    assert np.bincount(electorate.districts_of(rows))[1:].min() > 6_000
    again = electorate.revote_slots_of(rows)
    assert electorate.rows_of(again[again >= 0]).tolist() == electorate.revoters.tolist()


@pytest.mark.parametrize(
    ("field", "value"),
    [("districts", 128), ("choices", 1), ("users", 0), ("abandon_ratio", 1.1), ("voting", 0)],
)
def test_rules_out_of_range_are_refused(field, value):
    with pytest.raises(ConfigurationError, match=field):
        BallotRules(**{"seed": 1, "users": 5, "chain_id": CHAIN_ID, field: value})


@pytest.mark.slow
def test_one_and_two_workers_make_what_this_process_makes():
    rules = make_rules(CHUNK_ROWS + 200, abandon_ratio=0.9)
    inline = InlineSource(rules, Electorate(rules))
    wanted = [inline.get(0), inline.get(1)]
    for workers in (1, 2):
        with closing(BallotPool(rules, workers, lookahead=1)) as pool:
            pool.pump()
            assert [pool.get(0), pool.get(1)] == wanted


@pytest.mark.slow
def test_boxes_are_opened_the_same_by_whoever_has_time():
    rules = make_rules(CHUNK_ROWS + 200, abandon_ratio=0.9)
    electorate, inline = make_store(rules)
    inline.need(rules.users - 1)
    inline.open()
    assert inline.plains.any()
    for workers in (1, 2):
        with closing(BallotPool(rules, workers, lookahead=2)) as pool:
            store = BallotStore(electorate, pool)
            store.need(rules.users - 1)
            assert pool.is_idle
            store.pump()
            store.open()
            assert (store.plains == inline.plains).all()


class IdleSource(InlineSource):
    """Has time for boxes when it is told so."""

    is_idle = False

    def __init__(self, rules: BallotRules, electorate: Electorate) -> None:
        super().__init__(rules, electorate)
        self.asked: list[int] = []

    def ask_opening(self, index: int, sealed: bytes) -> None:
        self.asked.append(index)
        super().ask_opening(index, sealed)


def test_boxes_wait_for_idle_workers_and_are_opened_once():
    rules = make_rules(2 * CHUNK_ROWS + 1, abandon_ratio=1)
    electorate = Electorate(rules)
    source = IdleSource(rules, electorate)
    store = BallotStore(electorate, source)
    store.need(CHUNK_ROWS)
    store.pump()
    assert source.asked == []
    source.is_idle = True
    store.pump()
    assert source.asked == [0], "one at a time, or ballots would wait for many"
    store.pump()
    store.pump()
    assert source.asked == [0, 1], "there are no more boxes yet"
    source.is_idle = False
    store.need(rules.users - 1)
    store.open()
    store.open()
    assert source.asked == [0, 1, 2]


def test_a_box_that_was_changed_is_never_open():
    rules = make_rules(abandon_ratio=0)
    _, store = make_store(rules)
    store.need(39)
    store.boxes[3, 5] ^= 1
    with pytest.raises(CryptoError):
        store.open()


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_an_error_leaves_no_worker_behind():
    ids = []

    def interrupt():
        with closing(BallotPool(make_rules(10_000), 2)) as pool:
            ids.extend(pool.process_ids)
            assert all(map(is_running, ids))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert len(ids) == 2
    assert not any(map(is_running, ids))


@pytest.mark.slow
def test_a_worker_that_dies_is_named():
    with closing(BallotPool(make_rules(10_000), 1)) as pool:
        os.kill(pool.process_ids[0], signal.SIGKILL)
        with pytest.raises(WorkerDied, match=r"ballot worker 0 .*-9"):
            pool.get(0)
