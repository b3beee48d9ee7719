"""A block: a header that commits to everything, the seals that make it final, its bundles.

Wire form: ``[header, round, [[validator_index, seal]...], [bundle...]]``. The header does not
hold the round, so a block that is proposed again in a later round is the identical block and
the re-stamping that stalled Besu (#6732) has nothing to get wrong; the seals sign the round.
"""

from dataclasses import dataclass
from typing import Final

from node.codec import Value, decode, encode, is_below
from node.crypto import digest
from node.errors import InvalidEncoding, InvalidMessage
from node.params import Genesis, Params
from node.types import CHAIN_ID_BYTES, SIGNATURE_BYTES, Digest, PublicKey, Signature

HEADER_BYTES_MAX: Final = 64 * 1024
VALIDATORS_MAX: Final = 1_024

_ARRAY_OF_4: Final = b"\x94"


@dataclass(frozen=True, slots=True)
class Vote:
    """A validator's vote to add or drop one member (Clique's tally; EIP-225)."""

    about: PublicKey
    is_add: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What a block commits to; ``digest`` is over ``encoded``.

    ``validators`` are those who seal this block, ascending; the roots are of this block.
    """

    digest: Digest
    chain_id: bytes
    height: int
    parent: Digest
    time_ns: int
    proposer: PublicKey
    bundles_root: Digest
    receipts_root: Digest
    state_root: Digest
    validators: tuple[PublicKey, ...]
    vote: Vote | None
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """A commit seal: which validator of the header's list, and its signature."""

    validator: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Block:
    """A header, the round in which it was sealed, seals (none while proposed), bundles.

    ``head`` and ``body`` are its encoding up to the bundles and from there on: to seal it
    changes its head alone. The header names the bundles, but not the signatures on them.
    """

    header: Header
    round: int
    seals: tuple[Seal, ...]
    bundles: tuple[bytes, ...]
    head: bytes
    body: bytes

    @property
    def encoded(self) -> bytes:
        """Its encoding, joined each time."""
        return self.head + self.body

    @property
    def size(self) -> int:
        """How many bytes its encoding has."""
        return len(self.head) + len(self.body)


def make_header(
    chain_id: bytes, height: int, parent: Digest, time_ns: int, proposer: PublicKey,
    bundles_root: Digest, receipts_root: Digest, state_root: Digest,
    validators: tuple[PublicKey, ...], vote: Vote | None,
) -> Header:
    """A header with its encoding and digest."""
    fields = (chain_id, height, parent, time_ns, proposer, bundles_root, receipts_root,
              state_root, validators)
    encoded = encode([*fields, None if vote is None else [vote.about, vote.is_add]])
    return Header(digest(b"header", encoded), *fields, vote, encoded)


def make_block(
    header: Header, round_number: int, seals: tuple[Seal, ...], bundles: tuple[bytes, ...]
) -> Block:
    """A block with its encoding."""
    head = _encode_head(header, round_number, seals)
    return Block(header, round_number, seals, bundles, head, encode(bundles))


def seal_block(block: Block, round_number: int, seals: tuple[Seal, ...]) -> Block:
    """``block`` as it was sealed in ``round_number``."""
    assert len(seals) <= len(block.header.validators)
    # every validator seals each block: its bundles, nearly all of it, are not copied
    head = _encode_head(block.header, round_number, seals)
    return Block(block.header, round_number, seals, block.bundles, head, block.body)


def _encode_head(header: Header, round_number: int, seals: tuple[Seal, ...]) -> bytes:
    sealed: Value = [[seal.validator, seal.signature] for seal in seals]
    return _ARRAY_OF_4 + encode(header.encoded) + encode(round_number) + encode(sealed)


def make_genesis_block(genesis: Genesis, state_root: Digest) -> Block:
    """Block 0: no proposer, no seals; everyone computes it alone."""
    nothing = bytes(32)
    header = make_header(
        genesis.compute_chain_id(), 0, nothing, genesis.time_ns, nothing, nothing, nothing,
        state_root, genesis.validators, None,
    )
    return make_block(header, 0, (), ())


def compute_seal_message(
    chain_id: bytes, height: int, round_number: int, block: Digest
) -> bytes:
    """What a commit seal signs. It is also all that a Commit message says."""
    return digest(b"seal", encode([chain_id, height, round_number, block]))


def decode_header(encoded: bytes) -> Header:
    """Raises InvalidMessage("header encoding") for anything that is not a header."""
    try:
        fields = decode(encoded, HEADER_BYTES_MAX, VALIDATORS_MAX + 32)
    except InvalidEncoding as error:
        raise InvalidMessage("header encoding", str(error)) from error
    match fields:
        case [bytes(chain_id), height, bytes(parent), time_ns, bytes(proposer),
              bytes(bundles), bytes(receipts), bytes(state), list(validators), vote] if (
            validators and len(chain_id) == CHAIN_ID_BYTES
            and is_below(height, 2**53) and is_below(time_ns, 2**63)
            and {len(parent), len(proposer), len(bundles), len(receipts), len(state)} == {32}
            and all(type(key) is bytes and len(key) == 32 for key in validators)
        ):
            keys = tuple(key for key in validators if type(key) is bytes)
            return Header(
                digest(b"header", encoded), chain_id, height, parent, time_ns, proposer,
                bundles, receipts, state, keys, _decode_vote(vote), encoded,
            )
    raise InvalidMessage("header encoding", "wrong fields")


def _decode_vote(value: Value) -> Vote | None:
    match value:
        case None:
            return None
        case [bytes(about), bool(is_add)] if len(about) == 32:
            return Vote(about, is_add)
    raise InvalidMessage("header encoding", "wrong vote")


def decode_block(encoded: bytes, params: Params) -> Block:
    """The block in ``encoded``; nothing but its shape is checked here.

    Raises InvalidMessage("block encoding") or ("header encoding").
    """
    # a seal is its signature and a few bytes around it
    bytes_max = params.block_bytes_max + HEADER_BYTES_MAX + 128 * VALIDATORS_MAX
    try:
        fields = decode(encoded, bytes_max)
    except InvalidEncoding as error:
        raise InvalidMessage("block encoding", str(error)) from error
    match fields:
        case [bytes(header), round_number, list(values), list(bundles)] if (
            is_below(round_number, params.rounds_max + 1)
            and len(values) <= VALIDATORS_MAX
            and all(type(bundle) is bytes for bundle in bundles)
        ):
            items = tuple(bundle for bundle in bundles if type(bundle) is bytes)
            decoded, seals = decode_header(header), decode_seals(values)
            head = _encode_head(decoded, round_number, seals)
            assert encoded.startswith(head), "what is decoded is canonical"
            return Block(decoded, round_number, seals, items, head, encoded[len(head) :])
    raise InvalidMessage("block encoding", "wrong fields")


def decode_seals(values: list[Value]) -> tuple[Seal, ...]:
    """Seals from their wire form; raises InvalidMessage("block encoding")."""
    seals = []
    for value in values:
        match value:
            case [validator, bytes(signature)] if (
                len(signature) == SIGNATURE_BYTES and is_below(validator, VALIDATORS_MAX)
            ):
                seals.append(Seal(validator, signature))
            case _:
                raise InvalidMessage("block encoding", "wrong seal")
    return tuple(seals)
