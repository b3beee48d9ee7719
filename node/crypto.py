"""Ed25519 signatures, NaCl boxes and hashes, all by libsodium and OpenSSL.

libsodium refuses small-order keys, signatures with S at or above the group order (S + L), and
non-canonical points; tests hold it to that. Keys come from seeds that the caller provides: this
module draws no entropy.
"""

from hashlib import sha256
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError, CryptoError

from node.compiling import mypyc_attr
from node.types import Digest, PublicKey, Signature

SEED_BYTES: Final = 32
NONCE_BYTES: Final = bindings.crypto_box_NONCEBYTES
BOX_OVERHEAD_BYTES: Final = 16


def digest(domain: bytes, content: bytes) -> Digest:
    """SHA-256 of ``content`` under a domain, so that no encoding stands for two things."""
    return sha256(b"veche/" + domain + b"\0" + content).digest()


@mypyc_attr(allow_interpreted_subclasses=True)
class Identity:
    """An Ed25519 key pair made from a 32-byte seed; it never prints its secret."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES
        self.public: PublicKey
        self.public, self._secret = bindings.crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> Signature:
        """The 64-byte signature of ``message``."""
        return bindings.crypto_sign(message, self._secret)[:64]

    def __repr__(self) -> str:
        return f"Identity({self.public.hex()[:12]})"


def is_signature_valid(key: PublicKey, message: bytes, signature: Signature) -> bool:
    """Whether ``signature`` is Ed25519 by ``key`` over ``message``; never raises for bytes."""
    if len(key) != 32 or len(signature) != 64:
        return False
    try:
        bindings.crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def make_box_keys(seed: bytes) -> tuple[bytes, bytes]:
    """(public, secret) Curve25519 keys from a 32-byte seed."""
    public, secret = bindings.crypto_box_seed_keypair(seed)
    return public, secret


def seal_box(plain: bytes, nonce: bytes, recipient: bytes, secret: bytes) -> bytes:
    """NaCl box (curve25519-xsalsa20-poly1305) of ``plain``; 16 bytes longer than it."""
    assert len(nonce) == NONCE_BYTES
    return bindings.crypto_box(plain, nonce, recipient, secret)


def open_box(box: bytes, nonce: bytes, sender: bytes, secret: bytes) -> bytes | None:
    """What a NaCl box holds, or None if it is not one for this secret."""
    if len(nonce) != NONCE_BYTES or len(sender) != 32 or len(box) < BOX_OVERHEAD_BYTES:
        return None
    try:
        return bindings.crypto_box_open(box, nonce, sender, secret)
    except (CryptoError, ValueError):
        return None


def derive_box_public(secret: bytes) -> bytes:
    """The Curve25519 public key that belongs to a 32-byte secret."""
    return bindings.crypto_scalarmult_base(secret)
