"""The seals that make a block final, as everyone who was not there can check them."""

from typing import Protocol

from node.block import Block, compute_seal_message
from node.consensus.quorum import compute_quorum
from node.errors import InvalidBlock
from node.types import PublicKey, Signature


class SignatureCheck(Protocol):
    """Whether ``key`` signed ``message``."""

    def __call__(self, key: PublicKey, message: bytes, signature: Signature) -> bool: ...


def verify_seals(
    block: Block, validators: tuple[PublicKey, ...], check_signature: SignatureCheck
) -> int:
    """Raises InvalidBlock unless a quorum of distinct ``validators`` sealed ``block``.

    ``validators`` are those after its parent. All seals must hold and stand in ascending order
    of validators. Returns how many signatures were checked.
    """
    seals = block.seals
    quorum = compute_quorum(len(validators))
    if len(seals) < quorum:
        raise InvalidBlock("too few seals", quorum, len(seals))
    header = block.header
    message = compute_seal_message(
        header.chain_id, header.height, block.round, header.digest
    )
    last = -1
    for seal in seals:
        # Ascending order makes signers distinct without a set, and the encoding unique.
        if not last < seal.validator < len(validators):
            raise InvalidBlock("seals not of distinct validators", last + 1, seal.validator)
        last = seal.validator
        if not check_signature(validators[last], message, seal.signature):
            raise InvalidBlock("seal signature", validators[last].hex(), last)
    assert len(seals) <= len(validators)
    return len(seals)
