"""After the close: the key is put together, re-votes are resolved, boxes are opened.

Nothing here is taken on trust: the secret must belong to the voting's public key, a group's
secret must match the commitments made when its keys were added, and each node opens every box
itself and compares what it finds with what the registrar claims.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from node.codec import Value, is_whole
from node.crypto import NONCE_BYTES, derive_box_public
from node.errors import Refused
from node.ledger import Ledger
from node.receipt import BAD_PAYLOAD
from node.services.call import Call
from node.services.election.ballots import (
    PLAIN_BYTES,
    SPOILT,
    decode_choice,
    encode_choice,
)
from node.services.election.records import (
    ADDED,
    BOX_AT,
    DECRYPTED,
    SPOILED,
    STORED,
    SUPERSEDED,
    Terms,
    add_failures,
    get_terms,
    make_share_key,
    make_tally_key,
    make_voter_prefix,
    pack_counts,
    pack_settled,
    put_standing,
    put_terms,
    read_sequence,
    unpack_counts,
)
from node.services.election.registry import compute_commitment
from node.services.election.voting import find_closed
from node.services.identity import DECRYPT, require_right
from node.services.shares import SECRET_BYTES, combine_shares
from node.types import DIGEST_BYTES, KEY_BYTES, PublicKey

DECRYPT_MAX: Final = 1000
"""Ballots in one DecryptBallots; 2021 opened about as many at once (its sums say so)."""

GROUPS_MAX: Final = 100
"""Groups in one ResolveRevotes; how many keys they hold is bounded by a transaction's size."""

_NONCE_AT: Final = BOX_AT + KEY_BYTES
_SEALED_AT: Final = _NONCE_AT + NONCE_BYTES
_SPOILT_PLAIN: Final = encode_choice(SPOILT)

_NOT_PENDING: Final = {
    ADDED: "not cast",
    DECRYPTED: "already decrypted",
    SPOILED: "already decrypted",
    SUPERSEDED: "superseded",
}


def make_publish_share(voting: int, index: int, share: bytes) -> list[Value]:
    """Payload of PublishShare, sent by holder ``index``, counted from 1."""
    return [voting, index, share]


def make_resolve_revotes(
    voting: int, groups: Sequence[tuple[bytes, Sequence[PublicKey]]]
) -> list[Value]:
    """Payload of ResolveRevotes: (group secret, the keys of one voter) for each group."""
    return [voting, [[secret, b"".join(keys)] for secret, keys in groups]]


def make_decrypt_ballots(
    voting: int, keys: Sequence[PublicKey], plains: Sequence[bytes]
) -> list[Value]:
    """Payload of DecryptBallots; ``encode_choice(open_ballot(...))`` makes a true plain."""
    assert len(keys) == len(plains)
    return [voting, b"".join(keys), b"".join(plains)]


def process_publish_share(ledger: Ledger, call: Call) -> None:
    """Keep a holder's share; put the secret together once ``threshold`` true ones are there.

    A wrong share is kept and harms nobody: the new share is tried with every subset of the
    others, and only the secret of the voting's own public key is believed.

    Refused: bad payload, unknown voting, not closed, already final, not a holder, already
    published.
    """
    match call.payload:
        case [voting, index, bytes(share)] if (
            is_whole(voting) and is_whole(index)
            and len(share) == SECRET_BYTES
        ):
            pass
        case _:
            raise Refused(BAD_PAYLOAD)
    find_closed(ledger, voting)
    terms = get_terms(ledger, voting)
    if not 0 < index <= len(terms.holders) or terms.holders[index - 1] != call.sender:
        raise Refused("not a holder")
    if ledger.get(make_share_key(voting, index)) is not None:
        raise Refused("already published")
    if not terms.secret:
        secret = _find_secret(_get_shares(ledger, voting, terms), index, share, terms)
        if secret is not None:
            put_terms(ledger, voting, terms._replace(secret=secret))
    ledger.put(make_share_key(voting, index), share)


def process_resolve_revotes(ledger: Ledger, call: Call) -> None:
    """Keep the last stored ballot of each group; the others of the group are superseded.

    Refused: bad payload, not allowed, unknown voting, not closed, already final. A group fails
    with unknown key, wrong secret, or already decrypted: once a ballot is open, nobody may
    choose which of a voter's ballots stands.
    """
    voting, groups = _read_groups(call)
    require_right(ledger, call, DECRYPT)
    standing = find_closed(ledger, voting)
    failures: list[tuple[str, bytes]] = []
    superseded = 0
    for secret, keys in groups:
        try:
            superseded += _resolve_group(ledger, voting, secret, keys)
        except Refused as refusal:
            failures.append((refusal.reason, keys[0]))
    add_failures(ledger, voting, standing.failures, failures, call.transaction_id)
    put_standing(
        ledger, voting,
        standing._replace(
            superseded=standing.superseded + superseded,
            failures=standing.failures + len(failures),
        ),
    )


