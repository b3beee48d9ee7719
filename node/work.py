"""What a node computes that is a pure function of bytes, behind one replaceable door.

A host that runs many nodes in one process passes a ``Work`` that remembers results by
content; each node still reports ``Worked`` effects for all that it would have computed alone.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final, TypeVar, TypeVarTuple

from node.compiling import mypyc_attr
from node.crypto import Identity, is_signature_valid, open_box
from node.types import Signature

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class WorkKind(IntEnum):
    """Kinds of work that a host may charge time for; the unit stands behind each name."""

    CHECK_SIGNATURE = 0  # one Ed25519 check
    SIGN = 1  # one Ed25519 signature
    OPEN_BOX = 2  # one NaCl box opened
    DECODE_BYTES = 3  # bytes of canonical msgpack decoded
    HASH_BYTES = 4  # bytes hashed
    EXECUTE = 5  # transactions executed, any kind
    STATE_WRITE = 6  # records written and their share of the state root
    HANDLE = 7  # messages dispatched, and transactions put into a mempool
    DISK_BYTES = 8  # bytes written before a sync
    DISK_SYNC = 9  # syncs awaited
    SERVE_READ = 10  # read requests answered
    ADMIT = 11  # clients' transactions taken in by a relay's host
    INDEX = 12  # receipts put where clients can ask for them
    REQUEST = 13  # HTTP requests answered, apart from what they ask for
    LINK_BYTES = 14  # bytes of frames carried over a link


@mypyc_attr(allow_interpreted_subclasses=True)
class Work:
    """Computes everything itself. A host in virtual time passes one that remembers."""

    __slots__ = ()

    def check_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the Ed25519 signature holds."""
        return is_signature_valid(key, message, signature)

    def sign(self, identity: Identity, message: bytes) -> Signature:
        """The signature of ``message``, which other nodes will soon check."""
        return identity.sign(message)

    def open_box(self, box: bytes, nonce: bytes, sender: bytes, secret: bytes) -> bytes | None:
        """What the NaCl box holds, or None."""
        return open_box(box, nonce, sender, secret)

    def once(
        self, function: Callable[[*Arguments], Result], key: bytes, *arguments: *Arguments
    ) -> Result:
        """``function(*arguments)``, which must be determined by ``key`` alone, errors too."""
        return function(*arguments)


ALONE: Final = Work()
"""For whoever shares nothing."""
