"""A chain's state as bytes: what a node that stops reads back when it starts again.

A snapshot is its mark, which says what it is of, and the state's buckets that hold records. A
bucket is immutable and small (65,536 of them share the state), so that who keeps one snapshot
makes the next from the few buckets that changed. Nothing here is taken on trust: the buckets
give the root to which the header at the mark's height commits, or they are refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from node.codec import Value, decode, encode, is_below
from node.consensus.authorities import Authorities
from node.consensus.tally import Ballot, ValidatorTally
from node.errors import InvalidBlock, InvalidEncoding
from node.run import RECORD_BYTES_MAX
from node.state import State, build_state
from node.types import DIGEST_BYTES, KEY_BYTES, Digest

BUCKETS = 1 << 16


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose state it is: the final block at ``height``, and the authorities after it."""

    height: int
    digest: Digest
    authorities: Authorities

    def encode(self) -> bytes:
        """The record that ``decode_mark`` reads."""
        tally = self.authorities.tally
        ballots: Value = [[ballot.about, ballot.by, ballot.is_add] for ballot in tally.ballots]
        return encode([self.height, self.digest, tally.validators, ballots])


def decode_mark(encoded: bytes, epoch_blocks: int) -> Mark:
    """Raises InvalidEncoding for anything that is not a mark."""
    match decode(encoded, len(encoded)):
        case [height, bytes(digest), list(validators), list(ballots)] if (
            validators and is_below(height, 2**64) and height and len(digest) == DIGEST_BYTES
        ):
            tally = ValidatorTally(
                tuple(_decode_key(key, encoded) for key in validators),
                tuple(_decode_ballot(ballot, encoded) for ballot in ballots),
            )
            return Mark(height, digest, Authorities(tally, epoch_blocks))
    raise InvalidEncoding("not a snapshot's mark", len(encoded))


def _decode_key(value: Value, encoded: bytes) -> bytes:
    if isinstance(value, bytes) and len(value) == KEY_BYTES:
        return value
    raise InvalidEncoding("not a validator's key", len(encoded))


def _decode_ballot(value: Value, encoded: bytes) -> Ballot:
    match value:
        case [about, by, bool(is_add)]:
            return Ballot(_decode_key(about, encoded), _decode_key(by, encoded), is_add)
    raise InvalidEncoding("not a pending vote", len(encoded))


def encode_bucket(records: tuple[bytes, ...]) -> bytes:
    """The record that ``decode_bucket`` reads; of an empty bucket too."""
    return encode(records)


def decode_bucket(encoded: bytes) -> tuple[bytes, ...]:
    """Raises InvalidEncoding for anything that is not a list of records, or one too long."""
    values = decode(encoded, len(encoded))
    if not isinstance(values, list):
        raise InvalidEncoding("not a bucket", len(encoded))
    records = tuple(value for value in values if isinstance(value, bytes))
    if len(records) != len(values):
        raise InvalidEncoding("not a bucket of records", len(encoded))
    if any(len(record) > RECORD_BYTES_MAX for record in records):
        raise InvalidEncoding("a record too long", len(encoded))
    return records


def restore_state(buckets: Iterable[tuple[int, bytes]], root: Digest) -> State:
    """The state under ``root`` from numbers and encodings of its buckets, in any order.

    Raises InvalidEncoding for a malformed bucket, InvalidBlock if the root is another.
    """
    state = build_state(_decode_buckets(buckets))
    if state.root != root:
        raise InvalidBlock("snapshot", root.hex(), state.root.hex())
    return state


def _decode_buckets(
    buckets: Iterable[tuple[int, bytes]]
) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    for number, encoded in buckets:
        if not 0 <= number < BUCKETS:
            raise InvalidEncoding("no such bucket", len(encoded))
        records = decode_bucket(encoded)
        if records:
            yield number, records
