"""What a node does to hold a block final: check its seals, and say what that took."""

from node.block import Block
from node.consensus.seals import verify_seals
from node.effects import Worked
from node.work import Work, WorkKind


def check_seals(encoded: bytes, block: Block, work: Work) -> tuple[Worked, ...]:
    """Raises InvalidBlock unless the header's validators sealed the block."""
    checks = verify_seals(block, block.header.validators, work.check_signature)
    return (
        Worked(WorkKind.DECODE_BYTES, len(encoded)), Worked(WorkKind.CHECK_SIGNATURE, checks)
    )
