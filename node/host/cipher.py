"""What libsodium does for links: X25519 agreement and one-way encrypted streams.

The only module of the host that knows PyNaCl. A stream is libsodium's *secretstream*
(XChaCha20-Poly1305): records open in the order in which they were sealed, or not at all, so
that a record that is dropped, repeated, swapped or changed ends the stream.
"""

from typing import NamedTuple

from nacl import bindings
from nacl.exceptions import CryptoError

from node.host.errors import LinkBroken

SEED_BYTES = 32
PUBLIC_BYTES = 32
STREAM_KEY_BYTES = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
STREAM_HEADER_BYTES = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
SEAL_OVERHEAD_BYTES = bindings.crypto_secretstream_xchacha20poly1305_ABYTES

_TAG_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_TAG_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_TAG_REKEY = bindings.crypto_secretstream_xchacha20poly1305_TAG_REKEY
# Whoever takes the keys out of memory cannot read what was said this many records earlier.
_REKEY_RECORDS = 4096


class Ephemeral:
    """An X25519 key pair for one handshake; it never prints its secret."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES
        self._secret = seed
        self.public = bindings.crypto_scalarmult_base(seed)

    def agree(self, other: bytes) -> bytes | None:
        """The secret shared with whoever holds ``other``; None for a point of low order."""
        assert len(other) == PUBLIC_BYTES
        try:
            return bindings.crypto_scalarmult(self._secret, other)
        except CryptoError:
            return None


class Opened(NamedTuple):
    """What a record held, and whether it is the last of its stream."""

    plain: bytes
    is_last: bool


class Sealer:
    """The sending end of a stream; the other end needs ``header`` first."""

    __slots__ = ("_records", "_state", "header")

    def __init__(self, key: bytes) -> None:
        assert len(key) == STREAM_KEY_BYTES
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        self.header = bindings.crypto_secretstream_xchacha20poly1305_init_push(
            self._state, key
        )
        self._records = 0

    def seal(self, plain: bytes, *, is_last: bool = False) -> bytes:
        """The next record, SEAL_OVERHEAD_BYTES longer than ``plain``."""
        self._records += 1
        tag = _TAG_MESSAGE if self._records % _REKEY_RECORDS else _TAG_REKEY
        if is_last:
            tag = _TAG_FINAL
        return bindings.crypto_secretstream_xchacha20poly1305_push(
            self._state, plain, tag=tag
        )


class Opener:
    """The receiving end of a stream."""

    __slots__ = ("_state",)

    def __init__(self, key: bytes, header: bytes) -> None:
        assert len(key) == STREAM_KEY_BYTES
        assert len(header) == STREAM_HEADER_BYTES
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def open(self, sealed: bytes) -> Opened:
        """What the next record holds. Raises LinkBroken("forged record") if it is not next."""
        if len(sealed) < SEAL_OVERHEAD_BYTES:
            raise LinkBroken("forged record")
        try:
            plain, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                self._state, sealed
            )
        except CryptoError as error:
            raise LinkBroken("forged record") from error
        return Opened(plain, tag == _TAG_FINAL)
