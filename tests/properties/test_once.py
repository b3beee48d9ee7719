"""However transactions are repeated, reordered and split into blocks, none executes twice.

Neither a mempool nor a block's checks keep a bundle from being final again: what protects is
the execution alone, by the sender's nonce and, for ballots, by the one-time key's own record.
"""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from node.bundle import decode_bundle, make_bundle
from node.execution import execute_bundles, get_nonce
from node.receipt import decode_receipt
from node.services import election
from node.services.identity import (
    ENABLE_SERVICE,
    GRANT_RIGHT,
    REGISTER,
    make_enable_service,
    make_grant_right,
)
from node.state import EMPTY_STATE
from node.transaction import make_transaction
from node.work import Work
from tests.node.samples import CHAIN, PARAMS, make_identity

CHIEF, RELAY = make_identity("registrar"), make_identity("relay")
VOTERS = [make_identity(f"one-time key {n}") for n in range(2)]
BOX = (bytes(32), bytes(24), bytes(election.BOX_BYTES))
ADD_KEYS = election.make_add_voter_keys(
    1, [voter.public for voter in VOTERS], [1, 1], [bytes(32), bytes([1]) * 32]
)
OFFICE = [
    (ENABLE_SERVICE, make_enable_service("election")),
    (election.CREATE_VOTING, election.make_create_voting(
        voting=1, districts=1, choices=2, open_ns=0, close_ns=10**6, grace_ns=0,
        holders=[CHIEF.public], threshold=1, box_public=bytes(32),
    )),
    (election.REGISTER_VOTERS, election.make_register_voters(1, 0, [1, 1])),
    (election.OPEN_VOTING, election.make_open_voting(1)),
    (election.ISSUE_BALLOTS, election.make_issue_ballots(1, [0, 1])),
    (election.ADD_VOTER_KEYS, ADD_KEYS),
    (GRANT_RIGHT, make_grant_right(VOTERS[0].public, REGISTER)),
]
SENT = [
    make_transaction(CHIEF, CHAIN, kind, nonce, payload)
    for nonce, (kind, payload) in enumerate(OFFICE, 1)
] + [
    make_transaction(
        voter, CHAIN, election.STORE_BALLOT, 0, election.make_store_ballot(1, 1, *BOX)
    )
    for voter in VOTERS
]
PLACES = st.integers(0, len(SENT) - 1)


def execute(blocks):
    """The receipts of all blocks in order, and the state after the last."""
    state, receipts = EMPTY_STATE, []
    for height, places in enumerate(blocks, 1):
        bundle = make_bundle(RELAY, CHAIN, height, [SENT[place] for place in places])
        decoded = decode_bundle(bundle, PARAMS)
        output = execute_bundles(state, height, height, [decoded], CHIEF.public, Work())
        receipts += map(decode_receipt, output.receipts)
        state = output.state
    return receipts, state


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(PLACES, min_size=1, max_size=8), max_size=12), st.booleans())
def test_no_transaction_is_executed_twice(blocks, is_ready):
    if is_ready:  # chance alone would seldom get as far as a ballot
        blocks = [list(range(len(SENT))), *blocks]
    receipts, state = execute(blocks)
    executed = Counter(receipt.transaction_id for receipt in receipts if receipt.status == "ok")
    assert all(times == 1 for times in executed.values())
    assert len(executed) == len(SENT) or not is_ready
    asked = {voter.public: election.get_ballot(state, 1, voter.public) for voter in VOTERS}
    known = {key: ballot for key, ballot in asked.items() if ballot is not None}
    assert dict(election.list_ballots(state, 1)) == known
    assert not dict(election.list_ballots(state, 2))
    stored = len(known)
    assert get_nonce(state, CHIEF.public) <= len(OFFICE)
    if is_ready:
        assert stored == election.get_counters(state, 1).stored == len(VOTERS)


def test_what_was_refused_without_using_up_a_nonce_may_execute_when_it_comes_again():
    order = len(OFFICE)
    receipts, _ = execute([[order, 1], [0, *range(1, order)], [order]])
    statuses = {}
    for receipt in receipts:
        statuses.setdefault(receipt.transaction_id, []).append(receipt.status)
    assert [told for told in statuses.values() if len(told) > 1] == [
        ["service not enabled", "ok"], ["nonce gap", "ok"],
    ]
