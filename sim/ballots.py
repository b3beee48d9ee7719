"""Ballots made ahead of virtual time: keys, boxes, signatures, all real and all checked.

A ballot is a pure function of (rules, row, attempt), so it does not matter which process makes
it or when. The making costs what its cryptography costs (one Ed25519 key pair, one Curve25519
key and box, one signature, one check, one opening) and little else: bytes around the varying
fields are cut out of a transaction that the node's own encoder made.
"""

from dataclasses import dataclass
from hashlib import sha256, sha512
from typing import NamedTuple, Protocol

import numpy as np
from nacl import bindings
from numpy.typing import NDArray

from node.codec import encode
from node.services.election import (
    BOX_BYTES,
    PLAIN_BYTES,
    STORE_BALLOT,
    compute_commitment,
    encode_choice,
    make_store_ballot,
)
from node.transaction import compute_transaction_id
from node.types import DIGEST_BYTES, KEY_BYTES, SIGNATURE_BYTES
from sim.electorate import BallotRules, Electorate, Rows

CHUNK_ROWS = 2_000

_NONCE_BYTES = 24
# Of each ballot besides its transaction: key, commitment, id and box; the opened plain.
_COLUMNS_BYTES = 2 * KEY_BYTES + DIGEST_BYTES + BOX_BYTES
_FIXED_BYTES = _COLUMNS_BYTES + PLAIN_BYTES


class ChunkSource(Protocol):
    """Where chunks come from: this process or workers; always the same bytes."""

    def get(self, index: int) -> bytes:
        """The frame of chunk ``index``; called for 0, 1, 2, ... in turn."""
        ...

    def pump(self) -> None:
        """Take in what is ready, so that workers need not wait."""
        ...


@dataclass(frozen=True, slots=True)
class Template:
    """The bytes between the varying fields of a ballot's transaction in one district."""

    before_key: bytes
    before_box_public: bytes
    before_nonce: bytes
    before_box: bytes
    before_body: bytes
    before_signature: bytes

    @property
    def transaction_bytes(self) -> int:
        """Size of the whole transaction."""
        around = (
            self.before_key, self.before_box_public, self.before_nonce, self.before_box,
            self.before_body, self.before_signature,
        )
        fields = 2 * KEY_BYTES + _NONCE_BYTES + BOX_BYTES + SIGNATURE_BYTES
        return sum(map(len, around)) + fields


def make_template(rules: BallotRules, district: int) -> Template:
    """Cut an encoded transaction at marks that stand for its varying fields."""
    marks = [sha256(bytes((place,))).digest() for place in range(4)]
    key, box_public, long_nonce, box = marks
    nonce = long_nonce[:_NONCE_BYTES]
    payload = make_store_ballot(rules.voting, district, box_public, nonce, box)
    body = encode([rules.chain_id, STORE_BALLOT, key, 0, payload])
    before_key, rest = body.split(key)
    before_box_public, rest = rest.split(box_public)
    before_nonce, rest = rest.split(nonce)
    before_box, rest = rest.split(box)
    assert rest == b""
    signature = bytes(64)
    before_body, rest = encode([body, signature]).split(body)
    return Template(
        before_key, before_box_public, before_nonce, before_box, before_body,
        rest.removesuffix(signature),
    )


