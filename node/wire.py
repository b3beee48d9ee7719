"""What peers say to one another: one canonical array ``[tag, ...]`` a frame.

Blocks, bundles and consensus payloads are nested as byte strings, so that a peer that only
passes them on decodes two elements.
"""

from typing import Final, NamedTuple, TypeAlias, final

from node.block import Block, decode_block
from node.bundle import Bundle, decode_bundle
from node.codec import decode, encode, is_below
from node.errors import InvalidEncoding, InvalidMessage
from node.params import Params
from node.types import Digest
from node.work import ALONE, Work

_STATUS, _BUNDLE, _BLOCK, _WANTED, _GIVEN, _CONSENSUS = range(1, 7)

FRAME_OVERHEAD_BYTES: Final = 64
GIVEN_BYTES_MAX: Final = 16 * 1024 * 1024


class Status(NamedTuple):
    """Said once a link is up: how far the sender's chain reaches."""

    height: int
    head: Digest


class BundleCarried(NamedTuple):
    """A relay's bundle on its way to proposers."""

    bundle: Bundle


class BlockCarried(NamedTuple):
    """A final block with its seals."""

    block: Block


class BlocksWanted(NamedTuple):
    """Asks for ``limit`` blocks from ``first`` on."""

    first: int
    limit: int


class BlocksGiven(NamedTuple):
    """Answers with consecutive blocks, encoded; fewer than wanted if they are large."""

    blocks: tuple[bytes, ...]


@final
class ConsensusCarried(NamedTuple):
    """A payload between the engines of validators."""

    payload: bytes


Message: TypeAlias = (
    Status | BundleCarried | BlockCarried | BlocksWanted | BlocksGiven | ConsensusCarried
)


def frame_status(height: int, head: Digest) -> bytes:
    """Encode a Status."""
    return encode([_STATUS, height, head])


def frame_bundle(encoded: bytes) -> bytes:
    """Encode a BundleCarried around an encoded bundle."""
    return encode([_BUNDLE, encoded])


def frame_block(encoded: bytes) -> bytes:
    """Encode a BlockCarried around an encoded block."""
    return encode([_BLOCK, encoded])


def frame_sealed(block: Block) -> bytes:
    """Encode a BlockCarried; the block's head names it."""
    return frame_block(block.encoded)


def frame_wanted(first: int, count: int) -> bytes:
    """Encode a BlocksWanted."""
    return encode([_WANTED, first, count])


def frame_given(blocks: list[bytes]) -> bytes:
    """Encode a BlocksGiven."""
    return encode([_GIVEN, tuple(blocks)])


def frame_consensus(payload: bytes) -> bytes:
    """Encode a ConsensusCarried."""
    return encode([_CONSENSUS, payload])


def decode_frame(frame: bytes, params: Params, work: Work = ALONE) -> Message:
    """The message in ``frame``, with the block or bundle that it carries decoded.

    Raises InvalidMessage with the reason "frame encoding", or that of what is carried. A frame
    longer than GIVEN_BYTES_MAX is refused before it is read.
    """
    bytes_max = GIVEN_BYTES_MAX + FRAME_OVERHEAD_BYTES
    try:
        fields = decode(frame, bytes_max, 8 + params.sync_blocks_max)
    except InvalidEncoding as error:
        raise InvalidMessage("frame encoding", str(error)) from error
    if isinstance(fields, list) and fields and fields[0] is True:
        raise InvalidMessage("frame encoding", "True is no tag")  # but it equals one
    # literals, for a plain name in a pattern would match anything
    match fields:
        case [1, height, bytes(head)] if len(head) == 32 and is_below(height, 2**53):
            return Status(height, head)
        case [2, bytes(encoded)]:
            return BundleCarried(work.once(decode_bundle, encoded, encoded, params, work))
        case [3, bytes(encoded)]:
            return BlockCarried(decode_block(encoded, params))
        case [4, first, count] if (
            is_below(first, 2**53) and first
            and is_below(count, params.sync_blocks_max + 1) and count
        ):
            return BlocksWanted(first, count)
        case [5, list(blocks)] if all(type(block) is bytes for block in blocks):
            return BlocksGiven(tuple(block for block in blocks if type(block) is bytes))
        case [6, bytes(payload)]:
            return ConsensusCarried(payload)
    raise InvalidMessage("frame encoding", "unknown tag or fields")
