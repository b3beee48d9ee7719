"""What the election keeps in the ledger, under which keys, and how it is packed.

Records are packed by hand where a ballot touches them, for that happens millions of times:

    election/h voting            Standing: phase, window and counters; rewritten by every ballot
    election/v voting            Terms: what never changes, and the secret once it is known
    election/p voting page       statuses of n voters, one byte each, then their n districts
    election/k voting key        one-time key: status, district, and then
                                 ADDED    commitment(32)
                                 STORED   commitment(32), sequence(8), box_public(32),
                                          nonce(24), box(32)
                                 settled  sequence(8), choice(2); its box stays in its block
    election/s voting index      a holder's share
    election/t voting district   counts of choices 0..choices, 8 bytes each; 0 is spoiled
    election/f voting number     item failure [reason, subject, transaction_id]
    election/r voting            Standing at the end, then all tallies one after another
"""

from struct import Struct
from typing import Final, NamedTuple, cast

from node.codec import Value, decode, encode
from node.errors import Refused
from node.ledger import RECORD_BYTES_MAX, Ledger, Readable
from node.types import DIGEST_BYTES, KEY_BYTES, Digest, PublicKey

VOTINGS_MAX: Final = 1 << 16
DISTRICTS_MAX: Final = 255
CHOICES_MAX: Final = 255
PAGE_VOTERS: Final = 100
PAGES_MAX: Final = 1 << 32
SEQUENCE_BYTES: Final = 8

# Phases of a voting
REGISTERING: Final = 0
OPEN: Final = 1
CLOSED: Final = 2
FINAL: Final = 3

# Statuses of a voter
UNREGISTERED: Final = 0
REGISTERED: Final = 1
ISSUED: Final = 2

# Statuses of a one-time key
ADDED: Final = 0
STORED: Final = 1
DECRYPTED: Final = 2
SPOILED: Final = 3
SUPERSEDED: Final = 4

STANDING_KEY: Final = b"election/h"
VOTER_KEY: Final = b"election/k"
_TERMS_KEY: Final = b"election/v"
_PAGE_KEY: Final = b"election/p"
_SHARE_KEY: Final = b"election/s"
_TALLY_KEY: Final = b"election/t"
_FAILURE_KEY: Final = b"election/f"
_RESULT_KEY: Final = b"election/r"

_ADDED_BYTES: Final = 2 + DIGEST_BYTES
_SETTLED: Final = Struct(">BBQH")


class Standing(NamedTuple):
    """Where a voting stands. Ballots count once in ``stored`` and once in what becomes of them.

    ``stored`` comes first in the record: a ballot rewrites its first 8 bytes only. Times are
    those of blocks; ``deadline_ns`` is the close plus the grace.
    """

    stored: int
    phase: int
    open_ns: int
    deadline_ns: int
    registered: int
    issued: int
    keys: int
    superseded: int
    decrypted: int
    spoiled: int
    failures: int

    @property
    def pending(self) -> int:
        """Stored ballots of which nothing has become yet."""
        return self.stored - self.superseded - self.decrypted - self.spoiled


STANDING: Final = Struct(">QBQQQQQQQQQ")
WINDOW: Final = Struct(">QBQQ")  # stored, phase, open_ns, deadline_ns: the record's beginning
_COUNTER_BYTES: Final = 8


class Terms(NamedTuple):
    """What a voting is about. ``secret`` is empty until the shares have restored it."""

    districts: int
    choices: int
    close_ns: int
    grace_ns: int
    threshold: int
    box_public: bytes
    holders: list[PublicKey]
    secret: bytes


class ItemFailure(NamedTuple):
    """One item of a batch that was not carried out, while the rest of the batch was.

    ``subject`` is a voter's id (8 bytes), a one-time key, or the first key of a group.
    """

    reason: str
    subject: bytes
    transaction_id: Digest


def pack_voting(voting: int) -> bytes:
    """Two bytes, or Refused("unknown voting") for a number that no voting can have."""
    if not 0 <= voting < VOTINGS_MAX:
        raise Refused("unknown voting")
    return voting.to_bytes(2, "big")


