"""Names for the bytes and numbers that cross the node's door."""

from typing import Final, TypeAlias, final

from node.compiling import mypyc_attr

Digest: TypeAlias = bytes
"""SHA-256 of a domain tag and an encoding, 32 bytes."""

PublicKey: TypeAlias = bytes
"""Ed25519 public key, 32 bytes."""

Signature: TypeAlias = bytes
"""Ed25519 signature, 64 bytes."""

PeerHandle: TypeAlias = int
"""A host's name for one link; the node never interprets it."""

DIGEST_BYTES: Final = 32
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
CHAIN_ID_BYTES: Final = 8


@final
@mypyc_attr(acyclic=True)
class Now:
    """The two clocks of one host, in nanoseconds.

    Timers use ``monotonic_ns``; block timestamps and slots use ``realtime_ns``, which may
    be wrong and may drift between peers.
    """

    __slots__ = ("monotonic_ns", "realtime_ns")
    __match_args__ = ("monotonic_ns", "realtime_ns")

    # written out: it is made millions of times, and a dataclass or tuple takes longer
    def __init__(self, monotonic_ns: int, realtime_ns: int) -> None:
        self.monotonic_ns: Final = monotonic_ns
        self.realtime_ns: Final = realtime_ns

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Now):
            return NotImplemented
        mine = self.monotonic_ns, self.realtime_ns
        return mine == (other.monotonic_ns, other.realtime_ns)

    def __hash__(self) -> int:
        return self.monotonic_ns

    def __repr__(self) -> str:
        return f"Now({self.monotonic_ns}, {self.realtime_ns})"
