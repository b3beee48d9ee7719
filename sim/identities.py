"""The city's keys, derived from the run's seed, and the genesis that they make."""

from node.crypto import Identity, digest
from node.params import Genesis, Params
from sim.topology import Topology


def derive_identity(seed: int, purpose: str, number: int = 0) -> Identity:
    """The key pair for ``purpose``; the same seed gives the same one."""
    # numbers of fixed width before the free text: no two triples have the same bytes
    content = seed.to_bytes(8, "big") + number.to_bytes(8, "big") + purpose.encode()
    return Identity(digest(b"identity", content))


def derive_identities(seed: int, topology: Topology) -> list[Identity]:
    """One per peer. Validators stand in ascending order of their keys, as in every header."""
    identities = [
        derive_identity(seed, peer.role.value, peer.index) for peer in topology.peers
    ]
    count = topology.config.validators
    identities[:count] = sorted(identities[:count], key=lambda identity: identity.public)
    return identities


def make_genesis(
    topology: Topology, identities: list[Identity], registrar: Identity, params: Params,
    time_ns: int,
) -> Genesis:
    """The genesis of a city; ``time_ns`` is block 0's timestamp, by true clocks."""
    assert len(identities) == len(topology.peers)
    return Genesis(
        params=params,
        validators=tuple(identities[index].public for index in topology.validators),
        relays=tuple(identities[index].public for index in topology.relays),
        registrar=registrar.public,
        time_ns=time_ns,
    )
