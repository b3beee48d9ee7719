"""All checks of messages: they raise InvalidMessage and change nothing.

Whatever has passed here is assumed by those who process it. Each function returns how many
signatures it checked. The rules of justification are those of the formal specification
(``isProposalJustification``, ``isValidRoundChange``) and of Besu's validators; a signer counts
once, however often it signs.
"""

from collections.abc import Sequence

from node.block import Block
from node.consensus.qbft.messages import Message, Prepare, Proposal, RoundChange
from node.consensus.qbft.seat import Seat
from node.errors import InvalidBlock, InvalidMessage
from node.types import Digest, Now


def verify_signature(seat: Seat, message: Message) -> int:
    """The author is a validator of this height and signed the message."""
    author = message.author
    validators = seat.validators
    if author >= len(validators):
        raise InvalidMessage("unknown author", str(author))
    if not seat.application.check_signature(
        validators[author], message.signed, message.signature
    ):
        raise InvalidMessage("signature", f"by validator {author}")
    return 1


def verify_certificate(
    seat: Seat, round_number: int, block: Digest, prepares: Sequence[Prepare]
) -> int:
    """A quorum of distinct validators prepared ``block`` in this height and round."""
    # Counting comes before checking: a signature costs more than all comparisons together.
    _verify_authors(seat, prepares, "prepares")
    for prepare in prepares:
        if (prepare.height, prepare.round) != (seat.height, round_number):
            raise InvalidMessage("prepares", "of another height or round")
        if prepare.digest != block:
            raise InvalidMessage("prepares", "of another block")
    return sum(verify_signature(seat, prepare) for prepare in prepares)


def verify_claim(seat: Seat, change: RoundChange) -> int:
    """The signed part of a RoundChange."""
    if change.height != seat.height:
        raise InvalidMessage("round change", "of another height")
    if change.round < 1:
        raise InvalidMessage("round change", "nobody changes to round 0")
    if (change.prepared_round is None) != (change.prepared_digest is None):
        raise InvalidMessage("round change", "prepared round and digest belong together")
    if change.prepared_round is not None and change.prepared_round >= change.round:
        raise InvalidMessage("round change", "prepared in a round that is still to come")
    return verify_signature(seat, change)


def verify_round_change(seat: Seat, change: RoundChange) -> int:
    """A RoundChange with the attachments that prove what it claims."""
    checks = verify_claim(seat, change)
    if change.prepared_round is None:
        if change.block is not None or change.prepares:
            raise InvalidMessage("round change", "attachments without a claim")
        return checks
    # The application is not asked: of a quorum of Prepares an honest one found the block valid.
    block, claimed = change.block, change.prepared_digest
    assert claimed is not None
    if block is None or block.header.digest != claimed:
        raise InvalidMessage("round change", "not the block that it claims")
    _verify_shape(seat, block)
    return checks + verify_certificate(seat, change.prepared_round, claimed, change.prepares)


def verify_justification(seat: Seat, proposal: Proposal) -> int:
    """The block may be proposed in this round: nothing else can have been decided before."""
    changes = proposal.round_changes
    if proposal.round == 0:
        if changes or proposal.prepares:
            raise InvalidMessage("justification", "round 0 needs none")
        return 0
    _verify_authors(seat, changes, "justification")
    checks = 0
    claims: dict[int, Digest] = {}
    for change in changes:
        if change.round != proposal.round:
            raise InvalidMessage("justification", "round change of another round")
        checks += verify_claim(seat, change)
        if change.prepared_round is not None and change.prepared_digest is not None:
            first = claims.setdefault(change.prepared_round, change.prepared_digest)
            if first != change.prepared_digest:
                raise InvalidMessage("justification", "two blocks prepared in one round")
    if not claims:
        if proposal.prepares:
            raise InvalidMessage("justification", "prepares, but nobody prepared")
        return checks
    # Only the highest claim binds; lower ones may be of other blocks (sigp/anchor #600).
    highest = max(claims)
    if proposal.block.header.digest != claims[highest]:
        raise InvalidMessage("justification", "not the block that was prepared last")
    return checks + verify_certificate(seat, highest, claims[highest], proposal.prepares)


def verify_proposal(seat: Seat, now: Now, proposal: Proposal) -> int:
    """Everything about a Proposal, the application's verdict on its block last."""
    # Cheap checks first, so that a stranger to this turn cannot make us execute a block.
    if proposal.author != seat.compute_proposer(proposal.round):
        raise InvalidMessage("not the proposer", str(proposal.author))
    if proposal.height != seat.height:
        raise InvalidMessage("proposal", "of another height")
    _verify_shape(seat, proposal.block)
    checks = verify_signature(seat, proposal) + verify_justification(seat, proposal)
    proposer = proposal.block.header.proposer
    # A prepared block is proposed again as it is, by whoever's turn it is now.
    if proposal.prepares:
        if proposer not in seat.validators:
            raise InvalidMessage("invalid block", "its proposer is not a validator")
    elif proposer != seat.validators[proposal.author]:
        raise InvalidMessage("invalid block", "made by another than who proposes it")
    verify_block(seat, now, proposal.block)
    return checks


def verify_block(seat: Seat, now: Now, block: Block) -> None:
    """The application accepts the block as the next one."""
    try:
        seat.application.verify(now, block)
    except InvalidBlock as error:
        raise InvalidMessage("invalid block", str(error)) from error


def _verify_shape(seat: Seat, block: Block) -> None:
    header = block.header
    if header.height != seat.height or header.parent != seat.parent.digest:
        raise InvalidMessage("invalid block", "not on top of the head")
    if header.chain_id != seat.chain_id or header.validators != seat.validators:
        raise InvalidMessage("invalid block", "of another chain or other validators")
    if block.round != 0 or block.seals:
        raise InvalidMessage("invalid block", "sealed before it was decided")


def _verify_authors(
    seat: Seat, messages: Sequence[Prepare] | Sequence[RoundChange], what: str
) -> None:
    authors = {message.author for message in messages}
    if len(authors) != len(messages):
        raise InvalidMessage(what, "two by one author")
    if len(authors) < seat.quorum:
        raise InvalidMessage(what, f"{len(authors)} authors, the quorum is {seat.quorum}")
