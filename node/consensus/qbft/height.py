"""One height: its rounds one after another, until a block is decided.

Leaving a round is final. The RoundChange that says so is stored before it is sent, so that no
vote for a lower round can follow it, not even after a restart.
"""

from typing import Final

from node.codec import Value
from node.consensus.engine import (
    CHECKED,
    SIGNED,
    UNKNOWN_PEER,
    Outcome,
    Say,
    make_ignored,
)
from node.consensus.qbft.buffer import Buffer
from node.consensus.qbft.lock import Lock
from node.consensus.qbft.messages import (
    Commit,
    Message,
    Prepare,
    Proposal,
    RoundChange,
    compute_proposal_message,
    compute_round_change_message,
    encode_message,
)
from node.consensus.qbft.phases import Phase
from node.consensus.qbft.round import DOUBLE, Round
from node.consensus.qbft.seat import Seat
from node.consensus.qbft.validation import (
    verify_block,
    verify_proposal,
    verify_round_change,
    verify_signature,
)
from node.consensus.quorum import compute_round_timeout_ns
from node.effects import Emit, SetTimer, Worked
from node.errors import InvalidMessage
from node.events import InputRefused, RoundChanged
from node.types import Now
from node.work import WorkKind

_WAITING: Final = Phase.WAITING
_DECIDED: Final = Phase.DECIDED

PAST_ROUND: Final = make_ignored("past round")
FUTURE_BLOCK: Final = make_ignored("future block")
VOTED_OTHERWISE: Final = make_ignored("voted otherwise")
NO_ROOM: Final = make_ignored("no room")


