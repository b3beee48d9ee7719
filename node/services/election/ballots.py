"""A ballot: its plain form, the box around it, and its storing.

The plain form has one size whatever the choice, for the length of a box would tell it. The box
is NaCl's (curve25519-xsalsa20-poly1305) from a key pair that the voter uses once, as in 2021.
"""

from typing import Final

from node.codec import Value
from node.crypto import BOX_OVERHEAD_BYTES, NONCE_BYTES, make_box_keys, open_box, seal_box
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.call import Call
from node.services.election.records import (
    ADDED,
    BOX_AT,
    CHOICES_MAX,
    OPEN,
    REGISTERING,
    SEQUENCE_BYTES,
    STANDING_KEY,
    VOTER_KEY,
    VOTINGS_MAX,
    WINDOW,
)
from node.types import KEY_BYTES

PLAIN_BYTES: Final = 16
BOX_BYTES: Final = PLAIN_BYTES + BOX_OVERHEAD_BYTES
SPOILT: Final = 0
"""The choice of a ballot that does not open, or holds no choice."""

STORED_BYTES: Final = BOX_AT + KEY_BYTES + NONCE_BYTES + BOX_BYTES

_STORED_TAG: Final = b"\x01"
_REST: Final = bytes(PLAIN_BYTES - 2)


def encode_choice(choice: int) -> bytes:
    """The plain form, PLAIN_BYTES long; that of SPOILT is all zeros and claims "spoiled"."""
    assert SPOILT <= choice <= CHOICES_MAX, choice
    return choice.to_bytes(2, "big") + _REST


def decode_choice(plain: bytes | None, choices: int) -> int:
    """The choice, 1 to ``choices``, or SPOILT; None stands for a box that does not open."""
    assert 1 < choices <= CHOICES_MAX
    if plain is None or len(plain) != PLAIN_BYTES or plain[2:] != _REST:
        return SPOILT
    choice = plain[0] << 8 | plain[1]
    return choice if choice <= choices else SPOILT


def seal_ballot(
    choice: int, election_public: bytes, ephemeral_seed: bytes, nonce: bytes
) -> tuple[bytes, bytes, bytes]:
    """(box_public, nonce, box): a voter's choice for the election's key only."""
    box_public, secret = make_box_keys(ephemeral_seed)
    box = seal_box(encode_choice(choice), nonce, election_public, secret)
    assert len(box) == BOX_BYTES
    return box_public, nonce, box


def open_ballot(
    box_public: bytes, nonce: bytes, box: bytes, secret: bytes, choices: int
) -> int:
    """The choice, 1 to ``choices``, or SPOILT; never raises for any bytes."""
    return decode_choice(open_box(box, nonce, box_public, secret), choices)


def make_store_ballot(
    voting: int, district: int, box_public: bytes, nonce: bytes, box: bytes
) -> list[Value]:
    """Payload of StoreBallot; its transaction is sent by the one-time key, with nonce 0."""
    return [voting, district, box_public, nonce, box]


def check_window(phase: int, time_ns: int, open_ns: int, deadline_ns: int) -> None:
    """Raises Refused("not open") or Refused("late"); both edges of the window are inside.

    What comes after the deadline is late, whether or not the registrar has closed by then: the
    reason must not depend on who was quicker.
    """
    assert open_ns <= deadline_ns
    if phase == REGISTERING or time_ns < open_ns:
        raise Refused("not open")
    if time_ns > deadline_ns:
        raise Refused("late")
    if phase != OPEN:
        raise Refused("not open")


def process_store_ballot(ledger: Ledger, call: Call) -> None:
    """Keep a sealed ballot under its one-time key.

    Refused: bad payload, unknown voting, not open, late, unknown key, wrong district, already
    cast. Runs for every ballot of a city: one read and one write of a packed record each for
    the voting and for the key.
    """
    payload = call.payload
    if len(payload) != 5:
        raise Refused(BAD_PAYLOAD)
    voting, district, box_public, nonce, box = payload
    if not (
        type(voting) is int and type(district) is int and type(box_public) is bytes
        and type(nonce) is bytes and type(box) is bytes and len(box_public) == KEY_BYTES
        and len(nonce) == NONCE_BYTES and len(box) == BOX_BYTES
    ):
        raise Refused(BAD_PAYLOAD)
    if not 0 <= voting < VOTINGS_MAX:
        raise Refused("unknown voting")
    number = voting.to_bytes(2, "big")
    standing_key = STANDING_KEY + number
    standing = ledger.get(standing_key)
    if standing is None:
        raise Refused("unknown voting")
    stored, phase, open_ns, deadline_ns = WINDOW.unpack_from(standing)
    check_window(phase, call.time_ns, open_ns, deadline_ns)
    key = VOTER_KEY + number + call.sender
    record = ledger.get(key)
    if record is None:
        raise Refused("unknown key")
    if record[1] != district:
        raise Refused("wrong district")
    if record[0] != ADDED:
        raise Refused("already cast")
    sequence = call.sequence.to_bytes(SEQUENCE_BYTES, "big")
    # the commitment stays in front: re-votes are resolved by it after the close
    ballot = b"".join((_STORED_TAG, record[1:], sequence, box_public, nonce, box))
    assert len(ballot) == STORED_BYTES
    ledger.put(key, ballot)
    # only the count changes; unpacking the whole record would cost more than the rest
    ledger.put(standing_key, (stored + 1).to_bytes(8, "big") + standing[8:])
