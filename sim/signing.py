"""Transactions signed by worker processes ahead of virtual time, kept until they are final.

A request is an operation and two columns of numbers; its answer is a frame: for keys 32 bytes
each, for transactions their lengths, then keys, ids and transactions. All is real Ed25519: a
key pair, a signature and its check for every transaction.
"""

from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct

import numpy as np
from nacl import bindings
from numpy.typing import NDArray

from node.codec import Value, encode
from node.transaction import compute_transaction_id
from node.types import DIGEST_BYTES, KEY_BYTES, SIGNATURE_BYTES
from sim.ballots import Ballot
from sim.electorate import Rows
from sim.workers import Crew

KEYS, TRANSACTIONS = 0, 1
ROWS_PER_REQUEST = 1_000
_HEAD = Struct(">BI")

KeyPair = tuple[bytes, bytes]


def pack_request(operation: int, numbers: Rows, amounts: Rows | None = None) -> bytes:
    """The request for keys of rows, or for transactions of slots and their amounts."""
    assert 0 < len(numbers) <= ROWS_PER_REQUEST
    more = b"" if amounts is None else amounts.astype("<i8").tobytes()
    return _HEAD.pack(operation, len(numbers)) + numbers.astype("<i8").tobytes() + more


def unpack_request(request: bytes) -> tuple[int, Rows, Rows]:
    """(operation, numbers, amounts) of a request; no amounts are zeros."""
    operation, count = _HEAD.unpack_from(request)
    numbers = np.frombuffer(request, "<i8", count, _HEAD.size)
    at = _HEAD.size + 8 * count
    if len(request) == at:
        return operation, numbers, np.zeros(count, np.int64)
    return operation, numbers, np.frombuffer(request, "<i8", count, at)


def make_key_pair(seed: bytes) -> KeyPair:
    """(public, secret) from 32 bytes."""
    public, secret = bindings.crypto_sign_seed_keypair(seed)
    return public, secret


def sign_transaction(
    pair: KeyPair, chain_id: bytes, kind: int, nonce: int, payload: list[Value]
) -> tuple[bytes, bytes]:
    """(id, transaction), the signature checked."""
    public, secret = pair
    body = encode([chain_id, kind, public, nonce, payload])
    transaction_id = compute_transaction_id(body)
    signed = bindings.crypto_sign(transaction_id, secret)
    # the check that relays would make, made here: the main process is told that it held
    assert bindings.crypto_sign_open(signed, public) == transaction_id
    return transaction_id, encode([body, signed[:SIGNATURE_BYTES]])


def pack_frame(
    keys: Sequence[bytes], ids: Sequence[bytes], transactions: Sequence[bytes]
) -> bytes:
    """The answer with these transactions."""
    assert len(keys) == len(ids) == len(transactions)
    lengths = np.array([len(item) for item in transactions], "<u4")
    return b"".join((lengths.tobytes(), *keys, *ids, *transactions))


class SignedStore:
    """The transactions that exist so far; ``keys`` is a column of rows' public keys.

    ``rows_of`` tells whose a slot is. ``made`` counts the transactions asked for.
    """

    __slots__ = ("_asked", "_crew", "_index", "_made", "_rows_of", "keys", "made")

    def __init__(self, crew: Crew, users: int, rows_of: Callable[[Rows], Rows]) -> None:
        self._crew = crew
        self._rows_of = rows_of
        self._index = 0
        self._asked: deque[tuple[int, Rows]] = deque()
        self._made: dict[int, Ballot] = {}
        self.keys: NDArray[np.uint8] = np.zeros((users, KEY_BYTES), np.uint8)
        self.made = 0

    def ask_keys(self, rows: Rows) -> int:
        """Want the keys of at most ROWS_PER_REQUEST rows; a ticket for ``take_keys``."""
        self._crew.ask(self._index, pack_request(KEYS, rows))
        self._index += 1
        return self._index - 1

    def take_keys(self, ticket: int, rows: Rows) -> bytes:
        """The keys that were asked for, joined, and from now on in ``keys``."""
        keys = self._crew.get(ticket)
        assert len(keys) == KEY_BYTES * len(rows)
        self.keys[rows] = np.frombuffer(keys, np.uint8).reshape(-1, KEY_BYTES)
        return keys

    def ask(self, slots: Rows, amounts: Rows | None = None) -> None:
        """Want these transactions; ``get`` gives them later."""
        for first in range(0, len(slots), ROWS_PER_REQUEST):
            some = slots[first : first + ROWS_PER_REQUEST]
            sums = None if amounts is None else amounts[first : first + ROWS_PER_REQUEST]
            self._crew.ask(self._index, pack_request(TRANSACTIONS, some, sums))
            self._asked.append((self._index, some))
            self._index += 1
        self.made += len(slots)

    def get(self, slot: int) -> Ballot:
        """A transaction that was asked for and is not released."""
        found = self._made.get(slot)
        while found is None:
            self._load()
            found = self._made.get(slot)
        return found

    def release(self, slots: Rows) -> None:
        """These transactions are settled and will not be sent again."""
        for slot in slots.tolist():
            self._made.pop(slot, None)

    def pump(self) -> None:
        """Take in what workers have ready; call it often, or they wait."""
        self._crew.pump()

    def close(self) -> None:
        """Let the workers go."""
        self._crew.close()

    def _load(self) -> None:
        assert self._asked, "a transaction was wanted that nobody asked for"
        ticket, slots = self._asked.popleft()
        frame = self._crew.get(ticket)
        count = len(slots)
        lengths = np.frombuffer(frame, "<u4", count).tolist()
        keys_at = 4 * count
        ids_at = keys_at + KEY_BYTES * count
        at = ids_at + DIGEST_BYTES * count
        keys = np.frombuffer(frame, np.uint8, KEY_BYTES * count, keys_at)
        self.keys[self._rows_of(slots)] = keys.reshape(count, KEY_BYTES)
        made = self._made
        for slot, length in zip(slots.tolist(), lengths, strict=True):
            end = at + length
            made[slot] = Ballot(
                frame[at:end], frame[ids_at : ids_at + DIGEST_BYTES],
                frame[keys_at : keys_at + KEY_BYTES], frame[end - SIGNATURE_BYTES : end],
            )
            at = end
            ids_at += DIGEST_BYTES
            keys_at += KEY_BYTES
        assert at == len(frame)
