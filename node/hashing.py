"""Hashes that have a beginning in common."""

from typing import Protocol

from node.types import Digest


class Hash(Protocol):
    """What has begun to hash; hashlib's own class has no public name."""

    def copy(self) -> "Hash": ...
    def update(self, data: bytes | bytearray, /) -> None: ...
    def digest(self) -> Digest: ...


def hash_after(begun: Hash, content: bytes | bytearray) -> Digest:
    """The digest of what ``begun`` has seen, then ``content``.

    To begin anew costs more than to hash a record does.
    """
    hashed = begun.copy()
    hashed.update(content)
    return hashed.digest()
