"""An election made of bytes alone: its registrar's transactions, and real sealed ballots."""

from collections.abc import Sequence

from node.crypto import Identity, derive_box_public, digest
from node.services import election, identity
from node.services.catalogue import SERVICES
from node.transaction import make_transaction

PAGE = 100
SECOND_NS = 1_000_000_000
CLOSE_NS = 1 << 61  # in 2043: real clusters vote by the real time
SECRET = digest(b"bench", b"election")


def make_identity(number: int) -> Identity:
    """A key pair for a benchmark."""
    return Identity(digest(b"bench", number.to_bytes(8, "big")))


def make_grants(registrar: Identity, count: int, chain_id: bytes) -> list[bytes]:
    """So many rights given by the registrar: a state that says nothing of when."""
    return [
        make_transaction(registrar, chain_id, identity.GRANT_RIGHT, nonce,
                         identity.make_grant_right(digest(b"bench clerk", bytes([nonce])),
                                                   identity.REGISTER))
        for nonce in range(1, count + 1)
    ]


def make_deeds(
    registrar: Identity, voters: Sequence[Identity], chain_id: bytes, *,
    keys_per_voter: int = 1, first_nonce: int = 1,
) -> list[bytes]:
    """The registrar's transactions up to a voting with the one-time keys of ``voters``.

    With more than one ``keys_per_voter`` the others are for votes that replace earlier ones.
    """
    holders = [make_identity(1_000_000 + number).public for number in range(5)]
    deeds = [
        (identity.ENABLE_SERVICE, identity.make_enable_service(name)) for name in SERVICES
    ]
    deeds.append((election.CREATE_VOTING, election.make_create_voting(
        voting=1, districts=15, choices=10, open_ns=0, close_ns=CLOSE_NS,
        grace_ns=900 * SECOND_NS, holders=holders, threshold=3,
        box_public=derive_box_public(SECRET),
    )))
    people = range(-(-len(voters) // keys_per_voter))
    pages = [people[first : first + PAGE] for first in range(0, len(people), PAGE)]
    for page, members in enumerate(pages):
        register = election.make_register_voters(1, page, [1] * len(members))
        deeds.append((election.REGISTER_VOTERS, register))
    deeds.append((election.OPEN_VOTING, election.make_open_voting(1)))
    deeds += [
        (election.ISSUE_BALLOTS, election.make_issue_ballots(1, members)) for members in pages
    ]
    for first in range(0, len(voters), PAGE):
        keys = [voter.public for voter in voters[first : first + PAGE]]
        deeds.append((election.ADD_VOTER_KEYS, election.make_add_voter_keys(
            1, keys, [1] * len(keys), [bytes(32)] * len(keys)
        )))
    return [
        make_transaction(registrar, chain_id, kind, nonce, payload)
        for nonce, (kind, payload) in enumerate(deeds, first_nonce)
    ]


def make_ballots(voters: Sequence[Identity], chain_id: bytes) -> list[bytes]:
    """One sealed ballot of each voter, as an encoded transaction."""
    public = derive_box_public(SECRET)
    ballots = []
    for voter in voters:
        nonce = voter.public[:24]
        box_public, _, box = election.seal_ballot(3, public, voter.public, nonce)
        payload = election.make_store_ballot(1, 1, box_public, nonce, box)
        ballots.append(make_transaction(voter, chain_id, election.STORE_BALLOT, 0, payload))
    return ballots
