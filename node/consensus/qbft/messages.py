"""The four messages of QBFT and their canonical encoding.

Wire form: an array that begins ``[kind, height, round, author]``. The author is an index into
the validators of that height. What is signed names the chain, the height and the round, under
one domain per kind; a Commit is nothing but a seal of the block. A Proposal carries the whole
block and, after round 0, its justification: RoundChanges (without attachments) and Prepares.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from node.block import (
    HEADER_BYTES_MAX,
    VALIDATORS_MAX,
    Block,
    compute_seal_message,
    decode_block,
)
from node.codec import Value, decode, encode, is_below
from node.crypto import digest
from node.errors import InvalidEncoding, InvalidMessage
from node.params import Params
from node.types import DIGEST_BYTES, SIGNATURE_BYTES, Digest, Signature

BALLOT_BYTES_MAX: Final = 192
"""More than any Prepare, Commit or bare RoundChange needs."""

HEIGHT_MAX: Final = 2**53

Place: TypeAlias = tuple[int, int, int]
"""Height, round and author: what every message begins with."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """The author found the proposal of (height, round) valid. ``signed`` is what it signed."""

    height: int
    round: int
    author: int
    digest: Digest
    signature: Signature
    signed: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """The author holds a quorum of Prepares; the signature is the block's seal."""

    height: int
    round: int
    author: int
    digest: Digest
    signature: Signature
    signed: bytes


