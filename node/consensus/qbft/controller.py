"""QBFT: how N validators, of whom f may lie, agree on one block per height.

Rules (N validators, f = floor((N-1)/3), quorum Q = ceil(2N/3)):

1. The proposer of (height, round) is the validator after the previous block's proposer, plus
   the round. Round 0 begins when the parent's block interval is over, and its timer with it.
2. The proposer says Proposal(block). Whoever finds it valid says Prepare, the proposer too.
3. A quorum of Prepares is a lock: it is stored, then Commit is said, which is the block's seal.
4. A quorum of Commits decides the block. It carries their seals and is final.
5. When a round takes too long (doubling, up to a cap), a validator goes to the next and says
   RoundChange with its lock. f + 1 RoundChanges for later rounds take it to the smallest. The
   time of a later round counts from when a quorum is known to be there; until then a validator
   stays and says its RoundChange again at each timeout. So those ahead wait for the others.
6. The proposer of a later round needs a quorum of RoundChanges for that round. It proposes the
   block of the highest lock among them, or a block of its own if nobody holds a lock, and the
   Proposal carries the proof. A proven Proposal for a later round takes everyone there.
7. Nothing that binds is said before it is stored: Prepare, Commit, RoundChange. A validator
   that restarts goes on in the round where it was, says the same again and nothing else.

Why no fork: two quorums share an honest validator. If a block was decided in round m, a quorum
holds a lock on it, so every quorum of RoundChanges for a later round shows that lock or one of
a higher round, which by the same argument is a lock on the same block.

One round at one validator:

    waiting   -- a valid Proposal --> accepted
    accepted  -- Q Prepares -------> prepared
    accepted  -- Q Commits --------> decided
    prepared  -- Q Commits --------> decided

Leaving a round is no transition: Controller > Height > Round are objects that live as long as
their scope, and a new round is a new Round.

Where implementations differ: the proposer after a change of validators is Besu's (by key); a
round timer is set anew for each round (not Dafny's); a proven Proposal of any later round is
taken (Besu's, not Dafny's); signers are counted, not signatures; a Commit counts as our own
only after we prepared (Dafny's, not Besu's early import); a block has no round in its header,
so proposing it again changes nothing in it; of one author only the RoundChange of the highest
round is kept, which bounds memory and costs at most a round; waiting for a quorum before a
later round's time counts is PBFT's rule, without which capped timers can stay a round apart
for ever; the lock is on disk (nobody's). After ``rounds_max`` rounds validators stay in the
last one: 16 hours at the default cap, not counting the time in which no quorum was there.
"""

from functools import partial
from typing import Final

from node.block import Header
from node.codec import encode
from node.consensus.authorities import Authorities, make_authorities
from node.consensus.engine import (
    CHECKED,
    Application,
    Behind,
    Engine,
    Outcome,
    make_ignored,
)
from node.consensus.qbft.buffer import Buffer
from node.consensus.qbft.height import NO_ROOM, Height
from node.consensus.qbft.lock import Lock, decode_lock
from node.consensus.qbft.messages import Decoder, Message, decode_message, encode_message
from node.consensus.qbft.round import DOUBLE
from node.consensus.qbft.seat import make_seat
from node.crypto import digest
from node.errors import InvalidMessage
from node.params import Genesis
from node.types import Now, PublicKey

PAST_HEIGHT: Final = make_ignored("past height")
UNVERIFIABLE: Final = make_ignored("unverifiable")


