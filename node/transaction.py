"""A transaction: who asks which service for what, signed.

Wire form: ``[body, signature]``, both byte strings; body is the canonical encoding of
``[chain_id, kind, sender, nonce, payload]``. The id is the digest of the body and does not
cover the signature, so that a malleable signature could not make two ids (ePrint 2020/1244).
"""

from typing import Final, NamedTuple

from node.codec import Value, decode, encode
from node.crypto import Identity, digest
from node.errors import InvalidEncoding, InvalidTransaction
from node.types import (
    CHAIN_ID_BYTES,
    KEY_BYTES,
    SIGNATURE_BYTES,
    Digest,
    PublicKey,
    Signature,
)

NONCE_END: Final = 2**53


class Transaction(NamedTuple):
    """One decoded transaction; ``encoded`` are the bytes from which it came.

    A tuple, for it is made of every transaction's bytes: a frozen dataclass takes four times as
    long to make.
    """

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
        outer = decode(encoded, bytes_max, 3)
        if type(outer) is not list or len(outer) != 2:
            raise InvalidTransaction("encoding", "not [body, signature]")
        body, signature = outer
        if (
            type(body) is not bytes
            or type(signature) is not bytes or len(signature) != SIGNATURE_BYTES
        ):
            raise InvalidTransaction("encoding", "not [body, signature]")
        fields = decode(body, bytes_max)
    except InvalidEncoding as error:
        raise InvalidTransaction("encoding", str(error)) from error
    if type(fields) is not list or len(fields) != 5:
        raise InvalidTransaction("encoding", "body is not of five fields")
    chain_id, kind, sender, nonce, payload = fields
    # Class patterns would say this in two lines, in four of the eight microseconds that a
    # ballot's decoding took.
    if (
        type(chain_id) is not bytes or len(chain_id) != CHAIN_ID_BYTES
        or type(kind) is not int
        or type(sender) is not bytes or len(sender) != KEY_BYTES
        or type(nonce) is not int or not 0 <= nonce < NONCE_END
        or type(payload) is not list
    ):
        raise InvalidTransaction("encoding", "not [chain, kind, sender, nonce, payload]")
    return Transaction(
        compute_transaction_id(body), chain_id, kind, sender, nonce, payload, signature, encoded
    )
