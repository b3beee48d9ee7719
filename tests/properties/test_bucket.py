"""A bucket against a dict and the definition of its digest, over any history of changes."""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from node.bucket import build_bucket, change_bucket

# few tags, of which one is also found across two and one beyond the end of a run
TAGS = (b"\0\0", b"\0\1", b"\1\0", b"ab")
KEYS = st.integers(0, 90).map(lambda number: b"%d" % number)
CHANGES = st.lists(
    st.dictionaries(KEYS, st.none() | st.binary(max_size=40), max_size=40), max_size=6
)
FILLED = dict.fromkeys([b"%d" % number for number in range(0, 90, 2)], b"first")


def make_place(key):
    hashed = sha256(key).digest()
    return b"at" + TAGS[hashed[9] % len(TAGS)] + hashed[4:]


def make_head(key):
    return len(key).to_bytes(2, "big") + key


def change(bucket, contents):
    changes = {
        make_place(key): (make_head(key), None if value is None else make_head(key) + value)
        for key, value in contents.items()
    }
    return change_bucket(bucket, sorted(changes), changes)


def list_contents(contents):
    return sorted(make_head(key) + value for key, value in contents.items())


def compute_digest(records):
    leaves = b"".join(sha256(b"veche/record\0" + record).digest() for record in records)
    return sha256(b"veche/bucket\0" + leaves).digest()


@given(CHANGES)
@settings(max_examples=100)
def test_a_bucket_is_a_dict_in_order_and_none_ever_changes(blocks):
    bucket, contents, history = None, {}, []
    for block in (FILLED, *blocks):
        bucket = change(bucket, block)
        merged = {**contents, **block}
        contents = {key: value for key, value in merged.items() if value is not None}
        history.append((bucket, contents))
    for then, held in history:
        assert (then is None) == (not held)
        if then is None:
            continue
        records = list_contents(held)
        assert then.list_records() == records
        assert then.digest == compute_digest(records)
        for number in range(91):
            key = b"%d" % number
            found = then.find(make_place(key), make_head(key))
            assert found == (make_head(key) + held[key] if key in held else None)


@given(st.dictionaries(KEYS, st.binary(max_size=40), min_size=1))
@settings(max_examples=50)
def test_a_bucket_built_at_once_is_the_bucket_of_its_records(contents):
    records = list_contents(contents)
    bucket = build_bucket(records)
    assert bucket.list_records() == records
    assert bucket.digest == compute_digest(records)
    for key, value in contents.items():
        assert bucket.find(sha256(key).digest(), make_head(key)) == make_head(key) + value


def test_a_bucket_that_loses_its_records_is_none():
    bucket = change(None, FILLED)
    for key in FILLED:
        assert bucket is not None
        bucket = change(bucket, {key: None, b"absent": None})
    assert bucket is None
    assert change(None, {b"absent": None}) is None
