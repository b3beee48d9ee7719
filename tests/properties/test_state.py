"""The state against a dict, over any history of changes."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import InvalidProof
from node.state import EMPTY_ROOT, EMPTY_STATE, build_state, verify_record

KEYS = st.sampled_from([b"key/%d" % i for i in range(40)]) | st.binary(max_size=6)
BLOCKS = st.lists(
    st.dictionaries(KEYS, st.none() | st.binary(max_size=12), max_size=12), max_size=8
)


def replay(blocks):
    state, records, snapshots = EMPTY_STATE, {}, []
    for changes in blocks:
        state = state.with_changes(changes)
        records = {**records, **changes}
        records = {key: value for key, value in records.items() if value is not None}
        snapshots.append((state, records))
    return state, records, snapshots


@given(BLOCKS)
@settings(max_examples=150)
def test_a_state_is_a_dict_and_no_snapshot_ever_changes(blocks):
    _, _, snapshots = replay(blocks)
    touched = {key for changes in blocks for key in changes}
    for state, records in snapshots:
        assert dict(state.items()) == records
        assert dict(state.items(b"key/1")) == {
            key: value for key, value in records.items() if key.startswith(b"key/1")
        }
        for key in touched:
            assert state.get(key) == records.get(key)


@given(BLOCKS)
@settings(max_examples=150)
def test_the_root_depends_on_the_records_alone(blocks):
    state, records, snapshots = replay(blocks)
    assert EMPTY_STATE.with_changes(dict(sorted(records.items()))).root == state.root
    assert (state.root == EMPTY_ROOT) == (not records)
    for other, contents in snapshots:
        assert (other.root == state.root) == (contents == records)


@given(BLOCKS, KEYS, st.none() | st.binary(max_size=12))
@settings(max_examples=150)
def test_a_proof_holds_for_what_is_there_and_for_nothing_else(blocks, key, claimed):
    state, records, snapshots = replay(blocks)
    value = records.get(key)
    verify_record(state.root, key, value, state.prove(key))
    for other, contents in snapshots:
        claims = {value, claimed} - {contents.get(key)}
        for claim in sorted(claims, key=repr):
            for proof in (state.prove(key), other.prove(key)):
                with pytest.raises(InvalidProof):
                    verify_record(other.root, key, claim, proof)


@given(BLOCKS, KEYS, st.data())
@settings(max_examples=200)
def test_a_damaged_proof_proves_nothing_false(blocks, key, data):
    state, records, _ = replay(blocks)
    proof = bytearray(state.prove(key))
    at = data.draw(st.integers(0, len(proof) - 1))
    proof[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    value = records.get(key)
    for claim in (b"forged", None if value is not None else b""):
        with pytest.raises(InvalidProof):
            verify_record(state.root, key, claim, bytes(proof))


def compute_root(records, path=""):
    """The definition, without any of what makes it cheap."""
    if not records:
        return EMPTY_ROOT
    if len(path) == 4:
        leaves = [
            sha256(b"veche/record\0" + record).digest()
            for record in sorted(len(key).to_bytes(2, "big") + key + value
                                 for key, value in records.items())
        ]
        return sha256(b"veche/bucket\0" + b"".join(leaves)).digest()
    children = [
        compute_root({
            key: value for key, value in records.items()
            if sha256(key).hexdigest().startswith(path + nibble)
        }, path + nibble)
        for nibble in "0123456789abcdef"
    ]
    return sha256(b"veche/node\0" + b"".join(children)).digest()


@given(BLOCKS)
@settings(max_examples=60)
def test_the_root_is_that_of_the_definition(blocks):
    _, _, snapshots = replay(blocks)
    for state, records in snapshots:
        assert state.root == compute_root(records)


@given(BLOCKS, BLOCKS)
@settings(max_examples=60)
def test_what_changed_is_enough_to_build_the_state_again(blocks, others):
    first, _, _ = replay(blocks)
    second, _, _ = replay(others)
    buckets = dict(first.list_changes(EMPTY_STATE))
    assert build_state(buckets.items()).root == first.root
    changed = list(second.list_changes(first))
    assert changed == sorted(changed)
    buckets.update(changed)
    again = build_state((number, records) for number, records in buckets.items() if records)
    assert again.root == second.root
    assert dict(again.items()) == dict(second.items())