def process_decrypt_ballots(ledger: Ledger, call: Call) -> None:
    """Open ballots and count them, each once.

    Refused: bad payload, not allowed, unknown voting, not closed, already final, secret
    unknown. An item fails with unknown key, not cast, already decrypted, superseded, or
    mismatch: its plain is not what the box holds; it then stays as it was.
    """
    match call.payload:
        case [voting, bytes(keys), bytes(plains)] if is_whole(voting):
            count, rest = divmod(len(keys), KEY_BYTES)
            if rest or not 0 < count <= DECRYPT_MAX or len(plains) != count * PLAIN_BYTES:
                raise Refused(BAD_PAYLOAD)
        case _:
            raise Refused(BAD_PAYLOAD)
    require_right(ledger, call, DECRYPT)
    standing = find_closed(ledger, voting)
    terms = get_terms(ledger, voting)
    if not terms.secret:
        raise Refused("secret unknown")
    failures, counts = _open_ballots(ledger, call, voting, terms, keys, plains)
    spoiled = sum(counted[SPOILT] for counted in counts.values())
    decrypted = count - len(failures) - spoiled
    assert sum(map(sum, counts.values())) == decrypted + spoiled
    for district, counted in counts.items():
        _add_to_tally(ledger, voting, district, counted)
    add_failures(ledger, voting, standing.failures, failures, call.transaction_id)
    put_standing(
        ledger, voting,
        standing._replace(
            decrypted=standing.decrypted + decrypted,
            spoiled=standing.spoiled + spoiled,
            failures=standing.failures + len(failures),
        ),
    )


def _open_ballots(
    ledger: Ledger, call: Call, voting: int, terms: Terms, keys: bytes, plains: bytes
) -> tuple[list[tuple[str, bytes]], dict[int, list[int]]]:
    """Settles the ballots; gives failures, and counts by choice for each district met."""
    open_box = call.opener.open_box
    prefix = make_voter_prefix(voting)
    secret, choices = terms.secret, terms.choices
    failures: list[tuple[str, bytes]] = []
    counts: dict[int, list[int]] = {}
    plain_at = 0
    for at in range(0, len(keys), KEY_BYTES):
        key = keys[at : at + KEY_BYTES]
        claim = plains[plain_at : plain_at + PLAIN_BYTES]
        plain_at += PLAIN_BYTES
        record = ledger.get(prefix + key)
        if record is None or record[0] != STORED:
            failures.append((_NOT_PENDING[record[0]] if record else "unknown key", key))
            continue
        opened = open_box(
            record[_SEALED_AT:], record[_NONCE_AT:_SEALED_AT], record[BOX_AT:_NONCE_AT], secret
        )
        choice = decode_choice(opened, choices)
        if claim != (opened if choice else _SPOILT_PLAIN):
            failures.append(("mismatch", key))
            continue
        district = record[1]
        status = DECRYPTED if choice else SPOILED
        ledger.put(
            prefix + key, pack_settled(status, district, read_sequence(record), choice)
        )
        counted = counts.get(district)
        if counted is None:
            counted = counts[district] = [0] * (choices + 1)
        counted[choice] += 1
    return failures, counts


def _add_to_tally(ledger: Ledger, voting: int, district: int, counted: list[int]) -> None:
    key = make_tally_key(voting, district)
    record = ledger.get(key)
    if record is not None:
        before = unpack_counts(record)
        counted = [old + new for old, new in zip(before, counted, strict=True)]
    ledger.put(key, pack_counts(counted))


def _resolve_group(ledger: Ledger, voting: int, secret: bytes, keys: list[PublicKey]) -> int:
    prefix = make_voter_prefix(voting)
    stored: dict[PublicKey, bytes] = {}
    for key in keys:
        record = ledger.get(prefix + key)
        if record is None:
            raise Refused("unknown key")
        if record[0] in (DECRYPTED, SPOILED):
            raise Refused("already decrypted")
        # a group may come again with more of its keys
        if record[0] == SUPERSEDED:
            continue
        if record[2 : 2 + DIGEST_BYTES] != compute_commitment(secret, key):
            raise Refused("wrong secret")
        if record[0] == STORED:
            stored[key] = record
    ranked = sorted(stored, key=lambda key: read_sequence(stored[key]))
    for key in ranked[:-1]:
        record = stored[key]
        ledger.put(
            prefix + key, pack_settled(SUPERSEDED, record[1], read_sequence(record), SPOILT)
        )
    return len(ranked[:-1])


def _read_groups(call: Call) -> tuple[int, list[tuple[bytes, list[PublicKey]]]]:
    match call.payload:
        case [voting, list(values)] if (
            is_whole(voting) and 0 < len(values) <= GROUPS_MAX
        ):
            return voting, [_read_group(value) for value in values]
    raise Refused(BAD_PAYLOAD)


def _read_group(value: Value) -> tuple[bytes, list[PublicKey]]:
    match value:
        case [bytes(secret), bytes(packed)] if (
            len(secret) == DIGEST_BYTES
            and len(packed) % KEY_BYTES == 0
            and len(packed) >= 2 * KEY_BYTES
        ):
            keys = [packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES)]
            return secret, keys
    raise Refused(BAD_PAYLOAD)


def _get_shares(ledger: Ledger, voting: int, terms: Terms) -> dict[int, bytes]:
    shares: dict[int, bytes] = {}
    for index in range(1, len(terms.holders) + 1):
        share = ledger.get(make_share_key(voting, index))
        if share is not None:
            shares[index] = share
    return shares


def _find_secret(
    shares: dict[int, bytes], index: int, share: bytes, terms: Terms
) -> bytes | None:
    # Subsets without the new share have been tried when the last of their shares came.
    assert index not in shares
    for others in combinations(shares.items(), terms.threshold - 1):
        secret = combine_shares({**dict(others), index: share})
        if derive_box_public(secret) == terms.box_public:
            return secret
    return None
