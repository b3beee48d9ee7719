"""The election: sealed ballots under one-time keys, opened and counted after the close.

A voting goes through four phases, each ended by one transaction of the registrar:

    REGISTERING --OpenVoting--> OPEN --CloseVoting--> CLOSED --FinalizeVoting--> FINAL
    RegisterVoters              IssueBallots          PublishShare (holders)
                                AddVoterKeys          ResolveRevotes
                                StoreBallot (voters)  DecryptBallots

It follows Moscow's of 2021 (dit-votings-service) with two differences: re-votes are resolved on
the public chain, under commitments made before the vote, and batches are first-class.

Kinds and payloads (sequences of items are packed into one byte string):
    20 CreateVoting   [voting, districts, choices, open_ns, close_ns, grace_ns,
                       [holder(32), ...], threshold, box_public(32)]
    21 RegisterVoters [voting, page, districts(1 each)]       voter id = page * 100 + place
    22 OpenVoting     [voting]
    24 IssueBallots   [voting, voters(8 each, big-endian)]
    25 AddVoterKeys   [voting, keys(32 each), districts(1 each), commitments(32 each)]
    26 StoreBallot    [voting, district, box_public(32), nonce(24), box(32)]
    27 CloseVoting    [voting]
    28 PublishShare   [voting, index, share(32)]
    29 ResolveRevotes [voting, [[group_secret(32), keys(32 each)], ...]]
    30 DecryptBallots [voting, keys(32 each), plains(16 each)]
    31 FinalizeVoting [voting]
"""

from typing import Final

from node.services.call import Handler
from node.services.election.ballots import (
    BOX_BYTES,
    PLAIN_BYTES,
    SPOILT,
    encode_choice,
    make_store_ballot,
    open_ballot,
    process_store_ballot,
    seal_ballot,
)
from node.services.election.readers import (
    Ballot,
    Result,
    get_ballot,
    get_counters,
    get_failures,
    get_result,
    get_tally,
    get_voter_status,
    get_voting_terms,
    list_ballots,
)
from node.services.election.records import ItemFailure, Standing, Terms
from node.services.election.registry import (
    compute_commitment,
    make_add_voter_keys,
    make_issue_ballots,
    make_register_voters,
    process_add_voter_keys,
    process_issue_ballots,
    process_register_voters,
)
from node.services.election.tally import (
    make_decrypt_ballots,
    make_publish_share,
    make_resolve_revotes,
    process_decrypt_ballots,
    process_publish_share,
    process_resolve_revotes,
)
from node.services.election.voting import (
    make_close_voting,
    make_create_voting,
    make_finalize_voting,
    make_open_voting,
    process_close_voting,
    process_create_voting,
    process_finalize_voting,
    process_open_voting,
)

CREATE_VOTING: Final = 20
REGISTER_VOTERS: Final = 21
OPEN_VOTING: Final = 22
ISSUE_BALLOTS: Final = 24
ADD_VOTER_KEYS: Final = 25
STORE_BALLOT: Final = 26
CLOSE_VOTING: Final = 27
PUBLISH_SHARE: Final = 28
RESOLVE_REVOTES: Final = 29
DECRYPT_BALLOTS: Final = 30
FINALIZE_VOTING: Final = 31

HANDLERS: dict[int, Handler] = {
    CREATE_VOTING: process_create_voting,
    REGISTER_VOTERS: process_register_voters,
    OPEN_VOTING: process_open_voting,
    ISSUE_BALLOTS: process_issue_ballots,
    ADD_VOTER_KEYS: process_add_voter_keys,
    STORE_BALLOT: process_store_ballot,
    CLOSE_VOTING: process_close_voting,
    PUBLISH_SHARE: process_publish_share,
    RESOLVE_REVOTES: process_resolve_revotes,
    DECRYPT_BALLOTS: process_decrypt_ballots,
    FINALIZE_VOTING: process_finalize_voting,
}

SELF_ORDERED: frozenset[int] = frozenset({STORE_BALLOT})
"""Kinds that are sent once by a one-time key: with nonce 0, settled by their handler."""

__all__ = [
    "ADD_VOTER_KEYS",
    "BOX_BYTES",
    "CLOSE_VOTING",
    "CREATE_VOTING",
    "DECRYPT_BALLOTS",
    "FINALIZE_VOTING",
    "HANDLERS",
    "ISSUE_BALLOTS",
    "OPEN_VOTING",
    "PLAIN_BYTES",
    "PUBLISH_SHARE",
    "REGISTER_VOTERS",
    "RESOLVE_REVOTES",
    "SELF_ORDERED",
    "SPOILT",
    "STORE_BALLOT",
    "Ballot",
    "ItemFailure",
    "Result",
    "Standing",
    "Terms",
    "compute_commitment",
    "encode_choice",
    "get_ballot",
    "get_counters",
    "get_failures",
    "get_result",
    "get_tally",
    "get_voter_status",
    "get_voting_terms",
    "list_ballots",
    "make_add_voter_keys",
    "make_close_voting",
    "make_create_voting",
    "make_decrypt_ballots",
    "make_finalize_voting",
    "make_issue_ballots",
    "make_open_voting",
    "make_publish_share",
    "make_register_voters",
    "make_resolve_revotes",
    "make_store_ballot",
    "open_ballot",
    "seal_ballot",
]
