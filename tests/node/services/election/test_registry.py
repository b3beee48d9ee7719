import pytest

from node.services import election
from node.services.election.records import ISSUED, REGISTERED, UNREGISTERED
from node.services.election.registry import REVOTES_MAX

STRANGER = b"s" * 32


def test_a_page_registers_its_voters_but_nobodies(town):
    assert town.create() == "ok"
    assert town.register(districts=(1, 0, 3), page=7) == "ok"
    statuses = [election.get_voter_status(town.ledger, 1, 700 + place) for place in range(4)]
    assert statuses == [REGISTERED, UNREGISTERED, REGISTERED, UNREGISTERED]
    assert town.counters.registered == 2


def test_a_page_is_written_once(town):
    assert town.create() == "ok"
    assert town.register() == "ok"
    assert town.register() == "page known"
    assert town.register(page=1) == "ok"


def test_nobody_registers_for_a_district_that_is_not_there(town):
    assert town.create() == "ok"
    assert town.register(districts=(1, 4)) == "wrong district"


def test_registration_is_before_the_opening(town):
    assert town.register() == "unknown voting"
    town.begin(0)
    assert town.register(page=1) == "registration over"


def test_ballots_are_issued_to_registered_voters_once(town):
    town.begin(0)
    assert town.issue(0, 5, 1, 6, 100, 2**64 - 1, 0) == "ok"
    assert town.counters.issued == 2
    assert town.failures == ["unknown voter"] * 4 + ["already issued"]
    assert town.issue(1) == "ok"
    assert town.failures[5:] == ["already issued"]
    assert election.get_voter_status(town.ledger, 1, 1) == ISSUED
    assert election.get_voter_status(town.ledger, 1, 2) == REGISTERED


def test_a_failure_names_its_subject_and_its_transaction(town, name_to_key):
    town.begin(0)
    assert town.issue(77) == "ok"
    (failure,) = election.get_failures(town.ledger, 1)
    assert failure.subject == (77).to_bytes(8, "big")
    assert failure.transaction_id == name_to_key(town.sequence)
    assert election.get_failures(town.ledger, 1, first=1) == ()


def test_one_batch_may_reach_many_pages(town):
    assert town.create() == "ok"
    for page in range(3):
        assert town.register(districts=(1,) * 100, page=page) == "ok"
    assert town.open() == "ok"
    assert town.issue(*range(0, 300, 3)) == "ok"
    assert town.counters.issued == 100
    assert town.written == 3 + 1


def test_a_key_is_added_once_whatever_its_commitment(town):
    town.begin()
    assert town.add_key("ann") == "ok"
    assert town.add_key("ann", group="other") == "ok"
    assert town.failures == ["key known"]
    assert town.counters.keys == 1


@pytest.mark.parametrize("district", [0, 4, 255])
def test_a_key_belongs_to_a_district_that_is_there(town, district):
    town.begin()
    assert town.add_key("ann", district) == "ok"
    assert town.failures == ["wrong district"]
    assert town.counters.keys == 0


def test_keys_are_bounded_by_ballots_issued_and_their_revotes(town):
    town.begin(voters=2)
    for number in range(2 * (1 + REVOTES_MAX) + 1):
        assert town.add_key(number) == "ok"
    assert town.failures == ["too many keys"]
    assert town.issue(2) == "ok"
    assert town.add_key("one more") == "ok"
    assert town.counters.keys == 2 * (1 + REVOTES_MAX) + 1


def test_one_batch_cannot_pass_the_bound_either(town, name_to_key):
    town.begin(voters=1)
    keys = [name_to_key(number) for number in range(10)]
    payload = election.make_add_voter_keys(1, keys, [1] * 10, keys)
    assert town.send(election.ADD_VOTER_KEYS, payload) == "ok"
    assert town.counters.keys == 1 + REVOTES_MAX
    assert town.failures == ["too many keys"] * (10 - 1 - REVOTES_MAX)


def test_a_key_twice_in_one_batch_is_added_once(town, name_to_key):
    town.begin()
    key = name_to_key("ann")
    payload = election.make_add_voter_keys(1, [key, key], [1, 2], [key, key])
    assert town.send(election.ADD_VOTER_KEYS, payload) == "ok"
    assert town.failures == ["key known"]
    assert election.get_ballot(town.ledger, 1, key).district == 1


@pytest.mark.parametrize(
    ("time_ns", "status"),
    [(999, "not open"), (1_000, "ok"), (2_100, "ok"), (2_101, "late")],
)
def test_ballots_and_keys_are_given_from_open_to_grace_to_the_nanosecond(
    town, time_ns, status
):
    town.begin(voters=1)
    assert town.issue(1, time_ns=time_ns) == status
    assert town.add_key("ann", time_ns=time_ns) == status


def test_nothing_is_given_before_the_opening_or_in_no_voting(town):
    assert town.issue(1) == "unknown voting"
    assert town.add_key("ann") == "unknown voting"
    assert town.create() == "ok"
    assert town.issue(1) == "not open"
    assert town.add_key("ann") == "not open"


def test_only_those_with_the_right_register_and_issue(town, name_to_key):
    town.begin()
    assert town.issue(1, sender=STRANGER) == "not allowed"
    assert town.add_key("ann", sender=STRANGER) == "not allowed"
    payload = election.make_register_voters(1, 5, [1])
    assert town.send(election.REGISTER_VOTERS, payload, STRANGER) == "not allowed"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (election.REGISTER_VOTERS, [1, 0, b""]),
        (election.REGISTER_VOTERS, [1, 0, b"\1" * 101]),
        (election.REGISTER_VOTERS, [1, -1, b"\1"]),
        (election.REGISTER_VOTERS, [1, 1 << 32, b"\1"]),
        (election.REGISTER_VOTERS, [1, 0, [1]]),
        (election.ISSUE_BALLOTS, [1, b""]),
        (election.ISSUE_BALLOTS, [1, bytes(9)]),
        (election.ISSUE_BALLOTS, [1, bytes(8 * 101)]),
        (election.ISSUE_BALLOTS, [1, [1]]),
        (election.ADD_VOTER_KEYS, [1, b"", b"", b""]),
        (election.ADD_VOTER_KEYS, [1, bytes(33), b"\1", bytes(33)]),
        (election.ADD_VOTER_KEYS, [1, bytes(64), b"\1", bytes(64)]),
        (election.ADD_VOTER_KEYS, [1, bytes(32), b"\1", bytes(31)]),
        (election.ADD_VOTER_KEYS, [1, bytes(32 * 101), b"\1" * 101, bytes(32 * 101)]),
        (election.ADD_VOTER_KEYS, [1, bytes(32), b"\1"]),
    ],
)
def test_a_malformed_batch_is_a_bad_payload(town, kind, payload):
    town.begin()
    assert town.send(kind, payload) == "bad payload"
