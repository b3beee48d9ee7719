"""Every kind of transaction: its number, its name, its handler.

The one place that knows all services. A service's kinds are accepted once the registrar has
enabled it by name ("service not enabled" before); identity's own are there from the start.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from node.errors import Refused
from node.ledger import Ledger
from node.services import auctions, election, fairs, identity
from node.services.call import Call, Handler


class Kind(NamedTuple):
    """``name`` is that of the deed: "store_ballot"."""

    name: str
    handler: Handler


_SERVICES: tuple[tuple[str, dict[int, Handler]], ...] = (
    ("election", election.HANDLERS),
    ("fairs", fairs.HANDLERS),
    ("auctions", auctions.HANDLERS),
)


def _make_gated(service: str, handler: Handler) -> Handler:
    key = identity.make_service_key(service)

    def process(ledger: Ledger, call: Call) -> None:
        if ledger.get(key) is None:
            raise Refused("service not enabled")
        handler(ledger, call)

    return process


def _make_kinds() -> dict[int, Kind]:
    kinds = {
        number: Kind(_make_name(handler), handler)
        for number, handler in identity.HANDLERS.items()
    }
    for service, handlers in _SERVICES:
        for number, handler in handlers.items():
            assert number not in kinds, number
            kinds[number] = Kind(_make_name(handler), _make_gated(service, handler))
    return kinds


def _make_name(handler: Handler) -> str:
    name: str = handler.__name__
    assert name.startswith("process_"), name
    return name.removeprefix("process_")


KINDS: Final[Mapping[int, Kind]] = _make_kinds()
HANDLERS: Final[Mapping[int, Handler]] = {
    number: kind.handler for number, kind in KINDS.items()
}
SELF_ORDERED: Final[frozenset[int]] = election.SELF_ORDERED
SERVICES: Final = tuple(service for service, _ in _SERVICES)
"""Names for EnableService."""
