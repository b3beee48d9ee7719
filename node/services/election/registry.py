"""Who may vote: pages of voters, ballots issued to them, and one-time keys.

Voters are named by number and their ballots by one-time keys; what joins the two stays off the
chain. Items of a batch fail one by one: the failures are recorded, the rest is carried out.
"""

from collections.abc import Sequence
from struct import unpack
from typing import Final

from node.codec import Value, is_below, is_whole
from node.crypto import digest
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.call import Call
from node.services.election.ballots import check_window
from node.services.election.records import (
    ISSUED,
    PAGE_VOTERS,
    PAGES_MAX,
    REGISTERED,
    REGISTERING,
    UNREGISTERED,
    Standing,
    add_failures,
    find_standing,
    get_terms,
    make_page_key,
    make_voter_prefix,
    pack_added,
    put_standing,
)
from node.services.identity import ISSUE, REGISTER, require_right
from node.types import DIGEST_BYTES, KEY_BYTES, Digest, PublicKey

BATCH_MAX: Final = 100
"""Items in one transaction: a printed page of votes in 2019, one registration in 2021."""

REVOTES_MAX: Final = 3
"""Re-votes that one issued ballot may stand for.

One-time keys do not tell whose they are, so the bound is on all of them together: keys <=
issued * (1 + REVOTES_MAX). That each voter counts once is checked when the voting is finalized.
"""

_VOTER_BYTES: Final = 8


def make_register_voters(voting: int, page: int, districts: Sequence[int]) -> list[Value]:
    """Payload of RegisterVoters; voter ``page * 100 + i`` votes in ``districts[i]``."""
    return [voting, page, bytes(districts)]


def make_issue_ballots(voting: int, voters: Sequence[int]) -> list[Value]:
    """Payload of IssueBallots."""
    return [voting, b"".join(voter.to_bytes(_VOTER_BYTES, "big") for voter in voters)]


def make_add_voter_keys(
    voting: int, keys: Sequence[PublicKey], districts: Sequence[int],
    commitments: Sequence[Digest],
) -> list[Value]:
    """Payload of AddVoterKeys; the three stand side by side, in a shuffled order."""
    assert len(keys) == len(districts)
    assert len(keys) == len(commitments)
    return [voting, b"".join(keys), bytes(districts), b"".join(commitments)]


def compute_commitment(group_secret: bytes, key: PublicKey) -> Digest:
    """What binds a one-time key to its voter's group until the secret is revealed."""
    assert len(group_secret) == DIGEST_BYTES
    assert len(key) == KEY_BYTES
    return digest(b"group", group_secret + key)


def process_register_voters(ledger: Ledger, call: Call) -> None:
    """Write one page of voters; district 0 is nobody.

    Refused: bad payload, not allowed, unknown voting, registration over, wrong district, page
    known.
    """
    match call.payload:
        case [voting, page, bytes(districts)] if (
            is_whole(voting) and is_below(page, PAGES_MAX)
            and 0 < len(districts) <= PAGE_VOTERS
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    require_right(ledger, call, REGISTER)
    standing = find_standing(ledger, voting)
    if standing.phase != REGISTERING:
        raise Refused("registration over")
    if max(districts) > get_terms(ledger, voting).districts:
        raise Refused("wrong district")
    key = make_page_key(voting, page)
    if ledger.get(key) is not None:
        raise Refused("page known")
    statuses = bytes(REGISTERED if district else UNREGISTERED for district in districts)
    ledger.put(key, statuses + districts)
    registered = standing.registered + sum(statuses)
    put_standing(ledger, voting, standing._replace(registered=registered))


def process_issue_ballots(ledger: Ledger, call: Call) -> None:
    """Mark voters as having been given a ballot.

    Refused: bad payload, not allowed, unknown voting, not open, late. An item fails with
    unknown voter or already issued.
    """
    match call.payload:
        case [voting, bytes(voters)] if (
            is_whole(voting) and _is_batch(voters, _VOTER_BYTES)
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    standing = _find_open(ledger, call, voting)
    pages: dict[int, bytearray] = {}
    failures: list[tuple[str, bytes]] = []
    for voter in unpack(f">{len(voters) // _VOTER_BYTES}Q", voters):
        page, place = divmod(voter, PAGE_VOTERS)
        statuses = pages.get(page)
        if statuses is None:
            record = ledger.get(make_page_key(voting, page))
            statuses = pages[page] = bytearray(record or b"")
        # the first half of a page are statuses, the second districts
        status = statuses[place] if place < len(statuses) >> 1 else UNREGISTERED
        if status == REGISTERED:
            statuses[place] = ISSUED
        else:
            reason = "already issued" if status == ISSUED else "unknown voter"
            failures.append((reason, voter.to_bytes(_VOTER_BYTES, "big")))
    for page, statuses in pages.items():
        if statuses:
            ledger.put(make_page_key(voting, page), bytes(statuses))
    issued = standing.issued + len(voters) // _VOTER_BYTES - len(failures)
    assert issued <= standing.registered
    add_failures(ledger, voting, standing.failures, failures, call.transaction_id)
    put_standing(
        ledger, voting,
        standing._replace(issued=issued, failures=standing.failures + len(failures)),
    )


def process_add_voter_keys(ledger: Ledger, call: Call) -> None:
    """Admit one-time keys, each for one ballot in its district.

    Refused: bad payload, not allowed, unknown voting, not open, late. An item fails with wrong
    district, key known or too many keys.
    """
    match call.payload:
        case [voting, bytes(keys), bytes(districts), bytes(commitments)] if (
            is_whole(voting) and _is_batch(keys, KEY_BYTES)
            and len(keys) == len(commitments) == KEY_BYTES * len(districts)
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    standing = _find_open(ledger, call, voting)
    districts_max = get_terms(ledger, voting).districts
    prefix = make_voter_prefix(voting)
    # All that bounds an office which would admit keys of its own: it cannot exceed the ballots
    # that voters were given, each with its re-votes.
    room = standing.issued * (1 + REVOTES_MAX) - standing.keys
    assert room >= 0
    failures: list[tuple[str, bytes]] = []
    at = 0
    for district in districts:
        end = at + KEY_BYTES
        key = keys[at:end]
        if not 0 < district <= districts_max:
            failures.append(("wrong district", key))
        elif ledger.get(prefix + key) is not None:
            failures.append(("key known", key))
        elif room == 0:
            failures.append(("too many keys", key))
        else:
            ledger.put(prefix + key, pack_added(district, commitments[at:end]))
            room -= 1
        at = end
    added = len(districts) - len(failures)
    add_failures(ledger, voting, standing.failures, failures, call.transaction_id)
    put_standing(
        ledger, voting,
        standing._replace(
            keys=standing.keys + added, failures=standing.failures + len(failures)
        ),
    )


def _is_batch(packed: bytes, item_bytes: int) -> bool:
    count, rest = divmod(len(packed), item_bytes)
    return rest == 0 and 0 < count <= BATCH_MAX


def _find_open(ledger: Ledger, call: Call, voting: int) -> Standing:
    require_right(ledger, call, ISSUE)
    standing = find_standing(ledger, voting)
    check_window(standing.phase, call.time_ns, standing.open_ns, standing.deadline_ns)
    return standing
