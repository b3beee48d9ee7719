"""The city's keys, derived from the run's seed, and the genesis that they make."""

from node.crypto import Identity, digest
from node.params import Genesis, Params
from node.types import PublicKey
from sim.topology import Topology


def derive_secret(seed: int, purpose: str, number: int = 0) -> bytes:
    """32 bytes that belong to ``purpose``; the same seed gives the same ones."""
    # numbers of fixed width before the free text: no two triples have the same bytes
    content = seed.to_bytes(8, "big") + number.to_bytes(8, "big") + purpose.encode()
    return digest(b"identity", content)


def derive_identity(seed: int, purpose: str, number: int = 0) -> Identity:
    """The key pair for ``purpose``."""
    return Identity(derive_secret(seed, purpose, number))


def derive_secrets(seed: int, topology: Topology) -> dict[PublicKey, bytes]:
    """What the peers' key pairs are made from, by their public keys: for key files."""
    secrets = [derive_secret(seed, peer.role.value, peer.index) for peer in topology.peers]
    found = {Identity(secret).public: secret for secret in secrets}
    assert len(found) == len(topology.peers), "nobody shares a key"
    return found


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
