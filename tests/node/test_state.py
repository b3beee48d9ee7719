from hashlib import sha256

import pytest

from node.codec import decode, encode
from node.errors import InvalidProof
from node.state import EMPTY_ROOT, EMPTY_STATE, State, verify_record


def find_crowd(count):
    """Keys that share a bucket with b"0"."""
    place = sha256(b"0").digest()[:2]
    found, number = [], 0
    while len(found) < count:
        key = b"%d" % number
        if sha256(key).digest()[:2] == place:
            found.append(key)
        number += 1
    return found


CROWD = find_crowd(6)
RECORDS = {b"a/1": b"one", b"a/2": b"two", b"b/1": b"", b"": b"empty key"}
STATE = EMPTY_STATE.with_changes(RECORDS)


def refuse(root, key, value, proof):
    with pytest.raises(InvalidProof) as caught:
        verify_record(root, key, value, proof)
    return caught.value.reason


def tamper(proof, place, change):
    fields = decode(proof, 1 << 20)
    fields[place] = change(fields[place])
    return encode(fields)


def test_an_empty_state_has_nothing_and_a_constant_root():
    assert State.empty() is EMPTY_STATE
    assert EMPTY_STATE.root == EMPTY_ROOT
    assert EMPTY_STATE.get(b"key") is None
    assert list(EMPTY_STATE.items()) == []


def test_a_change_makes_a_new_snapshot_and_leaves_the_old():
    after = STATE.with_changes({b"a/1": b"ONE", b"a/2": None, b"c": b"new"})
    assert STATE.get(b"a/1") == b"one"
    assert STATE.get(b"a/2") == b"two"
    assert (after.get(b"a/1"), after.get(b"a/2"), after.get(b"c")) == (b"ONE", None, b"new")
    assert after.get(b"b/1") == b""
    assert after.root != STATE.root


def test_the_root_forgets_the_way_there():
    one_by_one = EMPTY_STATE
    for key in reversed(RECORDS):
        one_by_one = one_by_one.with_changes({b"passing": key})
        one_by_one = one_by_one.with_changes({key: RECORDS[key], b"passing": None})
    assert one_by_one.root == STATE.root
    assert dict(one_by_one.items()) == RECORDS


def test_removing_everything_gives_the_empty_root():
    assert STATE.with_changes(dict.fromkeys(RECORDS)).root == EMPTY_ROOT
    assert EMPTY_STATE.with_changes({b"nothing": None}).root == EMPTY_ROOT


def test_removing_what_is_not_there_keeps_the_root():
    assert STATE.with_changes({b"nothing": None}).root == STATE.root
    assert STATE.with_changes({}) is STATE


def test_the_root_is_that_of_the_definition():
    record = (3).to_bytes(2, "big") + b"a/1" + b"one"
    leaf = sha256(b"veche/record\0" + record).digest()
    found = sha256(b"veche/bucket\0" + leaf).digest()
    for nibble in reversed(sha256(b"a/1").hexdigest()[:4]):
        at = int(nibble, 16)
        children = bytes(32 * at) + found + bytes(32 * (15 - at))
        found = sha256(b"veche/node\0" + children).digest()
    assert EMPTY_STATE.with_changes({b"a/1": b"one"}).root == found


def test_keys_and_values_do_not_run_into_each_other():
    first = EMPTY_STATE.with_changes({b"ab": b"c"})
    assert first.get(b"a") is None
    assert first.root != EMPTY_STATE.with_changes({b"a": b"bc"}).root


def test_records_of_a_crowded_bucket_keep_apart():
    state = EMPTY_STATE.with_changes({key: b"value " + key for key in CROWD[:5]})
    for key in CROWD[:5]:
        assert state.get(key) == b"value " + key
        verify_record(state.root, key, b"value " + key, state.prove(key))
    assert state.get(CROWD[5]) is None
    state = state.with_changes({CROWD[2]: None, CROWD[5]: b"late", CROWD[0]: b"longer value"})
    left = [CROWD[0], CROWD[1], CROWD[3], CROWD[4], CROWD[5]]
    assert sorted(key for key, _ in state.items()) == sorted(left)
    assert state.get(CROWD[0]) == b"longer value"


