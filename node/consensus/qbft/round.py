"""One round of one height: a proposal, its Prepares, its Commits.

Prepares and Commits may come before the Proposal. They are kept once their signature holds,
whatever block they name, and those of other blocks are dropped when the Proposal is accepted.
This file runs a million times in an election day: what is late leaves it first.
"""

from collections.abc import Iterable
from typing import Final

from node.block import Block, Seal, compute_seal_message, seal_block
from node.codec import Value
from node.consensus.engine import (
    CHECKED,
    SIGNED,
    Decide,
    Outcome,
    Say,
    make_ignored,
)
from node.consensus.qbft.lock import Lock, Prepared
from node.consensus.qbft.messages import (
    Commit,
    Message,
    Prepare,
    compute_prepare_message,
    encode_message,
)
from node.consensus.qbft.phases import TRANSITIONS, Phase
from node.consensus.qbft.seat import Seat
from node.consensus.qbft.validation import verify_signature
from node.types import Digest

# Looking a member up in its Enum costs more than the comparison that follows.
_WAITING: Final = Phase.WAITING
_ACCEPTED: Final = Phase.ACCEPTED
_PREPARED: Final = Phase.PREPARED
_DECIDED: Final = Phase.DECIDED

DOUBLE: Final = make_ignored("double")
OTHER_BLOCK: Final = make_ignored("other block")


class Round:
    """The messages of one round; ``block`` is the accepted proposal, or None.

    ``is_joined`` tells whether a quorum is known to be in this round or beyond, and
    ``deadline_ns`` is the monotonic time of the last timer that was set for it.
    """

    __slots__ = (
        "_commits", "_lock", "_prepares", "_seat", "block", "deadline_ns", "digest",
        "is_joined", "number", "phase",
    )

    def __init__(
        self, seat: Seat, number: int, lock: Lock, early: Iterable[Message] = ()
    ) -> None:
        """``early`` are verified Prepares and Commits of this round."""
        assert 0 <= number <= seat.params.rounds_max
        self._seat = seat
        self._lock = lock
        self._prepares: dict[int, Prepare] = {}
        self._commits: dict[int, Commit] = {}
        self.number = number
        self.phase = _WAITING
        self.block: Block | None = None
        self.digest: Digest | None = None
        self.is_joined = number == 0
        self.deadline_ns = 0
        for message in early:
            assert (message.height, message.round) == (seat.height, number)
            if isinstance(message, Prepare):
                self._prepares[message.author] = message
            elif isinstance(message, Commit):
                self._commits[message.author] = message

    def upon_prepare(self, prepare: Prepare) -> list[Outcome]:
        """Raises InvalidMessage for a wrong author or signature."""
        phase = self.phase
        if phase is _PREPARED or phase is _DECIDED:
            return []
        prepares = self._prepares
        author = prepare.author
        if author in prepares:
            return [DOUBLE]
        digest = self.digest
        if digest is not None and prepare.digest != digest:
            return [OTHER_BLOCK]
        verify_signature(self._seat, prepare)
        prepares[author] = prepare
        # Equality, not excess: a quorum is reached once. It means nothing without a Proposal.
        if digest is None or len(prepares) != self._seat.quorum:
            return [CHECKED]
        return [CHECKED, *self._process_prepared()]

    def upon_commit(self, commit: Commit) -> list[Outcome]:
        """Raises InvalidMessage for a wrong author or signature."""
        if self.phase is _DECIDED:
            return []
        commits = self._commits
        author = commit.author
        if author in commits:
            return [DOUBLE]
        digest = self.digest
        if digest is not None and commit.digest != digest:
            return [OTHER_BLOCK]
        verify_signature(self._seat, commit)
        commits[author] = commit
        if digest is None or len(commits) != self._seat.quorum:
            return [CHECKED]
        return [CHECKED, self._process_decided()]

    def process_proposal(self, block: Block, announcement: Say | None = None) -> list[Outcome]:
        """Accept a verified proposal; ``announcement`` is our own, said once stored."""
        self._accept(block)
        outcomes: list[Outcome] = []
        seat, digest = self._seat, block.header.digest
        if seat.author is not None:
            # Stored before said, also before the announcement: a proposer that restarts between
            # the two must not make another block for this round.
            outcomes.append(self._lock.promise_prepare(self.number, digest))
            if announcement is not None:
                outcomes += SIGNED, announcement
            signed = compute_prepare_message(seat.chain_id, seat.height, self.number, digest)
            prepare = Prepare(
                seat.height, self.number, seat.author, digest,
                seat.application.sign(signed), signed,
            )
            self._prepares[seat.author] = prepare
            outcomes += SIGNED, Say(encode_message(prepare))
        # Early messages may make both quorums at once; being prepared comes first, for it says
        # our Commit, which the others may need.
        if len(self._prepares) >= seat.quorum:
            outcomes += self._process_prepared()
        elif len(self._commits) >= seat.quorum:
            outcomes.append(self._process_decided())
        return outcomes

    def restore(self, prepared: Prepared) -> list[Outcome]:
        """Take up a round that this node had prepared before it restarted."""
        assert prepared.round == self.number
        self.is_joined = True  # a Proposal of a later round was proven by a quorum
        self._accept(prepared.block)
        self._prepares = {prepare.author: prepare for prepare in prepared.prepares}
        return self._process_prepared()

    def describe(self) -> Value:
        """All that this round remembers, for a digest of the engine's state."""
        return [
            self.number, self.phase.value, self.digest, self.is_joined, self.deadline_ns,
            [[author, self._prepares[author].digest] for author in sorted(self._prepares)],
            [[author, self._commits[author].digest] for author in sorted(self._commits)],
        ]

    def _accept(self, block: Block) -> None:
        self._move(_ACCEPTED)
        self.block = block
        self.digest = digest = block.header.digest
        self._prepares = {a: m for a, m in self._prepares.items() if m.digest == digest}
        self._commits = {a: m for a, m in self._commits.items() if m.digest == digest}

    def _process_prepared(self) -> list[Outcome]:
        self._move(_PREPARED)
        seat, block, prepares = self._seat, self.block, self._prepares
        assert block is not None
        assert len(prepares) >= seat.quorum
        outcomes: list[Outcome] = []
        if seat.author is not None:
            certificate = tuple(prepares[author] for author in sorted(prepares))
            prepared = Prepared(self.number, block, certificate)
            outcomes.append(self._lock.promise_commit(prepared))
            digest = block.header.digest
            signed = compute_seal_message(seat.chain_id, seat.height, self.number, digest)
            commit = Commit(
                seat.height, self.number, seat.author, digest,
                seat.application.sign(signed), signed,
            )
            self._commits[seat.author] = commit
            outcomes += SIGNED, Say(encode_message(commit))
        if len(self._commits) >= seat.quorum:
            outcomes.append(self._process_decided())
        return outcomes

    def _process_decided(self) -> Decide:
        self._move(_DECIDED)
        block, commits = self.block, self._commits
        assert block is not None
        assert len(commits) >= self._seat.quorum
        # All seals at hand, sorted as the block's encoding wants them.
        seals = tuple(Seal(author, commits[author].signature) for author in sorted(commits))
        return Decide(seal_block(block, self.number, seals))

    def _move(self, phase: Phase) -> None:
        assert (self.phase, phase) in TRANSITIONS
        self.phase = phase
