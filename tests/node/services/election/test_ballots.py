import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.crypto import seal_box
from node.services import election
from node.services.election.ballots import decode_choice
from node.services.election.records import ADDED, STORED


@pytest.fixture
def ready(town):
    town.begin()
    assert town.add_key("ann", district=2) == "ok"
    return town


def test_a_cast_ballot_is_stored_under_its_key_with_its_place_in_the_chain(ready, name_to_key):
    assert election.get_ballot(ready.ledger, 1, name_to_key("ann")) == (ADDED, 2, 0, 0)
    assert ready.cast("ann", 3, 2) == "ok"
    assert election.get_ballot(ready.ledger, 1, name_to_key("ann")) == (
        STORED, 2, ready.sequence, 0
    )
    assert ready.counters.stored == ready.counters.pending == 1
    assert ready.written == 2


def test_storing_leaves_all_other_counters_alone(ready):
    before = ready.counters
    assert ready.cast("ann", 3, 2) == "ok"
    assert ready.counters == before._replace(stored=1)


def test_a_key_casts_once(ready):
    assert ready.cast("ann", 3, 2) == "ok"
    assert ready.cast("ann", 1, 2) == "already cast"
    assert ready.counters.stored == 1


def test_an_unknown_key_casts_nothing(ready):
    assert ready.cast("bob", 3, 2) == "unknown key"


def test_a_key_casts_in_its_own_district_only(ready):
    assert ready.cast("ann", 3, 1) == "wrong district"
    assert ready.cast("ann", 3, 2) == "ok"


@pytest.mark.parametrize(
    ("time_ns", "status"),
    [(999, "not open"), (1_000, "ok"), (2_000, "ok"), (2_100, "ok"), (2_101, "late")],
)
def test_ballots_count_from_open_to_grace_to_the_nanosecond(ready, time_ns, status):
    assert ready.cast("ann", 3, 2, time_ns=time_ns) == status


def test_a_late_ballot_is_late_whether_or_not_the_registrar_has_closed(ready):
    assert ready.cast("ann", 3, 2, time_ns=2_101) == "late"
    assert ready.close() == "ok"
    assert ready.cast("ann", 3, 2, time_ns=2_101) == "late"
    assert ready.finalize() == "ok"
    assert ready.cast("ann", 3, 2, time_ns=2_101) == "late"


def test_a_ballot_of_the_last_moment_behind_the_close_finds_it_not_open(ready):
    assert ready.close(time_ns=2_100) == "ok"
    assert ready.cast("ann", 3, 2, time_ns=2_100) == "not open"


def test_no_ballot_before_the_opening_or_in_no_voting(town):
    assert town.cast("ann", 1) == "unknown voting"
    assert town.create() == "ok"
    assert town.cast("ann", 1) == "not open"


@pytest.mark.parametrize(
    "changed",
    [
        {0: "1"}, {0: None}, {0: True}, {1: b"\2"}, {2: bytes(31)}, {2: 7}, {3: bytes(23)},
        {3: "n" * 24}, {4: bytes(31)}, {4: bytes(33)}, {4: []},
    ],
)
def test_a_malformed_ballot_is_a_bad_payload(ready, name_to_key, changed):
    payload = election.make_store_ballot(1, 2, *ready.seal("ann", 1))
    for place, value in changed.items():
        payload[place] = value
    assert ready.send(election.STORE_BALLOT, payload, name_to_key("ann")) == "bad payload"


@pytest.mark.parametrize("length", [0, 4, 6])
def test_a_ballot_has_five_fields(ready, name_to_key, length):
    payload = [1, 2, bytes(32), bytes(24), bytes(32), 0][:length]
    assert ready.send(election.STORE_BALLOT, payload, name_to_key("ann")) == "bad payload"


def test_a_district_out_of_range_is_a_wrong_district(ready):
    for district in (-1, 0, 256, 1 << 63):
        assert ready.cast("ann", 1, district) == "wrong district"


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 255), st.binary(min_size=32, max_size=32), st.integers(2, 255))
def test_a_sealed_choice_opens_to_itself_if_the_voting_has_it(new_town, choice, seed, choices):
    town = new_town
    sealed = election.seal_ballot(choice, town.PUBLIC, seed, seed[:24])
    opened = election.open_ballot(*sealed, town.SECRET, choices)
    assert opened == (choice if choice <= choices else election.SPOILT)
    assert election.open_ballot(*sealed, seed, choices) == election.SPOILT


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_all_ballots_have_one_size(new_town, one, other):
    sizes = {
        tuple(map(len, new_town().seal("ann", choice))) for choice in (one, other)
    }
    assert sizes == {(32, 24, election.BOX_BYTES)}


@given(st.binary(max_size=40), st.integers(2, 255))
def test_reading_a_plain_never_fails_and_only_its_own_encoding_is_a_choice(plain, choices):
    choice = decode_choice(plain, choices)
    assert 0 <= choice <= choices
    assert choice == election.SPOILT or election.encode_choice(choice) == plain


@pytest.mark.parametrize("sizes", [(31, 24, 32), (32, 23, 32), (32, 24, 15), (0, 0, 0)])
def test_opening_a_malformed_box_gives_a_spoilt_ballot(new_town, sizes):
    parts = [bytes(size) for size in sizes]
    assert election.open_ballot(*parts, new_town.SECRET, 4) == election.SPOILT


def test_a_box_with_trailing_content_holds_no_choice(new_town):
    plain = b"\0\1" + b"\0" * 13 + b"\1"
    box_public, nonce, _ = election.seal_ballot(1, new_town.PUBLIC, b"e" * 32, bytes(24))
    box = seal_box(plain, nonce, box_public, new_town.SECRET)
    assert election.open_ballot(box_public, nonce, box, new_town.SECRET, 4) == election.SPOILT
