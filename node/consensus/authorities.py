"""Who may seal the next block and who proposes it: pure functions of the headers so far."""

from bisect import bisect_left
from dataclasses import dataclass

from node.block import Header
from node.consensus.tally import ValidatorTally
from node.params import Genesis
from node.types import PublicKey


@dataclass(frozen=True, slots=True)
class Authorities:
    """The validators of the height after some header, and the votes pending there.

    The value is immutable and small, so all peers of a process can share one per header.
    """

    tally: ValidatorTally
    epoch_blocks: int

    @property
    def validators(self) -> tuple[PublicKey, ...]:
        """Those who seal the next block, ascending."""
        return self.tally.validators

    def apply(self, header: Header) -> "Authorities":
        """The authorities after ``header``, which these sealed; mostly the same object.

        The last block of an epoch clears all pending votes and its own vote does not count.
        """
        assert header.height >= 1
        assert header.validators == self.validators
        # Besu #9870: votes to drop outlived an epoch there because only one kind was cleared.
        if header.height % self.epoch_blocks == 0:
            tally = self.tally.discard()
        elif header.vote is not None:
            assert header.proposer in self.validators
            tally = self.tally.cast(
                header.proposer, header.vote.about, is_add=header.vote.is_add
            )
        else:
            return self
        return self if tally is self.tally else Authorities(tally, self.epoch_blocks)


def make_authorities(genesis: Genesis) -> Authorities:
    """The authorities after block 0."""
    return Authorities(ValidatorTally(genesis.validators), genesis.params.epoch_blocks)


def compute_first_proposer(validators: tuple[PublicKey, ...], previous: PublicKey) -> int:
    """The index of the proposer of round 0; each further round is the next index, mod N.

    Besu's rule: the one after the previous block's proposer; if that one has left the set (or
    the previous block is block 0), the first with a higher key, else the first of all.
    """
    assert validators
    # Keys are sorted, so one search finds both the old proposer and who stands after its place;
    # block 0 is by the zero key, which is below all.
    index = bisect_left(validators, previous)
    if index < len(validators) and validators[index] == previous:
        index += 1
    return index % len(validators)
