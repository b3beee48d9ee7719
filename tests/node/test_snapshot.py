"""Snapshots: a state is its buckets, and what is not the state is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.consensus.authorities import Authorities
from node.consensus.tally import Ballot, ValidatorTally
from node.errors import InvalidBlock, InvalidEncoding, InvalidParams
from node.params import Params
from node.run import RECORD_BYTES_MAX
from node.snapshot import (
    BUCKETS,
    Mark,
    decode_bucket,
    decode_mark,
    encode_bucket,
    restore_state,
)
from node.state import EMPTY_STATE

KEYS = st.binary(min_size=1, max_size=8)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=12), max_size=30)


def make_state(count, first=0):
    return EMPTY_STATE.with_changes({
        b"key %d" % n: b"value %d" % n for n in range(first, first + count)
    })


def take_buckets(state, before=EMPTY_STATE):
    return {
        number: encode_bucket(records) for number, records in state.list_changes(before)
    }


@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_changes_upon_an_older_snapshot_give_the_newer_one(steps):
    states = [EMPTY_STATE]
    for changes in steps:
        states.append(states[-1].with_changes(changes))
    for older in states:
        buckets = take_buckets(older)
        for newer in states:
            merged = buckets | take_buckets(newer, older)
            restored = restore_state(merged.items(), newer.root)
            assert sorted(restored.items()) == sorted(newer.items())


def test_only_what_changed_is_listed():
    before = make_state(5_000)
    after = before.with_changes({b"key 77": b"other", b"key 78": None, b"new": b""})
    changes = list(after.list_changes(before))
    assert 1 <= len(changes) <= 3
    assert changes == sorted(changes)
    assert list(after.list_changes(after)) == []
    same = before.with_changes({b"key 77": b"value 77"})
    assert list(same.list_changes(before)) == []
    assert all(0 <= number < BUCKETS for number, _ in before.list_changes(EMPTY_STATE))


def test_a_restored_state_serves_and_grows():
    state = make_state(300)
    restored = restore_state(take_buckets(state).items(), state.root)
    assert restored.get(b"key 250") == b"value 250"
    assert restored.prove(b"key 250") == state.prove(b"key 250")
    changes = {b"key 1": None, b"another": b"x"}
    assert restored.with_changes(changes).root == state.with_changes(changes).root


def test_buckets_that_are_not_the_state_are_refused():
    state = make_state(300)
    buckets = take_buckets(state)
    number, encoded = next(iter(buckets.items()))
    other = take_buckets(make_state(300, 1))
    for wrong in (
        {n: b for n, b in buckets.items() if n != number}, other, {},
        buckets | {number: encode_bucket((b"record",))},
        {number ^ 1 if n == number else n: b for n, b in buckets.items()},
    ):
        with pytest.raises(InvalidBlock):
            restore_state(wrong.items(), state.root)
    for wrong in ({-1: encoded}, {BUCKETS: encoded}, {0: b""}, {0: encode_bucket((b"",))[1:]},
                  {0: b"\x05"}, {0: b"\x91\x05"}):
        with pytest.raises(InvalidEncoding):
            restore_state(wrong.items(), state.root)


def test_an_empty_bucket_stands_for_nothing():
    state = make_state(3)
    buckets = {number: encode_bucket(()) for number in range(100)} | take_buckets(state)
    assert restore_state(buckets.items(), state.root).root == state.root
    assert restore_state([(7, encode_bucket(()))], EMPTY_STATE.root) is not None
    assert decode_bucket(encode_bucket(())) == ()


MARK = Mark(7, bytes(32), Authorities(ValidatorTally(
    (b"\x01" * 32, b"\x02" * 32), (Ballot(b"\x03" * 32, b"\x01" * 32, is_add=True),)
), 30_000))


def test_a_mark_comes_back():
    assert decode_mark(MARK.encode(), 30_000) == MARK


@given(st.binary(max_size=80), st.integers(0, 200))
def test_a_damaged_mark_is_refused_or_another(noise, at):
    whole = MARK.encode()
    with suppress(InvalidEncoding):
        decode_mark(whole[:at] + noise + whole[at + len(noise) :], 30_000)


def test_a_record_that_no_run_can_hold_is_refused():
    longest = bytes(RECORD_BYTES_MAX)
    assert decode_bucket(encode_bucket((longest,))) == (longest,)
    with pytest.raises(InvalidEncoding, match="too long"):
        decode_bucket(encode_bucket((longest + b"x",)))


def test_transactions_that_no_record_can_hold_are_refused():
    with pytest.raises(InvalidParams, match="transaction_bytes_max"):
        Params(transaction_bytes_max=RECORD_BYTES_MAX + 1)
