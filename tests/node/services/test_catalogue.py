from node.services import auctions, election, fairs, identity
from node.services.catalogue import HANDLERS, KINDS, SELF_ORDERED, SERVICES


def test_every_kind_of_every_service_is_listed_once_by_name():
    services = (identity, election, fairs, auctions)
    assert sorted(KINDS) == sorted(kind for service in services for kind in service.HANDLERS)
    names = [kind.name for kind in KINDS.values()]
    assert len(names) == len(set(names))
    assert KINDS[26].name == "store_ballot"
    assert KINDS[10].name == "grant_right"


def test_handlers_are_those_of_the_kinds():
    assert dict(HANDLERS) == {number: kind.handler for number, kind in KINDS.items()}


def test_only_ballots_order_themselves():
    assert frozenset({election.STORE_BALLOT}) == SELF_ORDERED


def test_each_service_can_be_enabled_and_is_refused_before(town):
    assert SERVICES == ("election", "fairs", "auctions")
    for service, handlers in (("fairs", fairs.HANDLERS), ("auctions", auctions.HANDLERS)):
        for kind in handlers:
            assert town.send(kind, []) == "service not enabled"
        assert town.send(identity.ENABLE_SERVICE, identity.make_enable_service(service)) == "ok"
        for kind in handlers:
            assert town.send(kind, []) == "bad payload"
