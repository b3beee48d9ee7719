import pytest

from node.services import election
from node.services.election.records import CLOSED, FINAL, OPEN, REGISTERING


def test_a_voting_goes_through_its_four_phases(town):
    assert town.create() == "ok"
    assert town.counters.phase == REGISTERING
    assert town.open() == "ok"
    assert town.counters.phase == OPEN
    assert town.close() == "ok"
    assert town.counters.phase == CLOSED
    assert town.finalize() == "ok"
    assert town.counters.phase == FINAL


def test_a_number_serves_for_one_voting(town):
    assert town.create() == "ok"
    assert town.create() == "voting known"
    assert town.create(voting=2) == "ok"


def test_a_voting_opens_once(town):
    assert town.open() == "unknown voting"
    assert town.create() == "ok"
    assert town.open() == "ok"
    assert town.open() == "already open"


def test_a_voting_that_never_opened_cannot_close(town):
    assert town.close() == "unknown voting"
    assert town.create() == "ok"
    assert town.close() == "not open"


@pytest.mark.parametrize(("time_ns", "status"), [(2_099, "too early"), (2_100, "ok")])
def test_the_registrar_closes_at_the_end_of_the_grace_to_the_nanosecond(town, time_ns, status):
    assert town.begin().close(time_ns=time_ns) == status


def test_a_voting_closes_once(town):
    assert town.begin().close() == "ok"
    assert town.close() == "not open"


def test_only_a_closed_voting_is_finalized_and_only_once(town):
    assert town.finalize() == "unknown voting"
    town.begin()
    assert town.finalize() == "not closed"
    assert town.close() == "ok"
    assert town.finalize() == "ok"
    assert town.finalize() == "already final"


def test_a_ballot_that_nobody_opened_holds_the_result_up(town):
    town.begin()
    assert town.add_key("ann") == "ok"
    assert town.cast("ann", 2) == "ok"
    town.end()
    assert town.finalize() == "ballots undecrypted"
    assert town.decrypt({"ann": 2}) == "ok"
    assert town.finalize() == "ok"


def test_unresolved_revotes_that_outnumber_the_issued_hold_the_result_up(town):
    town.begin(voters=1)
    for name in ("ann", "ann again"):
        assert town.add_key(name, group="ann") == "ok"
        assert town.cast(name, 1) == "ok"
    town.end()
    assert town.decrypt({"ann": 1, "ann again": 1}) == "ok"
    assert town.finalize() == "more ballots than issued"


def test_the_result_has_all_districts_and_choices(town):
    town.begin()
    for name, district, choice in (("ann", 1, 2), ("bob", 3, 4), ("eve", 3, 4)):
        assert town.add_key(name, district) == "ok"
        assert town.cast(name, choice, district) == "ok"
    town.end()
    assert town.decrypt({"ann": 2, "bob": 4, "eve": 4}) == "ok"
    assert election.get_result(town.ledger, 1) is None
    assert town.finalize() == "ok"
    result = election.get_result(town.ledger, 1)
    assert result.tallies == ((0, 0, 1, 0, 0), (0,) * 5, (0, 0, 0, 0, 2))
    assert result.counters == town.counters
    assert result.counters.decrypted == 3


def test_the_largest_result_fits_into_a_record(town):
    assert town.create(districts=255, choices=255) == "ok"
    assert (town.open(), town.close(), town.finalize()) == ("ok",) * 3
    assert len(election.get_result(town.ledger, 1).tallies) == 255


def test_nothing_can_be_read_of_an_unknown_voting(town):
    assert election.get_counters(town.ledger, 9) is None
    assert election.get_counters(town.ledger, -1) is None
    assert election.get_voting_terms(town.ledger, 9) is None
    assert election.get_result(town.ledger, 9) is None
    assert election.get_failures(town.ledger, 9) == ()
    assert election.get_tally(town.ledger, 9, 1) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"voting": -1}, {"voting": 1 << 16}, {"voting": "1"}, {"districts": 0},
        {"districts": 256}, {"choices": 1}, {"choices": 256}, {"choices": b"\4\4\4"},
        {"open_ns": -1}, {"open_ns": 2_000}, {"close_ns": 1 << 62}, {"grace_ns": -1},
        {"grace_ns": 1 << 62}, {"holders": []}, {"holders": [b"k" * 32] * 10},
        {"holders": [b"k" * 31] * 5}, {"holders": [1, 2, 3]}, {"threshold": 0},
        {"threshold": 6}, {"box_public": b"p" * 33}, {"box_public": None},
    ],
)
def test_impossible_terms_are_a_bad_payload(town, changed):
    assert town.create(**changed) == "bad payload"


@pytest.mark.parametrize(
    "kind", [election.OPEN_VOTING, election.CLOSE_VOTING, election.FINALIZE_VOTING]
)
@pytest.mark.parametrize("payload", [[], ["1"], [1, 2], [None], [[1]]])
def test_a_voting_is_named_by_one_number(town, kind, payload):
    assert town.send(kind, payload) == "bad payload"


@pytest.mark.parametrize("voting", [-1, 1 << 16, (1 << 64) - 1])
def test_a_number_out_of_range_is_an_unknown_voting(town, voting):
    assert town.open(voting) == "unknown voting"
    assert town.issue(1, voting=voting) == "unknown voting"
    assert town.cast("ann", 1, voting=voting) == "unknown voting"
    assert town.publish(1, voting=voting) == "unknown voting"


def test_only_those_with_the_right_lead_a_voting(town):
    stranger = b"s" * 32
    assert town.send(election.OPEN_VOTING, [1], stranger) == "not allowed"
    assert town.send(election.CLOSE_VOTING, [1], stranger) == "not allowed"
    assert town.finalize(sender=stranger) == "not allowed"
    terms = election.make_create_voting(
        voting=1, districts=1, choices=2, open_ns=0, close_ns=1, grace_ns=0,
        holders=[stranger], threshold=1, box_public=stranger,
    )
    assert town.send(election.CREATE_VOTING, terms, stranger) == "not allowed"


def test_two_votings_do_not_mix(town):
    town.begin()
    assert (town.create(voting=2), town.register(voting=2), town.open(2)) == ("ok",) * 3
    assert town.add_key("ann") == "ok"
    assert town.cast("ann", 1, voting=2) == "unknown key"
    assert election.get_counters(town.ledger, 2).issued == 0