class Height:
    """The rounds of one height; of each author only the highest RoundChange is kept."""

    __slots__ = ("_buffer", "_is_started", "_lock", "_round_changes", "round", "seat")

    def __init__(self, seat: Seat, lock: Lock, buffer: Buffer) -> None:
        assert lock.height == seat.height
        self.seat = seat
        self._lock = lock
        self._buffer = buffer
        self._is_started = False
        self._round_changes: dict[int, RoundChange] = {}
        self.round = Round(seat, lock.round, lock)

    @property
    def is_decided(self) -> bool:
        """Whether this height waits for nothing but the next head."""
        return self.round.phase is _DECIDED

    @property
    def is_idle(self) -> bool:
        """Whether nothing has happened yet and the block timer is still to come."""
        return not (
            self._is_started or self._round_changes
            or self.round.number or self.round.phase is not _WAITING
        )

    def start(self, now: Now) -> list[Outcome]:
        """Wait for the block timer, or take up the round in which a restart interrupted us."""
        lock = self._lock
        if lock.round > 0 or lock.prepared is not None:
            return self._resume(now)
        due_ns = self.seat.parent.time_ns + self.seat.params.block_interval_ns
        wait_ns = due_ns - now.realtime_ns
        if wait_ns <= 0:
            return self.upon_block_timer(now)
        return [SetTimer(("block", self.seat.height, 0), now.monotonic_ns + wait_ns)]

    def upon_block_timer(self, now: Now) -> list[Outcome]:
        """The parent's interval is over: round 0 begins, unless a later one has."""
        if self._is_started or self.round.number > 0:
            return []
        self._is_started = True
        return [self._set_round_timer(now), *self._propose_if_due(now)]

    def upon_round_timer(self, now: Now, round_number: int) -> list[Outcome]:
        """The round took too long: go to the next, or wait until a quorum is in this one."""
        current = self.round
        if round_number != current.number or now.monotonic_ns < current.deadline_ns:
            return []
        if current.is_joined and round_number < self.seat.params.rounds_max:
            return self._enter_round(now, round_number + 1, "timeout")
        # Ours may have been lost, and without a quorum there is nothing else to say.
        mine = [change for author, change in self._round_changes.items()
                if (author, change.round) == (self.seat.author, round_number)]
        again: list[Outcome] = [Say(encode_message(change)) for change in mine]
        return [*again, self._set_round_timer(now)]

    def upon_message(self, now: Now, message: Message) -> list[Outcome]:
        """Raises InvalidMessage for what must cost its sender."""
        current = self.round
        # By frequency: of 49 messages per block 48 are Prepares and Commits.
        if current.phase is _DECIDED:
            return []
        if isinstance(message, Prepare):
            if message.round == current.number:
                return current.upon_prepare(message)
            return self._upon_other_round(message)
        if isinstance(message, Commit):
            if message.round == current.number:
                return current.upon_commit(message)
            return self._upon_other_round(message)
        if message.round < current.number:
            return [PAST_ROUND]
        if isinstance(message, RoundChange):
            return self._upon_round_change(now, message)
        return self._upon_proposal(now, message)

    def describe(self) -> Value:
        """All that this height remembers, for a digest of the engine's state."""
        changes = [self._round_changes[author] for author in sorted(self._round_changes)]
        return [
            self.seat.height, self._is_started, b"".join(self._lock.encode()),
            self.round.describe(),
            [encode_message(change) for change in changes],
        ]

    def _upon_other_round(self, message: Prepare | Commit) -> list[Outcome]:
        if message.round < self.round.number:
            return [PAST_ROUND]
        if self._buffer.has(message):
            return [DOUBLE]
        verify_signature(self.seat, message)
        return [CHECKED] if self._buffer.add(message) else [CHECKED, NO_ROOM]

    def _upon_proposal(self, now: Now, proposal: Proposal) -> list[Outcome]:
        current, header = self.round, proposal.block.header
        assert proposal.round >= current.number
        if proposal.round == current.number:
            if current.phase is not _WAITING:
                return [DOUBLE]
            if self._lock.voted not in (None, header.digest):
                return [VOTED_OTHERWISE]
        # The fault may be in either clock, so it costs the proposer its turn and no more.
        if header.time_ns > now.realtime_ns + self.seat.params.future_block_ns:
            return [FUTURE_BLOCK]
        checks = verify_proposal(self.seat, now, proposal)
        outcomes: list[Outcome] = [Worked(WorkKind.CHECK_SIGNATURE, checks)]
        if proposal.round > current.number:
            outcomes += self._begin_round(now, proposal.round, "proposal")
        if not self.round.is_joined:
            outcomes.append(self._join(now))
        return outcomes + self.round.process_proposal(proposal.block)

    def _upon_round_change(self, now: Now, change: RoundChange) -> list[Outcome]:
        known = self._round_changes.get(change.author)
        # Who is in a later round has left this one, so the highest says all.
        if known is not None and known.round >= change.round:
            return [DOUBLE]
        checks = verify_round_change(self.seat, change)
        self._round_changes[change.author] = change
        outcomes: list[Outcome] = [Worked(WorkKind.CHECK_SIGNATURE, checks)]
        current = self.round.number
        ahead = [other.round for other in self._round_changes.values() if other.round > current]
        # One of any f + 1 is honest, and it has left this round.
        if len(ahead) > self.seat.faults:
            return outcomes + self._enter_round(now, min(ahead), "jump")
        return outcomes + self._join_if_quorum(now) + self._propose_if_due(now)

    def _begin_round(self, now: Now, number: int, cause: str) -> list[Outcome]:
        assert number > self.round.number
        height = self.seat.height
        self.round = Round(
            self.seat, number, self._lock, self._buffer.take_round(height, number)
        )
        return [Emit(RoundChanged(height, number, cause)), self._set_round_timer(now)]

    def _enter_round(self, now: Now, number: int, cause: str) -> list[Outcome]:
        outcomes = self._begin_round(now, number, cause)
        if self.seat.author is not None:
            outcomes.append(self._lock.promise_round(number))
            outcomes += self._say_round_change(self.seat.author)
        return outcomes + self._join_if_quorum(now) + self._propose_if_due(now)

    def _join_if_quorum(self, now: Now) -> list[Outcome]:
        number = self.round.number
        there = sum(change.round >= number for change in self._round_changes.values())
        if self.round.is_joined or there < self.seat.quorum:
            return []
        return [self._join(now)]

    def _join(self, now: Now) -> Outcome:
        # PBFT's rule: the time of a round counts from when a quorum is there. Timers that only
        # follow one's own clock stay a whole round apart once they have reached their cap, and
        # with no more than a quorum alive f + 1 validators are never ahead together.
        assert not self.round.is_joined
        self.round.is_joined = True
        return self._set_round_timer(now)

    def _resume(self, now: Now) -> list[Outcome]:
        # Everything said again here is what was said before, to the byte.
        self._is_started = True
        outcomes: list[Outcome] = [self._set_round_timer(now)]
        prepared = self._lock.prepared
        if prepared is not None and prepared.round == self.round.number:
            return outcomes + self.round.restore(prepared)
        assert self.seat.author is not None
        return outcomes + self._say_round_change(self.seat.author)

    def _say_round_change(self, author: int) -> list[Outcome]:
        seat, prepared, number = self.seat, self._lock.prepared, self.round.number
        assert number == self._lock.round
        block = None if prepared is None else prepared.block
        claim = None if prepared is None else prepared.round
        assert claim is None or claim < number
        digest = None if block is None else block.header.digest
        signed = compute_round_change_message(seat.chain_id, seat.height, number, claim, digest)
        change = RoundChange(
            seat.height, number, author, claim, digest, seat.application.sign(signed), signed,
            block, () if prepared is None else prepared.prepares,
        )
        self._round_changes[author] = change
        return [SIGNED, Say(encode_message(change))]

    def _propose_if_due(self, now: Now) -> list[Outcome]:
        seat, number = self.seat, self.round.number
        # A vote that a restart left behind may have been for our own proposal, said and lost.
        if (
            seat.author != seat.compute_proposer(number)
            or self.round.phase is not _WAITING or self._lock.voted is not None
            or not (self._is_started or number)  # round 0 begins with the block timer
        ):
            return []
        changes = [self._round_changes[author] for author in sorted(self._round_changes)
                   if self._round_changes[author].round == number]
        if number == 0:
            assert not changes
        elif len(changes) < seat.quorum:
            return []
        return self._propose(now, tuple(changes))

    def _propose(self, now: Now, changes: tuple[RoundChange, ...]) -> list[Outcome]:
        seat, number = self.seat, self.round.number
        assert seat.author is not None
        bound = [change for change in changes if change.prepared_round is not None]
        # Ties are of the same block: two quorums of one round share an honest Prepare.
        highest = max(bound, key=lambda change: change.prepared_round or 0, default=None)
        block = highest.block if highest else seat.application.propose(now, seat.height)
        if block is None:
            return []
        try:
            # Besu stalled on proposals that their own maker had not checked (#6732).
            verify_block(seat, now, block)
        except InvalidMessage:
            return [Emit(InputRefused(UNKNOWN_PEER, "ignore", "own proposal"))]
        signed = compute_proposal_message(
            seat.chain_id, seat.height, number, block.header.digest
        )
        proposal = Proposal(
            seat.height, number, seat.author, block, seat.application.sign(signed), signed,
            changes, highest.prepares if highest else (),
        )
        return self.round.process_proposal(block, Say(encode_message(proposal)))

    def _set_round_timer(self, now: Now) -> SetTimer:
        params, number = self.seat.params, self.round.number
        timeout_ns = compute_round_timeout_ns(
            params.round_timeout_ns, params.round_timeout_max_ns, number
        )
        self.round.deadline_ns = deadline_ns = now.monotonic_ns + timeout_ns
        return SetTimer(("round", self.seat.height, number), deadline_ns)
