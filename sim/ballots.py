"""Ballots made ahead of virtual time: keys, boxes, signatures, all real and all checked.

A ballot is a pure function of (rules, row, attempt), so it does not matter which process makes
it or when. The making costs what its cryptography costs (one Ed25519 key pair, one Curve25519
key and box, one signature, one check; the opening comes later) and little else: bytes around
the varying fields are cut out of a transaction that the node's own encoder made.
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
# Of each ballot besides its transaction: key, commitment, id, the box's public key, the box.
_COLUMNS = 5
_COLUMN_BYTES = 32
_COLUMNS_BYTES = _COLUMNS * _COLUMN_BYTES
assert KEY_BYTES == DIGEST_BYTES == BOX_BYTES == _COLUMN_BYTES
_BLANK = bytes(BOX_BYTES)


class ChunkSource(Protocol):
    """Where chunks come from: this process or workers; always the same bytes.

    Boxes are opened after they were made, when there is time: at the busiest hour it is the
    ballots that somebody waits for.
    """

    def get(self, index: int) -> bytes:
        """The frame of chunk ``index``; called for 0, 1, 2, ... in turn."""
        ...

    def pump(self) -> None:
        """Take in what is ready, so that workers need not wait."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether there is time to open boxes now."""
        ...

    def ask_opening(self, index: int, sealed: bytes) -> None:
        """Want the boxes of chunk ``index`` opened; called for 0, 1, 2, ... in turn.

        ``sealed`` has the keys, the boxes' public keys and the boxes, a column each.
        """
        ...

    def get_opening(self, index: int) -> bytes:
        """What was in the boxes of chunk ``index``, zeros where there is none; once."""
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
        """One frame: keys, commitments, ids, box keys, boxes, transactions of the slots.

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
        keys, commitments, ids, publics, boxes, transactions = columns
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
                publics.append(bytes(KEY_BYTES))
                boxes.append(_BLANK)
                transactions.append(blank)
                continue
            transaction_id, public, box, transaction = self._seal(
                key, secret, seed[32:], self._templates[districts[at] - 1], choices[at]
            )
            ids.append(transaction_id)
            publics.append(public)
            boxes.append(box)
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
        transaction = b"".join(
            (template.before_body, body, template.before_signature, signed[:64])
        )
        return transaction_id, box_public, box, transaction

    def open_chunk(self, sealed: bytes) -> bytes:
        """What is in the boxes of a chunk, by ``ChunkSource.ask_opening``'s columns."""
        count, rest = divmod(len(sealed), 3 * _COLUMN_BYTES)
        assert rest == 0, len(sealed)
        step = count * _COLUMN_BYTES
        plains = []
        for at in range(0, step, _COLUMN_BYTES):
            end = at + _COLUMN_BYTES
            box = sealed[2 * step + at : 2 * step + end]
            plains.append(bytes(PLAIN_BYTES) if box == _BLANK else bindings.crypto_box_open(
                box, sealed[at : at + _NONCE_BYTES], sealed[step + at : step + end],
                self._opening_key,
            ))
        return b"".join(plains)


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
    """Makes each chunk when it is asked for, in this process; opens boxes when it must."""

    __slots__ = ("_maker", "_sealed")

    def __init__(self, rules: BallotRules, electorate: Electorate) -> None:
        self._maker = BallotMaker(rules, electorate)
        self._sealed: dict[int, bytes] = {}

    def get(self, index: int) -> bytes:
        """The frame of chunk ``index``."""
        return self._maker.make_chunk(index)

    def pump(self) -> None:
        """Nothing is ever waiting."""

    @property
    def is_idle(self) -> bool:
        """Never: what is opened ahead would only be waited for."""
        return False

    def ask_opening(self, index: int, sealed: bytes) -> None:
        """Note the boxes."""
        assert index not in self._sealed
        self._sealed[index] = sealed

    def get_opening(self, index: int) -> bytes:
        """Open the boxes now."""
        return self._maker.open_chunk(self._sealed.pop(index))


class Ballot(NamedTuple):
    """What a voter sends, its id, and what of it was checked."""

    transaction: bytes
    id: bytes
    key: bytes
    signature: bytes


class BallotStore:
    """The ballots that exist so far: what the office needs of each, and what its voter sends.

    ``keys``, ``commitments`` and ``boxes`` are columns over all slots, filled as chunks arrive;
    ``plains``, what the boxes hold, by ``open``.
    Transactions are kept until ``release`` has been told of every first ballot of their chunk;
    those of second ballots, a few in a hundred, for the whole run.
    """

    __slots__ = ("_asked", "_chunks", "_electorate", "_extra", "_key_at", "_left", "_loaded",
                 "_opened", "_publics", "_size", "_source", "boxes", "commitments", "keys",
                 "plains")

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
        self._publics: NDArray[np.uint8] = np.zeros((slots, KEY_BYTES), np.uint8)
        self.plains: NDArray[np.uint8] = np.zeros((slots, PLAIN_BYTES), np.uint8)
        self._chunks: dict[int, tuple[bytes, int, int]] = {}
        self._extra: dict[int, Ballot] = {}
        chunks = -(-electorate.users // CHUNK_ROWS)
        self._left = np.full(chunks, CHUNK_ROWS, np.int64)
        self._left[-1] = electorate.users - (chunks - 1) * CHUNK_ROWS
        self._loaded = self._asked = self._opened = 0  # chunks: made, being opened, open

    def need(self, row: int) -> None:
        """Have the ballots of all rows up to ``row``; waits for workers if they are slower."""
        assert 0 <= row < self._electorate.users
        while self._loaded <= row // CHUNK_ROWS:
            self._load(self._loaded, self._source.get(self._loaded))
            self._loaded += 1

    def pump(self) -> None:
        """Take in what workers have ready, and give them boxes; call it often, or they wait."""
        self._source.pump()
        if self._asked < self._loaded and self._source.is_idle:
            self._ask_opening()

    @property
    def opened(self) -> int:
        """Slots whose boxes are open, if they have any."""
        return sum(len(list_chunk(self._electorate, at)[0]) for at in range(self._opened))

    def open(self) -> None:
        """Have every box that was made opened; waits for it."""
        while self._asked < self._loaded:
            self._ask_opening()
        while self._opened < self._asked:
            slots, _ = list_chunk(self._electorate, self._opened)
            opened = np.frombuffer(self._source.get_opening(self._opened), np.uint8)
            self.plains[slots] = opened.reshape(len(slots), PLAIN_BYTES)
            self._opened += 1

    def _ask_opening(self) -> None:
        assert self._asked < self._loaded
        slots, _ = list_chunk(self._electorate, self._asked)
        columns = (self.keys, self._publics, self.boxes)
        sealed = b"".join(column[slots].tobytes() for column in columns)
        self._source.ask_opening(self._asked, sealed)
        self._asked += 1

    def _load(self, index: int, frame: bytes) -> None:
        slots, _ = list_chunk(self._electorate, index)
        n = len(slots)
        assert len(frame) == n * (_COLUMNS_BYTES + self._size), (len(frame), n)
        columns = np.frombuffer(frame, np.uint8, n * _COLUMNS_BYTES)
        columns = columns.reshape(_COLUMNS, n, _COLUMN_BYTES)
        for column, into in enumerate((self.keys, self.commitments)):
            into[slots] = columns[column]
        for column, into in enumerate((self._publics, self.boxes), 3):
            into[slots] = columns[column]
        ids_at = n * (KEY_BYTES + DIGEST_BYTES)
        transactions_at = n * _COLUMNS_BYTES
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
