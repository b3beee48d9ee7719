"""What a validator has promised at one height, stored before anyone hears of it.

A Prepare, Commit or RoundChange binds its author for as long as the height lasts. Besu and
GoQuorum keep that in memory; a validator that restarts there forgets its lock, and restarting
many at once, the documented cure for a stall, can fork the chain. Here each promise is durable
before it is said, so a restart is nothing but a long silence:

- ``round``: entered for good. A RoundChange for it says that no lower round gets a vote.
- ``voted``: the digest that got our Prepare (or Proposal) in that round.
- ``prepared``: the last round that gathered a quorum of Prepares, which got our Commit, with
  the block and the Prepares that prove it to others.
"""

from dataclasses import dataclass
from typing import Final

from node.block import Block, decode_block
from node.codec import decode, encode, encode_bytes_head, is_below
from node.consensus.qbft.messages import HEIGHT_MAX, Decoder, Prepare, encode_message
from node.effects import Persist
from node.params import Params
from node.types import Digest

SLOT: Final = "lock"

_ARRAY_OF_3: Final = b"\x93"
_ARRAY_OF_4: Final = b"\x94"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A block and the quorum of Prepares, by ascending authors, that it got in ``round``."""

    round: int
    block: Block
    prepares: tuple[Prepare, ...]


class Lock:
    """The promises at one height; each method returns the Persist that must come first."""

    __slots__ = ("height", "prepared", "round", "voted")

    def __init__(
        self, height: int, round_number: int = 0, voted: Digest | None = None,
        prepared: Prepared | None = None,
    ) -> None:
        assert height >= 1
        self.height = height
        self.round = round_number
        self.voted = voted
        self.prepared = prepared

    def promise_round(self, round_number: int) -> Persist:
        """No vote in a lower round any more."""
        assert round_number > self.round
        self.round = round_number
        self.voted = None
        return Persist(SLOT, self.encode())

    def promise_prepare(self, round_number: int, block: Digest) -> Persist:
        """No Prepare for another block in this round."""
        assert round_number >= self.round
        assert self.voted in (None, block) or round_number > self.round
        self.round = round_number
        self.voted = block
        return Persist(SLOT, self.encode())

    def promise_commit(self, prepared: Prepared) -> Persist:
        """Every later RoundChange carries this block."""
        assert prepared.round == self.round
        assert prepared.block.header.digest == self.voted
        self.prepared = prepared
        return Persist(SLOT, self.encode())

    def encode(self) -> tuple[bytes, ...]:
        """The record that ``decode_lock`` reads, in parts: the block's are all validators'."""
        # One slot, replaced whole: a record is never half of one promise and half of another.
        promised = encode(self.height) + encode(self.round) + encode(self.voted)
        prepared = self.prepared
        if prepared is None:
            return (_ARRAY_OF_4 + promised + encode(None),)
        block = prepared.block
        return (
            _ARRAY_OF_4 + promised + _ARRAY_OF_3 + encode(prepared.round)
            + encode_bytes_head(block.size),
            block.head, block.body,
            encode([encode_message(prepare) for prepare in prepared.prepares]),
        )


def decode_lock(record: bytes, decode_payload: Decoder, params: Params) -> Lock:
    """The promises in a record that this node wrote; raises NodeError if it is damaged."""
    match decode(record, len(record)):
        case [height, round_number, voted, None] if (
            is_below(height, HEIGHT_MAX) and is_below(round_number, HEIGHT_MAX)
            and (voted is None or isinstance(voted, bytes))
        ):
            return Lock(height, round_number, voted)
        case [height, round_number, voted,
              [prepared_round, bytes(block), list(payloads)]] if (
            is_below(height, HEIGHT_MAX) and is_below(round_number, HEIGHT_MAX)
            and is_below(prepared_round, round_number + 1)
            and (voted is None or isinstance(voted, bytes))
        ):
            prepares = []
            for payload in payloads:
                assert isinstance(payload, bytes)
                prepare = decode_payload(payload)
                assert isinstance(prepare, Prepare)
                prepares.append(prepare)
            prepared = Prepared(prepared_round, decode_block(block, params), tuple(prepares))
            return Lock(height, round_number, voted, prepared)
    raise AssertionError("the lock's record is not one")
