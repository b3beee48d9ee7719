"""Names for the bytes and numbers that cross the node's door."""

from typing import NamedTuple, TypeAlias

Digest: TypeAlias = bytes
"""SHA-256 of a domain tag and an encoding, 32 bytes."""

PublicKey: TypeAlias = bytes
"""Ed25519 public key, 32 bytes."""

Signature: TypeAlias = bytes
"""Ed25519 signature, 64 bytes."""

PeerHandle: TypeAlias = int
"""A host's name for one link; the node never interprets it."""

DIGEST_BYTES = 32
KEY_BYTES = 32
SIGNATURE_BYTES = 64
CHAIN_ID_BYTES = 8


class Now(NamedTuple):
    """The two clocks of one host, in nanoseconds.

    Timers use ``monotonic_ns``; block timestamps and slots use ``realtime_ns``, which may
    be wrong and may drift between peers.
    """

    monotonic_ns: int
    realtime_ns: int