class BallotMaker:
    """Makes chunks of ballots in whichever process it lives."""

    __slots__ = ("_electorate", "_opening_key", "_public", "_seed", "_templates",
                 "transaction_bytes")

    def __init__(self, rules: BallotRules, electorate: Electorate | None = None) -> None:
        self._electorate = Electorate(rules) if electorate is None else electorate
        self._public = rules.election_public
        self._opening_key = rules.election_secret
        self._seed = rules.derive(b"ballots")
        self._templates = [
            make_template(rules, district) for district in range(1, rules.districts + 1)
        ]
        sizes = {template.transaction_bytes for template in self._templates}
        assert len(sizes) == 1, sizes
        self.transaction_bytes = sizes.pop()

    def make_chunk(self, index: int) -> bytes:
        """One frame: keys, commitments, ids, boxes, opened plains, transactions of the slots.

        Slots stand in ascending order: the rows' first ballots, then second ones. Who will
        abandon the ballot has a key only, and zeros for the rest.
        """
        electorate = self._electorate
        slots, rows = list_chunk(electorate, index)
        first = index * CHUNK_ROWS
        abandons = electorate.abandons(rows).tolist()
        districts = electorate.districts_of(rows).tolist()
        choices = electorate.choices_of(slots).tolist()
        secrets = [
            electorate.get_group_secret(row)
            for row in range(first, min(first + CHUNK_ROWS, electorate.users))
        ]
        columns: tuple[list[bytes], ...] = ([], [], [], [], [], [])
        keys, commitments, ids, boxes, plains, transactions = columns
        blank = bytes(self.transaction_bytes)
        users = electorate.users
        attempts = [b"\1" if slot >= users else b"\0" for slot in slots.tolist()]
        for at, row in enumerate(rows.tolist()):
            seed = sha512(self._seed + row.to_bytes(8, "big") + attempts[at]).digest()
            key, secret = bindings.crypto_sign_seed_keypair(seed[:32])
            keys.append(key)
            commitments.append(compute_commitment(secrets[row - first], key))
            if abandons[at]:
                ids.append(bytes(DIGEST_BYTES))
                boxes.append(bytes(BOX_BYTES))
                plains.append(bytes(PLAIN_BYTES))
                transactions.append(blank)
                continue
            transaction_id, box, plain, transaction = self._seal(
                key, secret, seed[32:], self._templates[districts[at] - 1], choices[at]
            )
            ids.append(transaction_id)
            boxes.append(box)
            plains.append(plain)
            transactions.append(transaction)
        return b"".join(map(b"".join, columns))

    def _seal(
        self, key: bytes, secret: bytes, box_secret: bytes, template: Template, choice: int
    ) -> tuple[bytes, bytes, bytes, bytes]:
        # The key pair of the box is used once, so the nonce need only be public: the voter's
        # one-time key gives it.
        plain = encode_choice(choice)
        nonce = key[:_NONCE_BYTES]
        box_public = bindings.crypto_scalarmult_base(box_secret)
        box = bindings.crypto_box(plain, nonce, self._public, box_secret)
        body = b"".join((
            template.before_key, key, template.before_box_public, box_public,
            template.before_nonce, nonce, template.before_box, box,
        ))
        transaction_id = compute_transaction_id(body)
        signed = bindings.crypto_sign(transaction_id, secret)
        assert bindings.crypto_sign_open(signed, key) == transaction_id
        opened = bindings.crypto_box_open(box, nonce, box_public, self._opening_key)
        assert opened == plain
        transaction = b"".join(
            (template.before_body, body, template.before_signature, signed[:64])
        )
        return transaction_id, box, opened, transaction


def list_chunk(electorate: Electorate, index: int) -> tuple[Rows, Rows]:
    """Slots of a chunk and the rows behind them."""
    first = index * CHUNK_ROWS
    last = min(first + CHUNK_ROWS, electorate.users)
    assert first < last, index
    rows = np.arange(first, last, dtype=np.int64)
    low, high = np.searchsorted(electorate.revoters, (first, last))
    again = electorate.revoters[low:high]
    extra = np.arange(low, high, dtype=np.int64) + electorate.users
    return np.concatenate((rows, extra)), np.concatenate((rows, again))


class InlineSource:
    """Makes each chunk when it is asked for, in this process."""

    __slots__ = ("_maker",)

    def __init__(self, rules: BallotRules, electorate: Electorate) -> None:
        self._maker = BallotMaker(rules, electorate)

    def get(self, index: int) -> bytes:
        """The frame of chunk ``index``."""
        return self._maker.make_chunk(index)

    def pump(self) -> None:
        """Nothing is ever waiting."""


class Ballot(NamedTuple):
    """What a voter sends, its id, and what of it was checked."""

    transaction: bytes
    id: bytes
    key: bytes
    signature: bytes


