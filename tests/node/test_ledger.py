import pytest

from node.errors import InvalidEncoding
from node.ledger import RECORD_BYTES_MAX, Ledger
from node.state import EMPTY_STATE

SNAPSHOT = EMPTY_STATE.with_changes({b"old": b"1", b"gone": b"2"})


def test_reads_fall_through_to_the_snapshot():
    ledger = Ledger(SNAPSHOT)
    assert ledger.get(b"old") == b"1"
    assert ledger.get(b"absent") is None


def test_a_transaction_sees_its_own_writes_over_those_of_the_block():
    ledger = Ledger(SNAPSHOT)
    ledger.put(b"old", b"block")
    ledger.keep()
    assert ledger.get(b"old") == b"block"
    ledger.put(b"old", b"mine")
    ledger.delete(b"gone")
    assert ledger.get(b"old") == b"mine"
    assert ledger.get(b"gone") is None


def test_a_dropped_transaction_leaves_nothing():
    ledger = Ledger(SNAPSHOT)
    ledger.put(b"kept", b"x")
    assert ledger.keep() == 1
    ledger.put(b"old", b"mine")
    ledger.delete(b"gone")
    ledger.drop()
    assert (ledger.get(b"old"), ledger.get(b"gone")) == (b"1", b"2")
    assert ledger.get_changes() == {b"kept": b"x"}


def test_changes_are_what_was_kept_since_the_snapshot():
    ledger = Ledger(SNAPSHOT)
    ledger.put(b"new", b"3")
    ledger.delete(b"gone")
    assert ledger.keep() == 2
    ledger.put(b"new", b"4")
    assert ledger.keep() == 1
    assert ledger.keep() == 0
    assert ledger.get_changes() == {b"new": b"4", b"gone": None}
    assert dict(SNAPSHOT.with_changes(ledger.get_changes()).items()) == {
        b"old": b"1", b"new": b"4"
    }


def test_values_are_kept_in_the_canonical_encoding():
    ledger = Ledger(SNAPSHOT)
    ledger.put_value(b"v", [1, b"x", "stall"])
    assert ledger.get_value(b"v") == [1, b"x", "stall"]
    assert ledger.get_value(b"absent") is None
    ledger.put(b"v", b"\xc1")
    with pytest.raises(InvalidEncoding):
        ledger.get_value(b"v")


def test_a_record_has_a_greatest_size():
    ledger = Ledger(SNAPSHOT)
    ledger.put(b"big", bytes(RECORD_BYTES_MAX))
    with pytest.raises(AssertionError):
        ledger.put(b"big", bytes(RECORD_BYTES_MAX + 1))
    with pytest.raises(AssertionError):
        ledger.get_changes()
