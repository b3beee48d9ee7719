import pytest

from node.run import (
    RUN_MAX,
    build_run,
    count_below,
    get_leaves,
    get_record,
    has_head,
    hash_record,
    list_records,
    replace_records,
    split_run,
)

RECORDS = [b"\0\1%c%s" % (letter, bytes(letter)) for letter in b"bdfh"]
RUN = build_run(RECORDS)


def test_a_run_holds_its_records_and_their_leaves_in_order():
    assert list_records(RUN) == RECORDS
    assert get_record(RUN, 2) == RECORDS[2]
    assert get_leaves(RUN) == b"".join(hash_record(record) for record in RECORDS)


def test_a_record_of_any_size_that_a_ledger_allows_has_its_place():
    records = [b"\0\1a" + bytes(1 << 20), b"\0\1b", b"\0\1c" + bytes(1 << 16)]
    assert list_records(build_run(records)) == records


def test_a_head_is_looked_for_in_one_place():
    assert has_head(RUN, 1, b"\0\1d")
    assert not has_head(RUN, 0, b"\0\1d")
    assert not has_head(RUN, 4, b"\0\1d")


def test_records_below_a_head_are_counted():
    counts = [count_below(RUN, b"\0\1%c" % letter) for letter in b"abcdefghi"]
    assert counts == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_a_record_that_begins_a_head_stands_below_it():
    assert count_below(build_run([b"\0\1"]), b"\0\1d") == 1


@pytest.mark.parametrize(
    ("slot", "removed"), [(slot, removed) for removed in (0, 1) for slot in range(5 - removed)]
)
@pytest.mark.parametrize("record", [None, b"\0\1zother"])
def test_replacing_is_what_it_is_for_a_list(slot, removed, record):
    records = RECORDS.copy()
    records[slot : slot + removed] = [] if record is None else [record]
    assert replace_records(RUN, slot, removed, record) == build_run(records)


@pytest.mark.parametrize("slot", range(5))
def test_a_run_splits_into_two(slot):
    assert split_run(RUN, slot) == (build_run(RECORDS[:slot]), build_run(RECORDS[slot:]))


def test_a_run_holds_one_more_than_its_limit_until_it_is_split():
    run = build_run([b"x"] * RUN_MAX)
    full = replace_records(run, RUN_MAX, 0, b"y")
    assert list_records(full) == [b"x"] * RUN_MAX + [b"y"]
    with pytest.raises(AssertionError):
        build_run([b"x"] * (RUN_MAX + 2))
