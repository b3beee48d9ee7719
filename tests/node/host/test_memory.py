import pytest

from node.bundle import decode_bundle
from node.errors import InvalidMessage
from node.host.memory import Memo, WorkMemory
from node.host.meter import Meter
from node.validation import verify_bundle
from tests.node.samples import PARAMS, make_identity, make_sample_bundle


def test_a_memo_forgets_the_older_half_when_it_is_full():
    memo = Memo(10)
    for number in range(4):
        memo.put(b"%d" % number, number + 1, 5)
    assert [memo.get(b"%d" % number) for number in range(4)] == [1, 2, 3, 4]
    memo.put(b"4", 5, 5)
    assert [memo.get(b"%d" % number) for number in range(5)] == [None, None, 3, 4, 5]


def test_what_is_dropped_makes_room():
    memo = Memo(10)
    memo.put(b"a", 1, 10)
    memo.drop(b"a", 10)
    memo.drop(b"never there", 10)
    memo.put(b"b", 2, 10)
    assert (memo.get(b"a"), memo.get(b"b")) == (None, 2)


def test_work_is_answered_from_memory_and_computed_without_it():
    work = WorkMemory(Meter())
    bundle = make_sample_bundle()
    first = work.once(decode_bundle, bundle.encoded, bundle.encoded, PARAMS)
    assert work.once(decode_bundle, bundle.encoded, bundle.encoded, PARAMS) is first
    assert first == bundle
    assert work.once(len, b"key", b"three") == 5


def test_a_refusal_is_not_remembered():
    work = WorkMemory(Meter())
    bundle = make_sample_bundle()
    for _ in range(2):
        with pytest.raises(InvalidMessage):
            work.once(decode_bundle, b"garbage", b"garbage", PARAMS)
    assert not work.is_verified(bundle)
    work.remember_verified(bundle)
    assert work.once(
        verify_bundle, bundle.digest + bundle.signature, bundle, None, b"", work
    ) is None


def test_a_remembered_signature_stands_for_its_key_and_message_alone():
    work, identity = WorkMemory(Meter()), make_identity("voter")
    signature = identity.sign(b"message")
    work.remember_signature(identity.public, b"message", signature)
    assert work.is_checked(identity.public, b"message", signature)
    assert not work.is_checked(identity.public, b"other", signature)
    assert work.check_signature(identity.public, b"message", signature)
    assert not work.check_signature(identity.public, b"other", signature)
