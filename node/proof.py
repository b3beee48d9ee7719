"""A citizen's proofs, checked with nothing but the validator set and the chain's identity.

An inclusion proof shows that a transaction is in a final block and what became of it; a record
proof shows what the state held under a key after a final block, or that it held nothing. Both
begin with a header and the seals of a quorum. They say nothing about later blocks: whoever
wants to know a record as it is now looks at the header's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.block import Block, Seal, decode_header, decode_seals, make_block
from node.codec import Value, decode, encode, is_below
from node.consensus.seals import SignatureCheck, verify_seals
from node.crypto import is_signature_valid
from node.errors import InvalidBlock, InvalidEncoding, InvalidMessage, InvalidProof
from node.merkle import MerkleTree, verify_path
from node.receipt import Receipt, decode_receipt
from node.state import PROOF_BYTES_MAX, State, verify_record
from node.types import Digest, PublicKey

_BYTES_MAX = 2 * PROOF_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedHeader:
    """An encoded header, and the round and seals that make it final."""

    header: bytes
    round: int
    seals: tuple[Seal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """``receipt`` is number ``index`` of the ``count`` leaves of the header's receipts root."""

    sealed: SealedHeader
    receipt: bytes
    index: int
    count: int
    path: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordProof:
    """``value`` is the record under ``key`` by the header's state root; None: there is none."""

    sealed: SealedHeader
    key: bytes
    value: bytes | None
    path: bytes


def make_inclusion_proof(
    block: Block, receipts: Sequence[bytes], index: int
) -> InclusionProof:
    """The proof for transaction ``index`` of a final block with these ``receipts``."""
    tree = MerkleTree(receipts)
    assert tree.root == block.header.receipts_root
    return InclusionProof(
        sealed=_get_sealed(block), receipt=receipts[index], index=index, count=tree.count,
        path=tree.prove(index),
    )


def make_record_proof(block: Block, state: State, key: bytes) -> RecordProof:
    """The proof of ``key`` in ``state``, which is that after the final ``block``."""
    assert state.root == block.header.state_root
    return RecordProof(
        sealed=_get_sealed(block), key=key, value=state.get(key), path=state.prove(key)
    )


def _get_sealed(block: Block) -> SealedHeader:
    assert block.seals
    return SealedHeader(header=block.header.encoded, round=block.round, seals=block.seals)


def verify_inclusion(
    proof: InclusionProof, validators: tuple[PublicKey, ...], chain_id: bytes,
    check_signature: SignatureCheck = is_signature_valid,
) -> Receipt:
    """The receipt that ``proof`` proves. Raises InvalidProof with the step that failed.

    A host of many users may give a ``check_signature`` that remembers.
    """
    block = _verify_sealed(proof.sealed, validators, chain_id, check_signature)
    verify_path(
        block.header.receipts_root, proof.receipt, proof.index, proof.count, proof.path
    )
    receipt = decode_receipt(proof.receipt)
    # the path proves a leaf of some place; the receipt itself says which
    if (receipt.height, receipt.index) != (block.header.height, proof.index):
        raise InvalidProof("receipt: of another place")
    return receipt


def verify_record_proof(
    proof: RecordProof, validators: tuple[PublicKey, ...], chain_id: bytes
) -> bytes | None:
    """The record that ``proof`` proves, None for its absence. Raises InvalidProof."""
    block = _verify_sealed(proof.sealed, validators, chain_id)
    verify_record(block.header.state_root, proof.key, proof.value, proof.path)
    return proof.value


def _verify_sealed(
    sealed: SealedHeader, validators: tuple[PublicKey, ...], chain_id: bytes,
    check_signature: SignatureCheck = is_signature_valid,
) -> Block:
    try:
        header = decode_header(sealed.header)
    except InvalidMessage as no_header:
        raise InvalidProof(f"header: {no_header.detail}") from no_header
    if header.chain_id != chain_id:
        raise InvalidProof("header: another chain")
    if header.validators != validators:
        raise InvalidProof("header: other validators")
    # seals sign the header's digest, so a block without its bundles has the same seals
    block = make_block(header, sealed.round, sealed.seals, ())
    try:
        verify_seals(block, validators, check_signature)
    except InvalidBlock as not_sealed:
        raise InvalidProof(f"seals: {not_sealed.reason}") from not_sealed
    return block


def encode_inclusion_proof(proof: InclusionProof) -> bytes:
    """Canonical ``[[header, round, seals], receipt, index, count, path]``."""
    return encode([
        _list_sealed(proof.sealed), proof.receipt, proof.index, proof.count, proof.path,
    ])


def decode_inclusion_proof(encoded: bytes) -> InclusionProof:
    """Raises InvalidProof("encoding: ...") for anything that is not one."""
    match _decode(encoded):
        case [sealed, bytes(receipt), index, count, list(path)] if (
            is_below(count, 2**64) and is_below(index, count)
        ):
            steps = tuple(step for step in path if type(step) is bytes and len(step) == 32)
            if len(steps) == len(path):
                return InclusionProof(
                    sealed=_take_sealed(sealed), receipt=receipt, index=index, count=count,
                    path=steps,
                )
    raise InvalidProof("encoding: not an inclusion proof")


def encode_record_proof(proof: RecordProof) -> bytes:
    """Canonical ``[[header, round, seals], key, value, path]``."""
    return encode([_list_sealed(proof.sealed), proof.key, proof.value, proof.path])


def decode_record_proof(encoded: bytes) -> RecordProof:
    """Raises InvalidProof("encoding: ...") for anything that is not one."""
    match _decode(encoded):
        case [sealed, bytes(key), value, bytes(path)] if (
            value is None or isinstance(value, bytes)
        ):
            return RecordProof(sealed=_take_sealed(sealed), key=key, value=value, path=path)
    raise InvalidProof("encoding: not a record proof")


def _list_sealed(sealed: SealedHeader) -> Value:
    seals: Value = [[seal.validator, seal.signature] for seal in sealed.seals]
    return [sealed.header, sealed.round, seals]


def _decode(encoded: bytes) -> Value:
    try:
        return decode(encoded, _BYTES_MAX)
    except InvalidEncoding as error:
        raise InvalidProof(f"encoding: {error}") from error


def _take_sealed(value: Value) -> SealedHeader:
    match value:
        case [bytes(header), round_number, list(seals)] if is_below(round_number, 2**53):
            try:
                return SealedHeader(
                    header=header, round=round_number, seals=decode_seals(seals)
                )
            except InvalidMessage as error:
                raise InvalidProof(f"encoding: {error.detail}") from error
    raise InvalidProof("encoding: not a sealed header")