def find_standing(records: Readable, voting: int) -> Standing:
    """Raises Refused("unknown voting")."""
    record = records.get(STANDING_KEY + pack_voting(voting))
    if record is None:
        raise Refused("unknown voting")
    standing = Standing._make(STANDING.unpack(record))
    assert standing.pending >= 0
    return standing


def put_standing(ledger: Ledger, voting: int, standing: Standing) -> None:
    assert standing.pending >= 0, standing
    assert standing.stored <= standing.keys, standing
    ledger.put(STANDING_KEY + pack_voting(voting), STANDING.pack(*standing))


def get_terms(records: Readable, voting: int) -> Terms:
    """The terms of a voting that is known to exist."""
    record = records.get(_TERMS_KEY + pack_voting(voting))
    assert record is not None, voting
    fields = cast(list[object], decode(record, RECORD_BYTES_MAX))
    assert len(fields) == len(Terms._fields)
    return Terms._make(fields)


def put_terms(ledger: Ledger, voting: int, terms: Terms) -> None:
    ledger.put(_TERMS_KEY + pack_voting(voting), encode(cast(list[Value], list(terms))))


def make_page_key(voting: int, page: int) -> bytes:
    return _PAGE_KEY + pack_voting(voting) + page.to_bytes(8, "big")


def make_voter_prefix(voting: int) -> bytes:
    """What stands before the one-time key in the keys of its records."""
    return VOTER_KEY + pack_voting(voting)


def make_share_key(voting: int, index: int) -> bytes:
    return _SHARE_KEY + pack_voting(voting) + bytes((index,))


def make_tally_key(voting: int, district: int) -> bytes:
    return _TALLY_KEY + pack_voting(voting) + bytes((district,))


def make_failure_key(voting: int, number: int) -> bytes:
    return _FAILURE_KEY + pack_voting(voting) + number.to_bytes(8, "big")


def make_result_key(voting: int) -> bytes:
    return _RESULT_KEY + pack_voting(voting)


def pack_added(district: int, commitment: Digest) -> bytes:
    """The record of a one-time key that has not voted."""
    record = bytes((ADDED, district)) + commitment
    assert len(record) == _ADDED_BYTES
    return record


def pack_settled(status: int, district: int, sequence: int, choice: int) -> bytes:
    """The record of a ballot of which something has become; ``choice`` 0 is none."""
    assert status in (DECRYPTED, SPOILED, SUPERSEDED), status
    assert (choice > 0) == (status == DECRYPTED)
    return _SETTLED.pack(status, district, sequence, choice)


def unpack_settled(record: bytes) -> tuple[int, int, int, int]:
    """(status, district, sequence, choice)."""
    status, district, sequence, choice = _SETTLED.unpack(record)
    assert status in (DECRYPTED, SPOILED, SUPERSEDED), status
    return status, district, sequence, choice


def read_sequence(stored: bytes) -> int:
    """The place in the chain's order of the ballot in a STORED record."""
    assert stored[0] == STORED
    return int.from_bytes(stored[_ADDED_BYTES : _ADDED_BYTES + SEQUENCE_BYTES], "big")


BOX_AT: Final = _ADDED_BYTES + SEQUENCE_BYTES
"""Where box_public, nonce and box begin in a STORED record."""


def add_failures(
    ledger: Ledger, voting: int, first: int, failures: list[tuple[str, bytes]],
    transaction_id: Digest,
) -> None:
    """Record (reason, subject) pairs under the numbers from ``first``."""
    for number, (reason, subject) in enumerate(failures, first):
        assert len(subject) in (8, KEY_BYTES)
        ledger.put(
            make_failure_key(voting, number), encode([reason, subject, transaction_id])
        )


def pack_counts(counts: list[int]) -> bytes:
    """A tally's record."""
    return b"".join(count.to_bytes(_COUNTER_BYTES, "big") for count in counts)


def unpack_counts(record: bytes) -> list[int]:
    """Counts by choice; 0 is spoiled."""
    assert len(record) % _COUNTER_BYTES == 0
    return [
        int.from_bytes(record[at : at + _COUNTER_BYTES], "big")
        for at in range(0, len(record), _COUNTER_BYTES)
    ]
