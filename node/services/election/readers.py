"""What anyone may read of an election, from a Ledger, a State, or any other holder of records.

A voting that does not exist reads as None, or as nothing in a sequence.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from node.codec import decode
from node.ledger import Readable
from node.services.election.records import (
    ADDED,
    PAGE_VOTERS,
    STANDING,
    STANDING_KEY,
    STORED,
    UNREGISTERED,
    VOTINGS_MAX,
    ItemFailure,
    Standing,
    Terms,
    get_terms,
    make_failure_key,
    make_page_key,
    make_result_key,
    make_tally_key,
    make_voter_prefix,
    pack_voting,
    read_sequence,
    unpack_counts,
    unpack_settled,
)
from node.state import State
from node.types import PublicKey

_FAILURE_BYTES_MAX: Final = 256


class Result(NamedTuple):
    """The end of a voting: ``tallies[district - 1][choice]``, where choice 0 is spoiled."""

    counters: Standing
    tallies: tuple[tuple[int, ...], ...]


class Ballot(NamedTuple):
    """What has become of a one-time key: ADDED, STORED, DECRYPTED, SPOILED or SUPERSEDED.

    ``sequence`` is the ballot's place in the chain's order, 0 while there is none; ``choice``
    is 0 until a choice has been counted.
    """

    status: int
    district: int
    sequence: int
    choice: int


def get_counters(records: Readable, voting: int) -> Standing | None:
    """Phase, window and counters of a voting."""
    if not 0 <= voting < VOTINGS_MAX:
        return None
    record = records.get(STANDING_KEY + pack_voting(voting))
    return None if record is None else Standing._make(STANDING.unpack(record))


def get_voting_terms(records: Readable, voting: int) -> Terms | None:
    """What the voting is about, and its secret once the shares have restored it."""
    if get_counters(records, voting) is None:
        return None
    return get_terms(records, voting)


def get_tally(records: Readable, voting: int, district: int) -> tuple[int, ...]:
    """Counts so far by choice, 0 being spoiled; empty before the district's first ballot."""
    assert 0 < district < 256, district
    record = records.get(make_tally_key(voting, district))
    return () if record is None else tuple(unpack_counts(record))


def get_result(records: Readable, voting: int) -> Result | None:
    """The result record, once the voting is finalized."""
    terms = get_voting_terms(records, voting)
    record = records.get(make_result_key(voting)) if terms else None
    if terms is None or record is None:
        return None
    counts = unpack_counts(record[STANDING.size :])
    width = terms.choices + 1
    assert len(counts) == width * terms.districts
    tallies = tuple(tuple(counts[at : at + width]) for at in range(0, len(counts), width))
    return Result(Standing._make(STANDING.unpack_from(record)), tallies)


def get_failures(records: Readable, voting: int, first: int = 0) -> tuple[ItemFailure, ...]:
    """Recorded failures of items, in order, from number ``first`` on."""
    counters = get_counters(records, voting)
    last = 0 if counters is None else counters.failures
    return tuple(_get_failure(records, voting, number) for number in range(first, last))


def get_voter_status(records: Readable, voting: int, voter: int) -> int:
    """UNREGISTERED, REGISTERED or ISSUED."""
    page, place = divmod(voter, PAGE_VOTERS)
    record = records.get(make_page_key(voting, page)) or b""
    return record[place] if place < len(record) >> 1 else UNREGISTERED


def get_ballot(records: Readable, voting: int, key: PublicKey) -> Ballot | None:
    """The record of a one-time key, None if it was never added."""
    record = records.get(make_voter_prefix(voting) + key)
    return None if record is None else _unpack_ballot(record)


def list_ballots(state: State, voting: int) -> Iterator[tuple[PublicKey, Ballot]]:
    """All one-time keys and their records, in the state's order; walks the whole state."""
    prefix = make_voter_prefix(voting)
    for key, record in state.items(prefix):
        yield key[len(prefix) :], _unpack_ballot(record)


def _unpack_ballot(record: bytes) -> Ballot:
    if record[0] == ADDED:
        return Ballot(ADDED, record[1], 0, 0)
    if record[0] == STORED:
        return Ballot(STORED, record[1], read_sequence(record), 0)
    return Ballot._make(unpack_settled(record))


def _get_failure(records: Readable, voting: int, number: int) -> ItemFailure:
    record = records.get(make_failure_key(voting, number))
    assert record is not None, number
    fields = cast(list[object], decode(record, _FAILURE_BYTES_MAX))
    return ItemFailure._make(fields)