class BallotStore:
    """The ballots that exist so far: what the office needs of each, and what its voter sends.

    ``keys``, ``commitments``, ``boxes`` and ``plains`` (what opening the boxes gave) are
    columns over all slots, filled as chunks arrive.
    Transactions are kept until ``release`` has been told of every first ballot of their chunk;
    those of second ballots, a few in a hundred, for the whole run.
    """

    __slots__ = ("_chunks", "_electorate", "_extra", "_key_at", "_left", "_loaded", "_size",
                 "_source", "boxes", "commitments", "keys", "plains")

    def __init__(self, electorate: Electorate, source: ChunkSource) -> None:
        self._electorate = electorate
        self._source = source
        template = make_template(electorate.rules, 1)
        self._size = template.transaction_bytes
        self._key_at = len(template.before_body) + len(template.before_key)
        slots = electorate.slots
        self.keys: NDArray[np.uint8] = np.zeros((slots, KEY_BYTES), np.uint8)
        self.commitments: NDArray[np.uint8] = np.zeros((slots, DIGEST_BYTES), np.uint8)
        self.boxes: NDArray[np.uint8] = np.zeros((slots, BOX_BYTES), np.uint8)
        self.plains: NDArray[np.uint8] = np.zeros((slots, PLAIN_BYTES), np.uint8)
        self._chunks: dict[int, tuple[bytes, int, int]] = {}
        self._extra: dict[int, Ballot] = {}
        chunks = -(-electorate.users // CHUNK_ROWS)
        self._left = np.full(chunks, CHUNK_ROWS, np.int64)
        self._left[-1] = electorate.users - (chunks - 1) * CHUNK_ROWS
        self._loaded = 0

    def need(self, row: int) -> None:
        """Have the ballots of all rows up to ``row``; waits for workers if they are slower."""
        assert 0 <= row < self._electorate.users
        while self._loaded <= row // CHUNK_ROWS:
            self._load(self._loaded, self._source.get(self._loaded))
            self._loaded += 1

    def pump(self) -> None:
        """Take in what workers have ready; call it often, or they wait."""
        self._source.pump()

    def _load(self, index: int, frame: bytes) -> None:
        slots, _ = list_chunk(self._electorate, index)
        n = len(slots)
        assert len(frame) == n * (_FIXED_BYTES + self._size), (len(frame), n)
        columns = np.frombuffer(frame, np.uint8, n * _COLUMNS_BYTES).reshape(4, n, 32)
        plains = np.frombuffer(frame, np.uint8, n * PLAIN_BYTES, n * _COLUMNS_BYTES)
        self.plains[slots] = plains.reshape(n, PLAIN_BYTES)
        self.keys[slots] = columns[0]
        self.commitments[slots] = columns[1]
        self.boxes[slots] = columns[3]
        ids_at = n * (KEY_BYTES + DIGEST_BYTES)
        transactions_at = n * _FIXED_BYTES
        self._chunks[index] = (frame, ids_at, transactions_at)
        firsts = min(CHUNK_ROWS, self._electorate.users - index * CHUNK_ROWS)
        for at, slot in enumerate(slots[firsts:].tolist(), firsts):
            self._extra[slot] = self._cut(index, at)

    def _cut(self, index: int, at: int) -> Ballot:
        frame, ids_at, start = self._chunks[index]
        start += at * self._size
        end = start + self._size
        key_at = start + self._key_at
        ids_at += at * DIGEST_BYTES
        return Ballot(
            frame[start:end], frame[ids_at : ids_at + DIGEST_BYTES],
            frame[key_at : key_at + KEY_BYTES], frame[end - SIGNATURE_BYTES : end],
        )

    def get(self, slot: int) -> Ballot:
        """A ballot whose row was needed and which is not released."""
        if slot >= self._electorate.users:
            return self._extra[slot]
        return self._cut(*divmod(slot, CHUNK_ROWS))

    def release(self, slots: Rows) -> None:
        """These ballots, each named once, are settled and will not be sent again."""
        firsts = slots[slots < self._electorate.users]
        np.subtract.at(self._left, firsts // CHUNK_ROWS, 1)
        for index in np.unique(firsts // CHUNK_ROWS).tolist():
            assert self._left[index] >= 0, index
            if self._left[index] == 0:
                self._chunks.pop(index, None)
