"""What one ballot costs a node, apart from its cryptography: decoding, executing, encoding."""

import time
from collections.abc import Callable

from node.bundle import Bundle, decode_bundle, make_bundle
from node.crypto import Identity, derive_box_public, digest
from node.execution import execute_bundles
from node.params import Params
from node.receipt import encode_receipt
from node.services import election, identity
from node.services.catalogue import SERVICES
from node.state import EMPTY_STATE, State
from node.transaction import decode_transaction, make_transaction
from node.work import Work

CHAIN_ID = bytes(8)
BALLOTS = 2_000
PAGE = 100
SECOND_NS = 1_000_000_000


def time_per_item(deed: Callable[[], object], items: int, repeats: int = 5) -> float:
    """Median nanoseconds per item over ``repeats`` calls of ``deed``."""
    spans = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        deed()
        spans.append((time.perf_counter_ns() - start) / items)
    return sorted(spans)[repeats // 2]


def make_identity(number: int) -> Identity:
    """A key pair for a benchmark."""
    return Identity(digest(b"bench", number.to_bytes(8, "big")))


def prepare_election(registrar: Identity, voters: list[Identity]) -> State:
    """The state of an open voting in which each of ``voters`` holds a one-time key."""
    secret = digest(b"bench", b"election")
    holders = [make_identity(1_000_000 + number).public for number in range(5)]
    deeds = [
        (identity.ENABLE_SERVICE, identity.make_enable_service(name)) for name in SERVICES
    ]
    deeds.append((election.CREATE_VOTING, election.make_create_voting(
        voting=1, districts=15, choices=10, open_ns=0, close_ns=3_600 * SECOND_NS,
        grace_ns=900 * SECOND_NS, holders=holders, threshold=3,
        box_public=derive_box_public(secret),
    )))
    pages = range(len(voters) // PAGE)
    for page in pages:
        register = election.make_register_voters(1, page, [1] * PAGE)
        deeds.append((election.REGISTER_VOTERS, register))
    deeds.append((election.OPEN_VOTING, election.make_open_voting(1)))
    for page in pages:
        numbers = list(range(page * PAGE, (page + 1) * PAGE))
        keys = [voters[number].public for number in numbers]
        deeds.append((election.ISSUE_BALLOTS, election.make_issue_ballots(1, numbers)))
        deeds.append((election.ADD_VOTER_KEYS, election.make_add_voter_keys(
            1, keys, [1] * PAGE, [bytes(32)] * PAGE
        )))
    transactions = [
        make_transaction(registrar, CHAIN_ID, kind, nonce, payload)
        for nonce, (kind, payload) in enumerate(deeds, 1)
    ]
    bundle = bundle_up(transactions)
    output = execute_bundles(EMPTY_STATE, 1, SECOND_NS, [bundle], registrar.public, Work())
    failed = {status for outcome in output.outcomes for _, status in outcome} - {"ok"}
    assert not failed, failed
    return output.state


def bundle_up(transactions: list[bytes]) -> Bundle:
    """One decoded bundle of these transactions."""
    return decode_bundle(make_bundle(make_identity(0), CHAIN_ID, 0, transactions), Params())


def make_ballots(voters: list[Identity]) -> list[bytes]:
    """One sealed ballot of each voter."""
    public = derive_box_public(digest(b"bench", b"election"))
    ballots = []
    for voter in voters:
        nonce = voter.public[:24]
        box_public, _, box = election.seal_ballot(3, public, voter.public, nonce)
        payload = election.make_store_ballot(1, 1, box_public, nonce, box)
        ballots.append(make_transaction(voter, CHAIN_ID, election.STORE_BALLOT, 0, payload))
    return ballots


def measure_transactions() -> dict[str, float]:
    """Nanoseconds per ballot of each step that a relay or validator takes with it."""
    params = Params()
    registrar = make_identity(1)
    voters = [make_identity(10 + number) for number in range(BALLOTS)]
    state = prepare_election(registrar, voters)
    ballots = make_ballots(voters)
    bundle = bundle_up(ballots)

    def execute() -> State:
        output = execute_bundles(
            state, 2, 2 * SECOND_NS, [bundle], registrar.public, Work()
        )
        assert output.outcomes[0][0][1] == "ok", output.outcomes[0][0]
        return output.state

    changes = {voter.public: bytes(150) for voter in voters}
    return {
        "decode_ns": time_per_item(
            lambda: [decode_transaction(item, params.transaction_bytes_max) for item in ballots],
            BALLOTS,
        ),
        "execute_and_roots_ns": time_per_item(execute, BALLOTS),
        "state_root_ns": time_per_item(lambda: state.with_changes(dict(changes)), BALLOTS),
        "receipt_ns": time_per_item(
            lambda: [encode_receipt(voter.public, 1, 1, "ok") for voter in voters], BALLOTS
        ),
    }
