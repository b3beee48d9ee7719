"""Who is linked to this node, and who is given a final block.

Final blocks flow from f + 1 validators to their relays and from there along a mesh of relays
and observers (GossipSub v1.2's eager push with IDONTWANT, whose copies the host spares).
Ballots are never gossiped to citizens' nodes: it would show who votes when.
"""

from node.block import Header
from node.consensus.quorum import compute_faults
from node.inputs import PeerJoined, Role
from node.types import PeerHandle, PublicKey


def is_spreader(header: Header, validator: PublicKey) -> bool:
    """Whether this validator hands a block on to relays: the proposer and the f after it do.

    One of any f + 1 is honest. All would send as many versions of a block as there are sets of
    seals; a relay linked to none of them has it from the mesh a hop later.
    """
    validators = header.validators
    if validator not in validators:
        return False
    behind = validators.index(validator) - validators.index(header.proposer)
    return behind % len(validators) <= compute_faults(len(validators))


class Gossip:
    """The links of one node, in the order in which they came up."""

    __slots__ = ("_excluding", "_onward", "_peers", "validators", "validators_by_key")

    def __init__(self) -> None:
        self._peers: dict[PeerHandle, PeerJoined] = {}
        self._onward: tuple[PeerHandle, ...] = ()
        self._excluding: dict[PeerHandle, tuple[PeerHandle, ...]] = {}
        self.validators: tuple[PeerHandle, ...] = ()
        self.validators_by_key: dict[PublicKey, PeerHandle] = {}

    def upon_joined(self, joined: PeerJoined) -> None:
        """A link is up."""
        self._peers[joined.peer] = joined
        self._settle()

    def upon_left(self, peer: PeerHandle) -> None:
        """A link is gone."""
        self._peers.pop(peer, None)
        self._settle()

    def get_role(self, peer: PeerHandle) -> Role | None:
        """The role of a linked peer, None for a stranger."""
        joined = self._peers.get(peer)
        return None if joined is None else joined.role

    def get_onward(self, source: PeerHandle | None) -> tuple[PeerHandle, ...]:
        """Those to give a block that came from ``source``: relays and observers but it."""
        if source is None:
            return self._onward
        onward = self._excluding.get(source)
        if onward is None:
            onward = tuple(peer for peer in self._onward if peer != source)
            if source in self._peers:
                self._excluding[source] = onward
        return onward

    def _settle(self) -> None:
        peers = self._peers.values()
        self._onward = tuple(p.peer for p in peers if p.role is not Role.VALIDATOR)
        self._excluding = {}
        linked = [p for p in peers if p.role is Role.VALIDATOR]
        self.validators = tuple(p.peer for p in linked)
        self.validators_by_key = {p.identity: p.peer for p in linked}

    def compute_digest(self) -> bytes:
        """Names everything this object would act upon."""
        return repr(list(self._peers)).encode()
