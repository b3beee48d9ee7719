"""What a service's handler is given besides the ledger, and checks that services share."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from node.codec import Value
from node.errors import Refused
from node.ledger import Ledger
from node.types import Digest, PublicKey


class Opener(Protocol):
    """Opens NaCl boxes; a host that runs many nodes remembers what it has opened."""

    def open_box(
        self, box: bytes, nonce: bytes, sender: bytes, secret: bytes
    ) -> bytes | None: ...


class Call(NamedTuple):
    """One transaction on its way to its handler.

    ``height`` and ``time_ns`` are those of the block that carries it; ``sequence`` is its place
    in the whole chain's order (height * 2**20 + index in the block): unique and ascending.
    ``is_registrar`` tells whether the sender is the registrar of genesis.
    """

    kind: int
    sender: PublicKey
    payload: list[Value]
    transaction_id: Digest
    height: int
    time_ns: int
    sequence: int
    is_registrar: bool
    opener: Opener


Handler: TypeAlias = Callable[[Ledger, Call], None]
"""Changes the ledger or raises Refused(reason). A payload of the wrong shape is
Refused("bad payload"). Checks come first, writes last."""


def require_registrar(call: Call) -> None:
    """Raise Refused("not allowed") unless the registrar is the sender."""
    if not call.is_registrar:
        raise Refused("not allowed")