class Controller(Engine):
    """The QBFT engine of one node; call ``upon_head`` first."""

    __slots__ = (
        "_application", "_authorities", "_buffer", "_chain_id", "_decode", "_genesis",
        "_height", "_identity", "_number", "_stored",
    )
    _height: Height

    def __init__(
        self, genesis: Genesis, chain_id: bytes, identity: PublicKey, application: Application,
        lock: bytes | None = None, decode: Decoder | None = None,
    ) -> None:
        """``lock`` is what was last persisted in slot "lock".

        ``decode`` must do what ``decode_message`` does; a host with many nodes remembers it.
        Raises NodeError if ``lock`` is damaged.
        """
        params = genesis.params
        self._genesis = genesis
        self._chain_id = chain_id
        self._identity = identity
        self._application = application
        self._decode = decode or partial(decode_message, chain_id=chain_id, params=params)
        self._authorities: Authorities | None = None
        self._buffer = Buffer(params, len(genesis.validators))
        self._stored = None if lock is None else decode_lock(lock, self._decode, params)
        self._number = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way until the block timer."""
        return self._height.is_idle and self._buffer.count() == 0

    def upon_head(
        self, now: Now, head: Header, authorities: Authorities | None = None
    ) -> list[Outcome]:
        """Start the height after ``head``; a head that is not above the last does nothing.

        ``authorities`` after ``head`` must be given unless it is block 0 or the next in order.
        """
        number = head.height + 1
        if number <= self._number:
            return []
        self._authorities = authorities or self._fold(head)
        validators = self._authorities.validators
        author = validators.index(self._identity) if self._identity in validators else None
        lock = Lock(number)
        if self._stored is not None and self._stored.height >= number:
            if self._stored.height == number:
                lock = self._stored
            else:
                author = None  # we promised things above: be silent until the chain is there
        # If validators changed, indices are of another list: all is judged anew.
        early = [message for message in self._buffer.get_messages() if message.height >= number]
        params = self._genesis.params
        self._buffer = buffer = Buffer(params, len(validators))
        self._number = number
        seat = make_seat(params, self._chain_id, head, validators, author, self._application)
        self._height = Height(seat, lock, buffer)
        outcomes = self._height.start(now)
        for message in early:
            outcomes += self._replay(now, message)
        return outcomes

    def upon_message(self, now: Now, payload: bytes) -> list[Outcome]:
        """Raises InvalidMessage for what must cost its sender, and then nothing has changed."""
        # Decoding is remembered by content where many nodes share a process; the rest of the
        # way must not cost more than that look-up.
        message = self._decode(payload)
        if message.height == self._number:
            return self._height.upon_message(now, message)
        return self._upon_other_height(message)

    def upon_timer(self, now: Now, timer: tuple[str, int, int]) -> list[Outcome]:
        """Timers of other heights, and of a decided one, do nothing."""
        kind, number, round_number = timer
        assert kind in ("block", "round")
        if number != self._number or self._height.is_decided:
            return []
        if kind == "block":
            return self._height.upon_block_timer(now)
        return self._height.upon_round_timer(now, round_number)

    def compute_digest(self) -> bytes:
        """A digest of all that the engine remembers."""
        early = tuple(encode_message(message) for message in self._buffer.get_messages())
        return digest(b"engine", encode([self._height.describe(), early]))

    def _fold(self, head: Header) -> Authorities:
        if head.height == 0:
            return make_authorities(self._genesis)
        assert self._authorities is not None, "give authorities when starting above block 0"
        assert head.height == self._number, "give authorities when heads are skipped"
        return self._authorities.apply(head)

    def _replay(self, now: Now, message: Message) -> list[Outcome]:
        if message.height > self._number:
            fits = message.author < len(self._height.seat.validators)
            return [] if fits and self._buffer.add(message) else [NO_ROOM]
        try:
            return self._height.upon_message(now, message)
        except InvalidMessage:
            # Its sender was judged when it came; the validators may have changed since.
            return [UNVERIFIABLE]

    def _upon_other_height(self, message: Message) -> list[Outcome]:
        ahead = message.height - self._number
        if ahead == -1:
            return []  # more Prepares and Commits than were needed for the last block
        if ahead < 0:
            return [PAST_HEIGHT]
        validators = self._height.seat.validators
        if message.author >= len(validators):
            return [UNVERIFIABLE]
        is_near = ahead <= self._genesis.params.future_heights_max
        if is_near and self._buffer.has(message):
            # Who repeats itself is still up there, and blocks are still missing here.
            return [DOUBLE, Behind(message.height)]
        # By then the validators may be others, so a wrong signature proves nothing yet.
        if not self._application.check_signature(
            validators[message.author], message.signed, message.signature
        ):
            return [CHECKED, UNVERIFIABLE]
        if is_near and not self._buffer.add(message):
            return [CHECKED, NO_ROOM, Behind(message.height)]
        return [CHECKED, Behind(message.height)]
