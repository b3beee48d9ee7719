"""What a state says of every voting: where a recount begins that lacks the blocks before.

A ballot that is sealed in the state is opened and counted like any other. Of one that was
settled before, the state keeps what it was found to be and no box: that is taken as it stands.
The hour of either is that of its block, if the trail to the state has that one's header.
"""

from collections.abc import Mapping

from node.crypto import NONCE_BYTES
from node.execution import SEQUENCE_PER_BLOCK
from node.host.count import Ballot, Count
from node.services import election
from node.services.election.records import (
    ADDED,
    BOX_AT,
    STANDING_KEY,
    STORED,
    SUPERSEDED,
    find_standing,
    get_terms,
    make_share_key,
    make_voter_prefix,
    read_sequence,
)
from node.state import State
from node.types import DIGEST_BYTES, KEY_BYTES

_COMMITMENT = slice(2, 2 + DIGEST_BYTES)


def read_counts(state: State, times_ns: Mapping[int, int]) -> dict[int, Count]:
    """Each voting in ``state``, counted as far as it is; ``times_ns`` of blocks by height."""
    return {
        voting: _read_count(state, voting, times_ns)
        for voting in sorted(
            int.from_bytes(key[len(STANDING_KEY) :], "big")
            for key, _ in state.items(STANDING_KEY)
        )
    }


def _read_count(state: State, voting: int, times_ns: Mapping[int, int]) -> Count:
    standing, terms = find_standing(state, voting), get_terms(state, voting)
    count = Count(
        voting=voting, districts=terms.districts, choices=terms.choices,
        open_ns=standing.open_ns, deadline_ns=standing.deadline_ns,
        threshold=terms.threshold, box_public=terms.box_public,
    )
    for index in range(1, len(terms.holders) + 1):
        share = state.get(make_share_key(voting, index))
        if share is not None:
            count.add_share(index, share)
    prefix = make_voter_prefix(voting)
    ballots: list[tuple[int, bytes, Ballot]] = []
    for name, record in state.items(prefix):
        key = name[len(prefix) :]
        if record[0] in (ADDED, STORED):
            count.commitments[key] = {record[_COMMITMENT]}
        if record[0] == STORED:
            ballots.append((read_sequence(record), key, _read_sealed(record)))
        elif record[0] != ADDED:
            found = election.get_ballot(state, voting, key)
            assert found is not None
            ballots.append((found.sequence, key, _read_settled(found)))
    for place, (sequence, key, ballot) in enumerate(sorted(ballots, key=lambda item: item[:2])):
        ballot.place = place
        count.ballots[key] = ballot
        time_ns = times_ns.get(sequence // SEQUENCE_PER_BLOCK)
        if time_ns is None:
            count.untimed += 1
        else:
            count.check_hours(key, time_ns)
    return count


def _read_sealed(record: bytes) -> Ballot:
    nonce_at = BOX_AT + KEY_BYTES
    box_at = nonce_at + NONCE_BYTES
    return Ballot(
        0, record[1], record[BOX_AT:nonce_at], record[nonce_at:box_at], record[box_at:]
    )


def _read_settled(found: election.Ballot) -> Ballot:
    is_superseded = found.status == SUPERSEDED
    choice = None if is_superseded else found.choice
    return Ballot(0, found.district, b"", b"", b"", choice, is_superseded)
