"""A voting as a whole: created, opened, closed, finalized."""

from typing import Final

from node.codec import Value, is_below, is_whole
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.call import Call
from node.services.election.records import (
    CHOICES_MAX,
    CLOSED,
    DISTRICTS_MAX,
    FINAL,
    OPEN,
    REGISTERING,
    STANDING,
    STANDING_KEY,
    VOTINGS_MAX,
    Standing,
    Terms,
    find_standing,
    get_terms,
    make_result_key,
    make_tally_key,
    pack_counts,
    pack_voting,
    put_standing,
    put_terms,
)
from node.services.identity import REGISTER, require_right
from node.types import KEY_BYTES, PublicKey

HOLDERS_MAX: Final = 9
"""Moscow had 5 or 7. Every share is tried with all subsets of the others: at most 70."""

_TIME_NS_MAX: Final = 1 << 62


def make_create_voting(
    *, voting: int, districts: int, choices: int, open_ns: int, close_ns: int, grace_ns: int,
    holders: list[PublicKey], threshold: int, box_public: bytes,
) -> list[Value]:
    """Payload of CreateVoting; every district has the same number of choices."""
    return [
        voting, districts, choices, open_ns, close_ns, grace_ns, list(holders), threshold,
        box_public,
    ]


def make_open_voting(voting: int) -> list[Value]:
    """Payload of OpenVoting."""
    return [voting]


def make_close_voting(voting: int) -> list[Value]:
    """Payload of CloseVoting."""
    return [voting]


def make_finalize_voting(voting: int) -> list[Value]:
    """Payload of FinalizeVoting."""
    return [voting]


def process_create_voting(ledger: Ledger, call: Call) -> None:
    """Begin the registration. Refused: bad payload, not allowed, voting known."""
    voting, open_ns, terms = _read_terms(call)
    require_right(ledger, call, REGISTER)
    if ledger.get(STANDING_KEY + pack_voting(voting)) is not None:
        raise Refused("voting known")
    deadline_ns = terms.close_ns + terms.grace_ns
    put_terms(ledger, voting, terms)
    put_standing(
        ledger, voting, Standing(0, REGISTERING, open_ns, deadline_ns, 0, 0, 0, 0, 0, 0, 0)
    )


def process_open_voting(ledger: Ledger, call: Call) -> None:
    """End the registration. Ballots are taken from ``open_ns`` on, but not before this.

    Refused: bad payload, not allowed, unknown voting, already open.
    """
    voting = _read_voting(call)
    require_right(ledger, call, REGISTER)
    standing = find_standing(ledger, voting)
    if standing.phase != REGISTERING:
        raise Refused("already open")
    put_standing(ledger, voting, standing._replace(phase=OPEN))


def process_close_voting(ledger: Ledger, call: Call) -> None:
    """Take no more ballots. Refused: bad payload, not allowed, unknown voting, not open,
    too early (the block's time is before the close plus the grace).
    """
    voting = _read_voting(call)
    require_right(ledger, call, REGISTER)
    standing = find_standing(ledger, voting)
    if standing.phase != OPEN:
        raise Refused("not open")
    if call.time_ns < standing.deadline_ns:
        raise Refused("too early")
    put_standing(ledger, voting, standing._replace(phase=CLOSED))


def process_finalize_voting(ledger: Ledger, call: Call) -> None:
    """Write the result: everything that was stored has been accounted for.

    Refused: bad payload, not allowed, unknown voting, not closed, already final, ballots
    undecrypted, more ballots than issued (some group of re-votes was not resolved).
    """
    voting = _read_voting(call)
    require_right(ledger, call, REGISTER)
    standing = find_closed(ledger, voting)
    if standing.pending:
        raise Refused("ballots undecrypted")
    # one-time keys hide whose ballot is whose, so the sum is all that can be held against it
    if standing.decrypted + standing.spoiled > standing.issued:
        raise Refused("more ballots than issued")
    final = standing._replace(phase=FINAL)
    terms = get_terms(ledger, voting)
    nothing = pack_counts([0] * (terms.choices + 1))
    tallies = [
        ledger.get(make_tally_key(voting, district)) or nothing
        for district in range(1, terms.districts + 1)
    ]
    put_standing(ledger, voting, final)
    ledger.put(make_result_key(voting), STANDING.pack(*final) + b"".join(tallies))


def find_closed(ledger: Ledger, voting: int) -> Standing:
    """The standing of a voting that is being counted.

    Raises Refused with unknown voting, not closed, already final.
    """
    standing = find_standing(ledger, voting)
    if standing.phase == FINAL:
        raise Refused("already final")
    if standing.phase != CLOSED:
        raise Refused("not closed")
    return standing


def _read_voting(call: Call) -> int:
    match call.payload:
        case [voting] if is_whole(voting):
            return voting
    raise Refused(BAD_PAYLOAD)


def _read_terms(call: Call) -> tuple[int, int, Terms]:
    match call.payload:
        case [
            voting, districts, choices, open_ns, close_ns, grace_ns, list(values), threshold,
            bytes(box_public),
        ] if (
            is_below(voting, VOTINGS_MAX)
            and is_below(districts, DISTRICTS_MAX + 1) and districts
            and is_below(choices, CHOICES_MAX + 1) and choices > 1
            and is_below(close_ns, _TIME_NS_MAX) and is_below(open_ns, close_ns)
            and is_below(grace_ns, _TIME_NS_MAX)
            and 0 < len(values) <= HOLDERS_MAX
            and is_below(threshold, len(values) + 1) and threshold
            and len(box_public) == KEY_BYTES
        ):
            return voting, open_ns, Terms(
                districts, choices, close_ns, grace_ns, threshold, box_public,
                [_read_holder(value) for value in values], b"",
            )
    raise Refused(BAD_PAYLOAD)


def _read_holder(value: Value) -> PublicKey:
    if isinstance(value, bytes) and len(value) == KEY_BYTES:
        return value
    raise Refused(BAD_PAYLOAD)