@dataclass(frozen=True, slots=True)
class RoundChange:
    """The author entered ``round`` and last prepared a block in ``prepared_round``, if any.

    ``block`` and ``prepares`` prove that; they are attachments that the signature leaves out.
    """

    height: int
    round: int
    author: int
    prepared_round: int | None
    prepared_digest: Digest | None
    signature: Signature
    signed: bytes
    block: Block | None
    prepares: tuple[Prepare, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The author proposes ``block`` for (height, round), justified by what follows."""

    height: int
    round: int
    author: int
    block: Block
    signature: Signature
    signed: bytes
    round_changes: tuple[RoundChange, ...]
    prepares: tuple[Prepare, ...]


Message: TypeAlias = Prepare | Commit | RoundChange | Proposal
Decoder: TypeAlias = Callable[[bytes], Message]

_PROPOSAL, _PREPARE, _COMMIT, _ROUND_CHANGE = range(4)


def compute_proposal_message(
    chain_id: bytes, height: int, round_number: int, of: Digest
) -> bytes:
    """What a Proposal signs: not the justification, which proves itself."""
    return digest(b"proposal", encode([chain_id, height, round_number, of]))


def compute_prepare_message(
    chain_id: bytes, height: int, round_number: int, of: Digest
) -> bytes:
    """What a Prepare signs."""
    return digest(b"prepare", encode([chain_id, height, round_number, of]))


def compute_round_change_message(
    chain_id: bytes, height: int, round_number: int,
    prepared_round: int | None, prepared_digest: Digest | None,
) -> bytes:
    """What a RoundChange signs."""
    content: Value = [chain_id, height, round_number, prepared_round, prepared_digest]
    return digest(b"round change", encode(content))


def compute_bytes_max(params: Params) -> int:
    """The size of the largest message: a whole block and two justifications of all."""
    parts = (2 * VALIDATORS_MAX + 2) * (BALLOT_BYTES_MAX + 8)
    return params.block_bytes_max + HEADER_BYTES_MAX + parts


def encode_message(message: Message) -> bytes:
    """The payload of ``message``."""
    match message:
        case Prepare(height, round_number, author, of, signature):
            return encode([_PREPARE, height, round_number, author, of, signature])
        case Commit(height, round_number, author, of, signature):
            return encode([_COMMIT, height, round_number, author, of, signature])
        case RoundChange():
            return _encode_round_change(message, message.block, message.prepares)
        case Proposal():
            bare = tuple(
                _encode_round_change(change, None, ()) for change in message.round_changes
            )
            return encode([
                _PROPOSAL, message.height, message.round, message.author,
                message.block.encoded, message.signature, bare,
                tuple(encode_message(prepare) for prepare in message.prepares),
            ])


def _encode_round_change(
    message: RoundChange, block: Block | None, prepares: tuple[Prepare, ...]
) -> bytes:
    return encode([
        _ROUND_CHANGE, message.height, message.round, message.author,
        message.prepared_round, message.prepared_digest, message.signature,
        None if block is None else block.encoded,
        tuple(encode_message(prepare) for prepare in prepares),
    ])


def decode_message(payload: bytes, chain_id: bytes, params: Params) -> Message:
    """The message in ``payload``; its shape and limits are checked, nothing else.

    Raises InvalidMessage("message encoding"), and ("block encoding") or ("header encoding")
    for the block in it.
    """
    place, fields = _decode_fields(payload, params)
    match payload[1]:
        case 1 | 2:
            return _read_ballot(payload[1], place, fields, chain_id)
        case 3:
            return _read_round_change(place, fields, chain_id, params)
        case _:
            return _read_proposal(place, fields, chain_id, params)


def _decode_fields(payload: bytes, params: Params) -> tuple[Place, list[Value]]:
    # A canonical array of fewer than 16 elements shows its length and kind in two bytes, so the
    # limit is known before anything is decoded.
    counts = {_PROPOSAL: 8, _PREPARE: 6, _COMMIT: 6, _ROUND_CHANGE: 9}
    kind = payload[1] if len(payload) > 1 else -1
    count = counts.get(kind)
    if count is None or payload[0] != 0x90 | count:
        raise InvalidMessage("message encoding", "unknown kind")
    bytes_max, elements_max = BALLOT_BYTES_MAX, 16
    if kind in (_PROPOSAL, _ROUND_CHANGE):
        bytes_max = compute_bytes_max(params)
        elements_max += 2 * VALIDATORS_MAX
    try:
        fields = decode(payload, bytes_max, elements_max)
    except InvalidEncoding as error:
        raise InvalidMessage("message encoding", str(error)) from error
    assert isinstance(fields, list)
    height, round_number, author = fields[1:4]
    if not (
        is_below(height, HEIGHT_MAX) and height != 0
        and is_below(round_number, params.rounds_max + 1)
        and is_below(author, VALIDATORS_MAX)
    ):
        raise InvalidMessage("message encoding", "height, round or author out of range")
    return (height, round_number, author), fields[4:]


def _read_ballot(
    kind: int, place: Place, fields: list[Value], chain_id: bytes
) -> Prepare | Commit:
    height, round_number, author = place
    match fields:
        case [bytes(of), bytes(signature)] if (
            len(of) == DIGEST_BYTES and len(signature) == SIGNATURE_BYTES
        ):
            if kind == _COMMIT:
                signed = compute_seal_message(chain_id, height, round_number, of)
                return Commit(height, round_number, author, of, signature, signed)
            signed = compute_prepare_message(chain_id, height, round_number, of)
            return Prepare(height, round_number, author, of, signature, signed)
    raise InvalidMessage("message encoding", "wrong fields of a Prepare or Commit")


def _read_round_change(
    place: Place, fields: list[Value], chain_id: bytes, params: Params
) -> RoundChange:
    height, round_number, author = place
    match fields:
        case [
            prepared_round, prepared_digest, bytes(signature), block, list(prepares)
        ] if (
            (block is None or isinstance(block, bytes))
            and len(signature) == SIGNATURE_BYTES and len(prepares) <= VALIDATORS_MAX
            and (prepared_round is None or is_below(prepared_round, params.rounds_max + 1))
            and (prepared_digest is None or type(prepared_digest) is bytes)
        ):
            assert prepared_round is None or isinstance(prepared_round, int)
            assert prepared_digest is None or isinstance(prepared_digest, bytes)
            signed = compute_round_change_message(
                chain_id, height, round_number, prepared_round, prepared_digest
            )
            return RoundChange(
                height, round_number, author, prepared_round, prepared_digest, signature,
                signed, None if block is None else decode_block(block, params),
                _read_prepares(prepares, chain_id, params),
            )
    raise InvalidMessage("message encoding", "wrong fields of a RoundChange")


def _read_proposal(
    place: Place, fields: list[Value], chain_id: bytes, params: Params
) -> Proposal:
    height, round_number, author = place
    match fields:
        case [bytes(encoded), bytes(signature), list(changes), list(prepares)] if (
            len(signature) == SIGNATURE_BYTES
            and max(len(changes), len(prepares)) <= VALIDATORS_MAX
        ):
            block = decode_block(encoded, params)
            signed = compute_proposal_message(
                chain_id, height, round_number, block.header.digest
            )
            return Proposal(
                height, round_number, author, block, signature, signed,
                _read_bare_round_changes(changes, chain_id, params),
                _read_prepares(prepares, chain_id, params),
            )
    raise InvalidMessage("message encoding", "wrong fields of a Proposal")


def _read_prepares(
    items: list[Value], chain_id: bytes, params: Params
) -> tuple[Prepare, ...]:
    prepares = []
    for item in items:
        message = _read_nested(item, chain_id, params)
        if type(message) is not Prepare:
            raise InvalidMessage("message encoding", "not a Prepare in a justification")
        prepares.append(message)
    return tuple(prepares)


def _read_bare_round_changes(
    items: list[Value], chain_id: bytes, params: Params
) -> tuple[RoundChange, ...]:
    changes = []
    for item in items:
        message = _read_nested(item, chain_id, params)
        if type(message) is not RoundChange or message.block or message.prepares:
            raise InvalidMessage("message encoding", "not a bare RoundChange")
        changes.append(message)
    return tuple(changes)


def _read_nested(item: Value, chain_id: bytes, params: Params) -> Message:
    # The limit on bytes also ends the recursion: what fits into a ballot nests nothing.
    if type(item) is not bytes or len(item) > BALLOT_BYTES_MAX:
        raise InvalidMessage("message encoding", "oversized part of a justification")
    return decode_message(item, chain_id, params)
