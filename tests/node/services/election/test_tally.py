from itertools import combinations, permutations

import pytest

from node.services import election
from node.services.election.records import DECRYPTED, SPOILED, SUPERSEDED

STRANGER = b"s" * 32


@pytest.fixture
def voted(town):
    """Ann and Bob cast once; Eve cast twice and took a third key that she never used."""
    town.begin()
    for name, group in (("ann", None), ("bob", None), ("eve 1", "eve"), ("eve 2", "eve")):
        assert town.add_key(name, group=group) == "ok"
    assert town.add_key("eve 3", group="eve") == "ok"
    for name, choice in (("ann", 1), ("eve 1", 2), ("bob", 3), ("eve 2", 4)):
        assert town.cast(name, choice) == "ok"
    return town


def get_secret(town):
    return election.get_voting_terms(town.ledger, 1).secret


def test_any_three_holders_restore_the_secret(new_town):
    for holders in combinations(range(1, 6), 3):
        town = new_town().begin().end(*holders)
        assert get_secret(town) == town.SECRET


def test_two_holders_do_not(town):
    assert get_secret(town.begin().end(1, 5)) == b""
    assert town.decrypt({"ann": 1}) == "secret unknown"


@pytest.mark.parametrize("order", list(permutations((1, 2, 3, 4)))[::5])
def test_a_wrong_share_among_four_harms_nobody_in_any_order(town, order):
    assert town.begin().close() == "ok"
    for index in order:
        assert town.publish(index, bytes(32) if index == 2 else None) == "ok"
    assert get_secret(town) == town.SECRET


def test_a_wrong_share_among_three_leaves_the_secret_unknown(town):
    assert town.begin().close() == "ok"
    for index in (1, 2, 3):
        assert town.publish(index, bytes(32) if index == 1 else None) == "ok"
    assert get_secret(town) == b""
    assert town.publish(4) == "ok"
    assert get_secret(town) == town.SECRET


def test_a_holder_publishes_once_under_their_own_index(voted):
    assert voted.close() == "ok"
    assert voted.publish(1, sender=voted.HOLDERS[1]) == "not a holder"
    assert voted.publish(1, sender=voted.REGISTRAR) == "not a holder"
    assert voted.publish(1) == "ok"
    assert voted.publish(1) == "already published"


@pytest.mark.parametrize("index", [-1, 0, 6, 256])
def test_there_are_no_holders_but_the_five(voted, index):
    assert voted.close() == "ok"
    for sender in voted.HOLDERS:
        assert voted.publish(index, bytes(32), sender=sender) == "not a holder"


def test_shares_are_published_after_the_close_and_before_the_end(town):
    assert town.publish(1) == "unknown voting"
    assert town.begin().publish(1) == "not closed"
    assert town.close() == "ok"
    assert town.finalize() == "ok"
    assert town.publish(1) == "already final"


def test_shares_after_the_secret_are_kept(town):
    town.begin().end(1, 2, 3)
    assert town.publish(4) == "ok"
    assert get_secret(town) == town.SECRET


def test_the_last_ballot_of_a_group_counts(voted, name_to_key):
    voted.end()
    assert voted.resolve("eve", "eve 2", "eve 3", "eve 1") == "ok"
    assert voted.counters.superseded == 1
    assert election.get_ballot(voted.ledger, 1, name_to_key("eve 1")).status == SUPERSEDED
    assert voted.decrypt({"ann": 1, "bob": 3, "eve 1": 2, "eve 2": 4}) == "ok"
    assert voted.failures == ["superseded"]
    assert election.get_tally(voted.ledger, 1, 1) == (0, 1, 0, 1, 1)
    assert voted.finalize() == "ok"


def test_resolving_again_changes_nothing(voted):
    voted.end()
    for _ in range(2):
        assert voted.resolve("eve", "eve 1", "eve 2") == "ok"
    assert voted.counters.superseded == 1
    assert voted.failures == []


def test_a_key_twice_in_its_group_is_one_ballot(voted):
    voted.end()
    assert voted.resolve("eve", "eve 2", "eve 2") == "ok"
    assert voted.counters.superseded == 0


def test_a_group_resolves_under_the_secret_of_its_commitments_only(voted):
    voted.end()
    assert voted.resolve("other", "eve 1", "eve 2") == "ok"
    assert voted.resolve("eve", "eve 1", "ann") == "ok"
    assert voted.resolve("eve", "eve 1", "zoe") == "ok"
    assert voted.failures == ["wrong secret", "wrong secret", "unknown key"]
    assert voted.counters.superseded == 0


def test_a_group_of_which_a_ballot_is_open_is_not_resolved(voted):
    voted.end()
    assert voted.decrypt({"eve 2": 4}) == "ok"
    assert voted.resolve("eve", "eve 1", "eve 2") == "ok"
    assert voted.failures == ["already decrypted"]


def test_one_failed_group_does_not_stop_the_next(voted, name_to_key):
    voted.end()
    keys = [name_to_key(name) for name in ("eve 1", "eve 2")]
    groups = [(name_to_key("wrong"), keys), (name_to_key("eve"), keys)]
    payload = election.make_resolve_revotes(1, groups)
    assert voted.send(election.RESOLVE_REVOTES, payload) == "ok"
    assert voted.failures == ["wrong secret"]
    assert voted.counters.superseded == 1


def test_resolving_is_after_the_close_and_before_the_end(town):
    assert town.resolve("eve", "eve 1", "eve 2") == "unknown voting"
    assert town.begin().resolve("eve", "eve 1", "eve 2") == "not closed"
    assert town.close() == "ok"
    assert town.resolve("eve", "eve 1", "eve 2", sender=STRANGER) == "not allowed"
    assert town.finalize() == "ok"
    assert town.resolve("eve", "eve 1", "eve 2") == "already final"


