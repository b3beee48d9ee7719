import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services import identity
from node.services.catalogue import HANDLERS
from node.services.identity import (
    ENABLE_SERVICE,
    GRANT_RIGHT,
    LOCK_SERVICES,
    REVOKE_RIGHT,
    is_locked,
    is_service_enabled,
    make_enable_service,
    make_grant_right,
    make_lock_services,
    make_revoke_right,
)

CLERK = b"c" * 32
OTHER = b"o" * 32


@pytest.fixture
def clerk(town):
    """A town in which the clerk administers too."""
    assert town.send(GRANT_RIGHT, make_grant_right(CLERK, "administer")) == "ok"
    return town


def test_the_registrar_starts_with_every_right_and_others_with_none(town):
    for right in ("administer", "register", "issue", "decrypt", "allocate"):
        assert town.send(GRANT_RIGHT, make_grant_right(OTHER, right)) == "ok"
    assert town.send(GRANT_RIGHT, make_grant_right(OTHER, "issue"), CLERK) == "not allowed"


def test_a_granted_right_can_be_used_and_a_revoked_one_not(town):
    town.begin(0)
    assert town.issue(0, sender=CLERK) == "not allowed"
    assert town.send(GRANT_RIGHT, make_grant_right(CLERK, "issue")) == "ok"
    assert town.issue(0, sender=CLERK) == "ok"
    assert town.send(REVOKE_RIGHT, make_revoke_right(CLERK, "issue")) == "ok"
    assert town.issue(1, sender=CLERK) == "not allowed"


def test_one_right_does_not_bring_another(town):
    assert town.send(GRANT_RIGHT, make_grant_right(CLERK, "decrypt")) == "ok"
    town.begin(0)
    assert town.issue(0, sender=CLERK) == "not allowed"


def test_the_registrars_rights_can_be_revoked_one_by_one_and_granted_again(clerk):
    registrar = clerk.REGISTRAR
    assert clerk.send(REVOKE_RIGHT, make_revoke_right(registrar, "issue"), CLERK) == "ok"
    clerk.begin(0)
    assert clerk.issue(0) == "not allowed"
    assert clerk.send(GRANT_RIGHT, make_grant_right(registrar, "issue"), CLERK) == "ok"
    assert clerk.issue(0) == "ok"


def test_nobody_revokes_their_own_administration(clerk):
    revoke = make_revoke_right(CLERK, "administer")
    assert clerk.send(REVOKE_RIGHT, revoke, CLERK) == "own right"
    assert clerk.send(REVOKE_RIGHT, revoke) == "ok"
    assert clerk.send(REVOKE_RIGHT, revoke, CLERK) == "not allowed"


def test_a_service_is_refused_until_it_is_enabled(town):
    town.ledger.delete(identity.make_service_key("election"))
    town.ledger.keep()
    assert not is_service_enabled(town.ledger, "election")
    assert town.create() == "service not enabled"
    assert town.cast("ann", 1) == "service not enabled"
    assert town.send(ENABLE_SERVICE, make_enable_service("election")) == "ok"
    assert town.create() == "ok"


def test_a_service_is_enabled_once(town):
    assert town.send(ENABLE_SERVICE, make_enable_service("fairs")) == "ok"
    assert is_service_enabled(town.ledger, "fairs")
    assert town.send(ENABLE_SERVICE, make_enable_service("fairs")) == "already enabled"


def test_after_the_lock_no_service_is_added_and_no_administrator_made(clerk):
    assert clerk.send(LOCK_SERVICES, make_lock_services()) == "ok"
    assert is_locked(clerk.ledger)
    assert clerk.send(ENABLE_SERVICE, make_enable_service("fairs")) == "locked"
    assert clerk.send(GRANT_RIGHT, make_grant_right(OTHER, "administer")) == "locked"
    assert clerk.send(LOCK_SERVICES, make_lock_services()) == "locked"


def test_after_the_lock_the_city_goes_on(clerk):
    assert clerk.send(LOCK_SERVICES, make_lock_services()) == "ok"
    assert clerk.send(GRANT_RIGHT, make_grant_right(OTHER, "issue")) == "ok"
    assert clerk.send(REVOKE_RIGHT, make_revoke_right(CLERK, "administer")) == "ok"
    assert clerk.create() == "ok"


@pytest.mark.parametrize("kind", [GRANT_RIGHT, REVOKE_RIGHT])
@pytest.mark.parametrize(
    "payload",
    [
        [], [CLERK], [CLERK, "fly"], [CLERK[1:], "issue"], [CLERK, b"issue"],
        [CLERK, "issue", 0], ["c" * 32, "issue"],
    ],
)
def test_a_malformed_right_is_a_bad_payload(town, kind, payload):
    assert town.send(kind, payload) == "bad payload"


@pytest.mark.parametrize("payload", [[], [""], ["x" * 33], ["ярмарки"], [b"fairs"], ["a", "b"]])
def test_a_malformed_service_name_is_a_bad_payload(town, payload):
    assert town.send(ENABLE_SERVICE, payload) == "bad payload"


def test_the_lock_takes_no_payload(town):
    assert town.send(LOCK_SERVICES, [1]) == "bad payload"


def test_only_an_administrator_locks_enables_and_revokes(town):
    assert town.send(LOCK_SERVICES, make_lock_services(), CLERK) == "not allowed"
    assert town.send(ENABLE_SERVICE, make_enable_service("fairs"), CLERK) == "not allowed"
    revoke = make_revoke_right(OTHER, "issue")
    assert town.send(REVOKE_RIGHT, revoke, CLERK) == "not allowed"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_some_administrator_always_remains_whatever_is_sent(new_town, data):
    town = new_town()
    people = [town.REGISTRAR, CLERK, OTHER]
    for _ in range(data.draw(st.integers(1, 12))):
        kind = data.draw(st.sampled_from([GRANT_RIGHT, REVOKE_RIGHT]))
        payload = [data.draw(st.sampled_from(people)), "administer"]
        before = town.get_records()
        if town.send(kind, payload, data.draw(st.sampled_from(people))) != "ok":
            assert town.get_records() == before
    assert "ok" in [
        town.send(GRANT_RIGHT, make_grant_right(OTHER, "issue"), person) for person in people
    ]


def test_identity_needs_no_enabling():
    assert HANDLERS[GRANT_RIGHT] is identity.process_grant_right