def test_items_are_listed_by_prefix():
    assert dict(STATE.items(b"a/")) == {b"a/1": b"one", b"a/2": b"two"}
    assert dict(STATE.items()) == RECORDS
    assert dict(EMPTY_STATE.with_changes({b"a": b"/x"}).items(b"a/")) == {}


@pytest.mark.parametrize("key", [*RECORDS, b"absent", b"a/", b"a/11"])
def test_presence_and_absence_have_proofs(key):
    value = RECORDS.get(key)
    proof = STATE.prove(key)
    verify_record(STATE.root, key, value, proof)
    for other in (b"another", None, b"two", b""):
        if other != value:
            assert refuse(STATE.root, key, other, proof).startswith("state:")
    assert refuse(bytes([1]) * 32, key, value, proof) == "state: another root"


@pytest.mark.parametrize("count", range(1, 6))
def test_absence_is_proved_between_neighbours(count):
    for skipped in range(6):
        present = [key for key in CROWD if key != CROWD[skipped]][:count]
        state = EMPTY_STATE.with_changes(dict.fromkeys(present, b"x"))
        verify_record(state.root, CROWD[skipped], None, state.prove(CROWD[skipped]))


def test_absence_in_the_empty_state_has_a_proof():
    verify_record(EMPTY_ROOT, b"key", None, EMPTY_STATE.prove(b"key"))
    assert refuse(STATE.root, b"key", None, EMPTY_STATE.prove(b"key")) == "state: another root"


def test_a_record_that_exists_cannot_be_proved_absent():
    state = EMPTY_STATE.with_changes(dict.fromkeys(CROWD, b"x"))
    heads = sorted((len(key), key) for key in CROWD)
    for at, (_, key) in enumerate(heads):
        siblings, leaves, _, _ = decode(state.prove(key), 1 << 20)
        records = [len(k).to_bytes(2, "big") + k + b"x" for _, k in heads]
        for first in range(6):
            for last in range(first, 7):
                forged = encode([siblings, leaves, first, records[first:last]])
                assert refuse(state.root, key, None, forged).startswith("state:"), at
        assert refuse(state.root, key, None, encode([siblings, b"", 0, []])) == (
            "state: another root"
        )


def test_each_failure_says_which_step_failed():
    key, proof = b"a/1", STATE.prove(b"a/1")
    root = STATE.root
    for place, change, reason in (
        (0, lambda levels: levels[:3], "proof is not [siblings, leaves, place, records]"),
        (0, lambda levels: [*levels, levels[0]],
         "proof is not [siblings, leaves, place, records]"),
        (1, lambda leaves: 5, "proof is not [siblings, leaves, place, records]"),
        (0, lambda levels: [*levels[:3], 5], "siblings or records of the wrong type"),
        (3, lambda records: [None], "siblings or records of the wrong type"),
        (2, lambda place: False, "siblings or records of the wrong type"),
        (0, lambda levels: [*levels[:3], b"short"], "siblings or leaves of the wrong size"),
        (1, lambda leaves: leaves + b"x", "siblings or leaves of the wrong size"),
        (2, lambda place: 2, "place outside of the bucket"),
        (2, lambda place: -1, "place outside of the bucket"),
        (2, lambda place: 1, "record outside of its bucket"),
        (3, lambda records: [b"other"], "record outside of its bucket"),
        (3, lambda records: [], "another record"),
        (0, lambda levels: levels[::-1], "another root"),
        (0, lambda levels: [*levels[:3], b"x" + levels[3][1:]], "another root"),
        (1, lambda leaves: leaves + bytes(32), "another root"),
    ):
        assert refuse(root, key, b"one", tamper(proof, place, change)) == f"state: {reason}"
    assert refuse(root, key, None, proof) == "state: the record exists"
    assert refuse(root, b"a/2", b"two", proof) == "state: another record"
    assert "truncated" in refuse(root, key, b"one", proof[:-1])
    crowd = EMPTY_STATE.with_changes(dict.fromkeys(CROWD, b"x"))
    absent = tamper(crowd.prove(CROWD[0]), 3, lambda records: [])
    assert refuse(crowd.root, CROWD[1], None, absent) == "state: not the neighbours"


def test_a_key_that_no_record_can_have_is_refused():
    proof = STATE.prove(b"a/1")
    assert refuse(STATE.root, bytes(1 << 16), b"one", proof) == "state: key too long"
