"""Votes on who is a validator: the tally that Clique, IBFT 2.0 and QBFT share (EIP-225)."""

from dataclasses import dataclass

from node.block import VALIDATORS_MAX
from node.consensus.quorum import compute_majority
from node.types import PublicKey


@dataclass(frozen=True, slots=True)
class Ballot:
    """One pending vote; a voter has at most one about each key."""

    about: PublicKey
    by: PublicKey
    is_add: bool


@dataclass(frozen=True, slots=True)
class ValidatorTally:
    """The validators, ascending, and the votes pending among them; never changed in place."""

    validators: tuple[PublicKey, ...]
    ballots: tuple[Ballot, ...] = ()

    def cast(self, by: PublicKey, about: PublicKey, *, is_add: bool) -> "ValidatorTally":
        """The tally after one more vote; it replaces an earlier one by the same about the same.

        A change that would leave no validator, or more than VALIDATORS_MAX, never happens.
        """
        ballot = Ballot(about, by, is_add)
        ballots = (
            *(old for old in self.ballots if (old.about, old.by) != (about, by)), ballot,
        )
        agreeing = sum(old.about == about and old.is_add is is_add for old in ballots)
        assert agreeing >= 1
        if agreeing < compute_majority(len(self.validators)):
            return ValidatorTally(self.validators, ballots)
        changed = set(self.validators) | {about} if is_add else set(self.validators) - {about}
        if not 0 < len(changed) <= VALIDATORS_MAX:
            return ValidatorTally(self.validators, ballots)
        # Votes about the subject are settled; those by a dropped member count no more.
        kept = (old for old in ballots if old.about != about)
        return ValidatorTally(
            tuple(sorted(changed)), tuple(old for old in kept if is_add or old.by != about)
        )

    def discard(self) -> "ValidatorTally":
        """The tally without its pending votes: an epoch ends."""
        return ValidatorTally(self.validators) if self.ballots else self