def test_each_ballot_is_opened_and_counted_once(voted, name_to_key):
    voted.end()
    assert voted.decrypt({"ann": 1}) == "ok"
    assert voted.decrypt({"ann": 1}) == "ok"
    assert voted.failures == ["already decrypted"]
    assert voted.counters.decrypted == 1
    assert voted.opener.opened == 1
    ballot = election.get_ballot(voted.ledger, 1, name_to_key("ann"))
    assert (ballot.status, ballot.choice) == (DECRYPTED, 1)


def test_a_key_twice_in_one_batch_is_counted_once(voted, name_to_key):
    voted.end()
    payload = election.make_decrypt_ballots(
        1, [name_to_key("ann")] * 2, [election.encode_choice(1)] * 2
    )
    assert voted.send(election.DECRYPT_BALLOTS, payload) == "ok"
    assert voted.failures == ["already decrypted"]
    assert election.get_tally(voted.ledger, 1, 1) == (0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "claim",
    [2, 0, b"\0\1" + b"\1" * 14, b"\xff" * 16],
    ids=["other", "spoiled", "tail", "junk"],
)
def test_a_false_claim_leaves_the_ballot_as_it_was(voted, claim):
    voted.end()
    assert voted.decrypt({"ann": claim}) == "ok"
    assert voted.failures == ["mismatch"]
    assert voted.counters.pending == 4
    assert election.get_tally(voted.ledger, 1, 1) == ()
    assert voted.decrypt({"ann": 1}) == "ok"
    assert voted.counters.decrypted == 1


def test_a_ballot_that_does_not_open_is_spoiled_and_nothing_else(town, name_to_key):
    town.begin()
    assert town.add_key("ann") == "ok"
    assert town.cast("ann", 1, public=name_to_key("not the election's")) == "ok"
    town.end()
    assert town.decrypt({"ann": 1}) == "ok"
    assert town.failures == ["mismatch"]
    assert town.decrypt({"ann": election.SPOILT}) == "ok"
    assert town.counters.spoiled == 1
    assert election.get_ballot(town.ledger, 1, name_to_key("ann")).status == SPOILED
    assert election.get_tally(town.ledger, 1, 1) == (1, 0, 0, 0, 0)
    assert town.finalize() == "ok"


@pytest.mark.parametrize("box_public", [bytes(32), b"\1" + bytes(31), b"\xff" * 32])
def test_a_box_from_a_degenerate_key_is_spoiled(town, name_to_key, box_public):
    town.begin()
    assert town.add_key("ann") == "ok"
    _, nonce, box = town.seal("ann", 1)
    payload = election.make_store_ballot(1, 1, box_public, nonce, box)
    assert town.send(election.STORE_BALLOT, payload, name_to_key("ann")) == "ok"
    town.end()
    assert town.decrypt({"ann": election.SPOILT}) == "ok"
    assert town.counters.spoiled == 1


@pytest.mark.parametrize("choice", [0, 5, 255])
def test_a_choice_that_the_voting_does_not_have_is_spoiled(town, choice):
    town.begin()
    assert town.add_key("ann") == "ok"
    assert town.cast("ann", choice) == "ok"
    town.end()
    if choice:
        assert town.decrypt({"ann": choice}) == "ok"
        assert town.failures == ["mismatch"]
    assert town.decrypt({"ann": election.SPOILT}) == "ok"
    assert town.counters.spoiled == 1


def test_only_cast_ballots_of_known_keys_are_opened(voted):
    voted.end()
    assert voted.decrypt({"eve 3": 1, "zoe": 1, "bob": 3}) == "ok"
    assert voted.failures == ["not cast", "unknown key"]
    assert voted.counters.decrypted == 1


def test_opening_is_after_the_close_and_before_the_end(town):
    assert town.decrypt({"ann": 1}) == "unknown voting"
    assert town.begin().decrypt({"ann": 1}) == "not closed"
    town.end()
    assert town.decrypt({"ann": 1}, sender=STRANGER) == "not allowed"
    assert town.finalize() == "ok"
    assert town.decrypt({"ann": 1}) == "already final"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (election.PUBLISH_SHARE, [1, 1, bytes(31)]),
        (election.PUBLISH_SHARE, [1, "1", bytes(32)]),
        (election.PUBLISH_SHARE, [1, 1]),
        (election.RESOLVE_REVOTES, [1, []]),
        (election.RESOLVE_REVOTES, [1, [[bytes(32), bytes(32)]]]),
        (election.RESOLVE_REVOTES, [1, [[bytes(32), bytes(65)]]]),
        (election.RESOLVE_REVOTES, [1, [[bytes(31), bytes(64)]]]),
        (election.RESOLVE_REVOTES, [1, [bytes(32), bytes(64)]]),
        (election.RESOLVE_REVOTES, [1, [[bytes(32), bytes(64)]] * 101]),
        (election.RESOLVE_REVOTES, [1, [[bytes(32), bytes(64)], 7]]),
        (election.DECRYPT_BALLOTS, [1, b"", b""]),
        (election.DECRYPT_BALLOTS, [1, bytes(33), bytes(16)]),
        (election.DECRYPT_BALLOTS, [1, bytes(32), bytes(17)]),
        (election.DECRYPT_BALLOTS, [1, bytes(32 * 1001), bytes(16 * 1001)]),
        (election.DECRYPT_BALLOTS, [1, bytes(32)]),
    ],
)
def test_a_malformed_payload_is_a_bad_payload(voted, kind, payload):
    voted.end()
    assert voted.send(kind, payload) == "bad payload"
