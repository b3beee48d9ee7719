"""Whole elections with real boxes: from registration to the result, against a recount."""

from node.crypto import digest
from node.services import election
from node.services.election.records import FINAL


def test_a_small_election_from_registration_to_result(town, name_to_key):
    assert town.create() == "ok"
    for page in range(2):
        districts = [1 + place % 3 for place in range(50)]
        assert town.register(districts=districts, page=page) == "ok"
    assert town.open() == "ok"
    voters = [100 * page + place for page in range(2) for place in range(50)]
    assert town.issue(*voters) == "ok"

    expected = {district: [0] * 5 for district in (1, 2, 3)}
    claims = {}
    for voter in voters[:-5]:  # five take a ballot and never cast it
        district, choice = 1 + voter % 100 % 3, 1 + voter % 4
        group = f"voter {voter}"
        casts = [f"{group} try {number}" for number in range(1 + (voter % 10 == 0))]
        for number, name in enumerate(casts):
            assert town.add_key(name, district, group) == "ok"
            public = name_to_key("lost") if voter % 25 == 7 else None
            wanted = choice if name == casts[-1] else 1 + (choice + number) % 4
            assert town.cast(name, wanted, district, public=public) == "ok"
        counted = election.SPOILT if voter % 25 == 7 else choice
        claims[casts[-1]] = counted
        expected[district][counted] += 1
    assert town.add_key("last minute", 1) == "ok"
    assert town.cast("last minute", 1, time_ns=2_101) == "late"
    assert town.cast("last minute", 1, time_ns=2_100) == "ok"
    claims["last minute"] = 1
    expected[1][1] += 1

    assert town.close(time_ns=2_099) == "too early"
    assert town.close(time_ns=2_100) == "ok"
    assert town.publish(5) == "ok"
    assert town.publish(2, digest(b"test", b"wrong")) == "ok"
    assert town.publish(1) == "ok"
    assert town.decrypt(claims) == "secret unknown"
    assert town.publish(4) == "ok"
    for voter in voters[:-5]:
        if voter % 10 == 0:
            group = f"voter {voter}"
            assert town.resolve(group, f"{group} try 0", f"{group} try 1") == "ok"
    names = list(claims)
    assert town.decrypt({name: claims[name] for name in names[:60]}) == "ok"
    assert town.finalize() == "ballots undecrypted"
    assert town.decrypt({name: claims[name] for name in names[60:]}) == "ok"
    assert town.finalize() == "ok"

    result = election.get_result(town.ledger, 1)
    assert result.tallies == tuple(tuple(expected[district]) for district in (1, 2, 3))
    counters = result.counters
    assert counters.phase == FINAL
    assert counters.issued == 100
    assert counters.stored == len(claims) + counters.superseded
    assert counters.superseded == 10
    assert counters.spoiled == 4
    assert counters.failures == 0


def test_the_registrars_own_reading_of_the_boxes_is_what_the_nodes_find(town, name_to_key):
    town.begin()
    choices = {"ann": 1, "bob": 4, "eve": 255}
    for name, choice in choices.items():
        assert town.add_key(name) == "ok"
        assert town.cast(name, choice) == "ok"
    town.end(2, 3, 5)
    terms = election.get_voting_terms(town.ledger, 1)
    claims = {
        name: election.open_ballot(*town.seal(name, choice), terms.secret, terms.choices)
        for name, choice in choices.items()
    }
    assert claims == {"ann": 1, "bob": 4, "eve": election.SPOILT}
    assert town.decrypt(claims) == "ok"
    assert town.failures == []


def test_a_half_finished_vote_is_neither_lost_nor_doubled(town):
    # The ballot was issued and a key added, the store failed, and the voter came again.
    town.begin(voters=1)
    assert town.add_key("first try", group="voter") == "ok"
    assert town.cast("first try", 2, time_ns=999) == "not open"
    assert town.issue(0) == "ok"
    assert town.failures == ["already issued"]
    assert town.add_key("second try", group="voter") == "ok"
    assert town.cast("second try", 2) == "ok"
    assert town.cast("first try", 2) == "ok"  # the first was only delayed
    town.end()
    assert town.resolve("voter", "first try", "second try") == "ok"
    assert town.decrypt({"first try": 2}) == "ok"
    assert town.finalize() == "ok"
    assert election.get_tally(town.ledger, 1, 1) == (0, 0, 1, 0, 0)
