"""A receipt: what became of one transaction, committed to by the block's header."""

from dataclasses import dataclass
from typing import Final

from node.codec import decode, encode, is_below
from node.errors import InvalidEncoding, InvalidProof
from node.types import DIGEST_BYTES, Digest

OK: Final = "ok"
DUPLICATE: Final = "duplicate"
NONCE_GAP: Final = "nonce gap"
UNKNOWN_KIND: Final = "unknown kind"
BAD_PAYLOAD: Final = "bad payload"

_RECEIPT_BYTES_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class Receipt:
    """``status`` is "ok" or the reason why the transaction changed nothing."""

    transaction_id: Digest
    height: int
    index: int
    status: str


def encode_receipt(transaction_id: Digest, height: int, index: int, status: str) -> bytes:
    """Canonical ``[transaction_id, height, index, status]``, a leaf of the receipts root."""
    return encode([transaction_id, height, index, status])


def decode_receipt(encoded: bytes) -> Receipt:
    """Raises InvalidProof when ``encoded`` is not a receipt."""
    try:
        match decode(encoded, _RECEIPT_BYTES_MAX, 8):
            case [bytes(transaction_id), height, index, str(status)] if (
                len(transaction_id) == DIGEST_BYTES
                and is_below(height, 2**64) and is_below(index, 2**64)
            ):
                return Receipt(transaction_id, height, index, status)
    except InvalidEncoding as error:
        raise InvalidProof(f"receipt: {error}") from error
    raise InvalidProof("receipt: not [transaction_id, height, index, status]")
