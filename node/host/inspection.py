"""Which bundles in a frame a host may check ahead of its node, and for whom it does so.

Only what its sender answers for: a bundle, which a relay of genesis has signed or the check
ends there; a block that the validators after the head have sealed; a proposal that is signed by
one of them. All else is left to the node, which refuses it for less.
"""

from collections.abc import Sequence

from node.block import Block, decode_block
from node.chain import Chain
from node.codec import decode
from node.consensus.qbft.messages import Proposal, RoundChange, decode_message
from node.consensus.seals import verify_seals
from node.errors import InvalidBlock, InvalidEncoding, InvalidMessage
from node.host.memory import WorkMemory
from node.inputs import Role
from node.wire import (
    FRAME_OVERHEAD_BYTES,
    GIVEN_BYTES_MAX,
    BlockCarried,
    BlocksGiven,
    ConsensusCarried,
)

_BUNDLE, _BLOCK, _GIVEN, _CONSENSUS = 2, 3, 5, 6
_BALLOT_FRAME_BYTES_MAX = 512


class Inspector:
    """Looks into frames as far as a cheap decoding goes; never raises for any bytes."""

    __slots__ = ("_chain", "_frame_elements_max", "_params", "_tags", "_work")

    def __init__(self, chain: Chain, role: Role, work: WorkMemory) -> None:
        self._chain = chain
        self._work = work
        self._params = chain.genesis.params
        self._frame_elements_max = 8 + self._params.sync_blocks_max
        # bundles and proposals are for validators: to others the node answers without a look
        self._tags = {_BLOCK, _GIVEN}
        if role is Role.VALIDATOR:
            self._tags |= {_BUNDLE, _CONSENSUS}

    def is_block(self, frame: bytes) -> bool:
        """Whether the frame brings final blocks, whose order is to be kept."""
        return len(frame) > 1 and frame[1] in (_BLOCK, _GIVEN)

    def list_bundles(self, frame: bytes) -> tuple[bytes, ...]:
        """Encodings of the bundles in ``frame`` that are worth a check before it is handled."""
        if len(frame) < 2 or frame[1] not in self._tags:
            return ()
        if frame[1] == _CONSENSUS and len(frame) <= _BALLOT_FRAME_BYTES_MAX:
            return ()
        try:
            fields = decode(
                frame, GIVEN_BYTES_MAX + FRAME_OVERHEAD_BYTES, self._frame_elements_max
            )
            match fields:
                case [2, bytes(encoded)]:
                    return () if self._work.is_final(encoded) else (encoded,)
                case [3, bytes(encoded)]:
                    block = decode_block(encoded, self._params)
                    self._work.remember_frame(frame, BlockCarried(block))
                    return self._list_sealed(block)
                case [5, list(items)]:
                    return self._look_into_blocks(frame, items)
                case [6, bytes(payload)]:
                    return self._look_into_consensus(frame, payload)
        except (InvalidEncoding, InvalidMessage):
            pass  # the node meets the same error, and says what it costs
        return ()

    def _list_sealed(self, block: Block) -> tuple[bytes, ...]:
        chain, header = self._chain, block.header
        ahead = header.height - chain.height
        if (
            not 0 < ahead <= self._params.sync_blocks_max
            or header.validators != chain.authorities.validators
            or header.chain_id != chain.chain_id
        ):
            return ()
        try:
            verify_seals(block, header.validators, self._check_signature)
        except InvalidBlock:
            return ()
        return block.bundles

    def _look_into_blocks(self, frame: bytes, items: Sequence[object]) -> tuple[bytes, ...]:
        encodings = tuple(item for item in items if type(item) is bytes)
        if len(encodings) != len(items):
            return ()
        self._work.remember_frame(frame, BlocksGiven(encodings))
        bundles: list[bytes] = []
        for encoded in encodings:
            block = decode_block(encoded, self._params)
            self._work.remember_block(encoded, block)
            bundles += self._list_sealed(block)
        return tuple(bundles)

    def _look_into_consensus(self, frame: bytes, payload: bytes) -> tuple[bytes, ...]:
        chain = self._chain
        message = decode_message(payload, chain.chain_id, self._params)
        self._work.remember_frame(frame, ConsensusCarried(payload))
        self._work.remember_consensus(payload, message)
        validators = chain.authorities.validators
        if (
            not isinstance(message, Proposal | RoundChange) or message.block is None
            or message.height != chain.height + 1 or message.author >= len(validators)
            or not self._check_signature(
                validators[message.author], message.signed, message.signature
            )
        ):
            return ()
        return message.block.bundles

    def _check_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        is_valid = self._work.check_signature(key, message, signature)
        if is_valid:
            self._work.remember_signature(key, message, signature)
        return is_valid
