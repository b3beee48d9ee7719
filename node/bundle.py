"""A bundle: the transactions that a relay checked and gathered, named by its digest.

Wire form: ``[body, signature]``; body is ``[chain_id, relay, sequence, [transaction...]]``.
Per-transaction work happens once at a relay and once at each validator; everyone else moves
digests (after Narwhal's batches).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.codec import Value, decode, encode, is_below
from node.crypto import Identity, digest
from node.errors import InvalidEncoding, InvalidMessage, InvalidTransaction
from node.params import Params
from node.transaction import Transaction, decode_transaction
from node.types import CHAIN_ID_BYTES, Digest, PublicKey, Signature
from node.work import ALONE, Work


@dataclass(frozen=True, slots=True)
class Bundle:
    """One decoded bundle; ``sequence`` grows with each that its relay publishes."""

    digest: Digest
    chain_id: bytes
    relay: PublicKey
    sequence: int
    transactions: tuple[Transaction, ...]
    signature: Signature
    encoded: bytes


def make_bundle(
    identity: Identity, chain_id: bytes, sequence: int, transactions: Sequence[bytes],
    work: Work = ALONE,
) -> bytes:
    """A signed bundle of encoded transactions, in their order of arrival."""
    assert transactions
    body = encode([chain_id, identity.public, sequence, tuple(transactions)])
    return encode([body, work.sign(identity, compute_bundle_digest(body))])


def compute_bundle_digest(body: bytes) -> Digest:
    """The name of a bundle; its signature is not part of it."""
    return digest(b"bundle", body)


def decode_bundle(encoded: bytes, params: Params, work: Work = ALONE) -> Bundle:
    """The bundle in ``encoded``; signatures are checked by ``validation.verify_bundle``.

    Raises InvalidMessage("bundle encoding") for what is not one: oversized, empty, of more
    than ``bundle_transactions_max`` transactions, or with one that is malformed.
    """
    # a relay sends as soon as it is over the limit, hence by less than one transaction
    bytes_max = params.bundle_bytes_max + params.transaction_bytes_max
    try:
        match decode(encoded, bytes_max, 8):
            case [bytes(body), bytes(signature)] if len(signature) == 64:
                pass
            case _:
                raise InvalidMessage("bundle encoding", "not [body, signature]")
        fields = decode(body, bytes_max, params.bundle_transactions_max + 8)
    except InvalidEncoding as error:
        raise InvalidMessage("bundle encoding", str(error)) from error
    match fields:
        case [bytes(chain_id), bytes(relay), sequence, list(items)] if (
            items and len(chain_id) == CHAIN_ID_BYTES and len(relay) == 32
            and is_below(sequence, 2**64)
        ):
            if len(items) > params.bundle_transactions_max:
                raise InvalidMessage("bundle encoding", "over bundle_transactions_max")
            return Bundle(
                compute_bundle_digest(body), chain_id, relay, sequence,
                _decode_items(items, params.transaction_bytes_max, work), signature, encoded,
            )
    raise InvalidMessage("bundle encoding", "body is not [chain, relay, sequence, items]")


def _decode_items(
    items: Sequence[Value], bytes_max: int, work: Work
) -> tuple[Transaction, ...]:
    transactions = []
    for item in items:
        if type(item) is not bytes:
            raise InvalidMessage("bundle encoding", "a transaction is not bytes")
        try:
            transactions.append(work.once(decode_transaction, item, item, bytes_max))
        except InvalidTransaction as error:
            raise InvalidMessage("bundle encoding", str(error)) from error
    return tuple(transactions)
