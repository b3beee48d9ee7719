"""A transaction: who asks which service for what, signed.

Wire form: ``[body, signature]``, both byte strings; body is the canonical encoding of
``[chain_id, kind, sender, nonce, payload]``. The id is the digest of the body and does not
cover the signature, so that a malleable signature could not make two ids (ePrint 2020/1244).
"""

from dataclasses import dataclass

from node.codec import Value, decode, encode
from node.crypto import Identity, digest
from node.errors import InvalidEncoding, InvalidTransaction
from node.types import CHAIN_ID_BYTES, Digest, PublicKey, Signature


@dataclass(frozen=True, slots=True)
class Transaction:
    """One decoded transaction; ``encoded`` are the bytes from which it came."""

    id: Digest
    chain_id: bytes
    kind: int
    sender: PublicKey
    nonce: int
    payload: list[Value]
    signature: Signature
    encoded: bytes


def make_transaction(
    identity: Identity, chain_id: bytes, kind: int, nonce: int, payload: list[Value]
) -> bytes:
    """A signed transaction, encoded."""
    body = encode([chain_id, kind, identity.public, nonce, payload])
    signature = identity.sign(compute_transaction_id(body))
    return encode([body, signature])


def compute_transaction_id(body: bytes) -> Digest:
    """The digest by which receipts and proofs name a transaction."""
    return digest(b"transaction", body)


def decode_transaction(encoded: bytes, bytes_max: int) -> Transaction:
    """The transaction in ``encoded``; its signature is not checked here.

    Raises InvalidTransaction("encoding") for anything that is not one, bit for bit.
    """
    try:
        match decode(encoded, bytes_max):
            case [bytes(body), bytes(signature)] if len(signature) == 64:
                pass
            case _:
                raise InvalidTransaction("encoding", "not [body, signature]")
        fields = decode(body, bytes_max)
    except InvalidEncoding as error:
        raise InvalidTransaction("encoding", str(error)) from error
    match fields:
        case [bytes(chain_id), int(kind), bytes(sender), int(nonce), list(payload)] if (
            len(chain_id) == CHAIN_ID_BYTES and len(sender) == 32 and 0 <= nonce < 2**53
            and type(kind) is int and type(nonce) is int
        ):
            return Transaction(
                compute_transaction_id(body), chain_id, kind, sender, nonce, payload,
                signature, encoded,
            )
    raise InvalidTransaction("encoding", "body is not [chain, kind, sender, nonce, payload]")
