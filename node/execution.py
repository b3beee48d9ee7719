"""Applying the transactions of a block to a snapshot: deterministic, total, never raising.

A transaction either changes the state and has the receipt "ok", or changes nothing and has a
receipt with the reason. Transactions of one sender carry nonces 1, 2, 3, ...; a repeated one is
"duplicate", one too far ahead is "nonce gap". A ballot's one-time key sends but once, so the
election itself settles its repetition and no nonce record is kept for it.

Nothing else keeps a bundle from being final twice. What had "ok" never has it again; what was
refused before it used up a nonce ("nonce gap", a ballot that was "not open") may have it later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.bundle import Bundle
from node.effects import Worked
from node.errors import Refused
from node.ledger import Ledger
from node.merkle import MerkleTree
from node.receipt import BAD_PAYLOAD, DUPLICATE, NONCE_GAP, OK, UNKNOWN_KIND, encode_receipt
from node.services.call import Call, Opener
from node.services.catalogue import HANDLERS, SELF_ORDERED
from node.state import State
from node.transaction import Transaction
from node.types import Digest, PublicKey
from node.work import WorkKind

SEQUENCE_PER_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BlockOutput:
    """What executing a block gives: the next snapshot, receipts in order, and the work done.

    ``tree`` is that of the receipts. ``outcomes`` pairs each transaction's id with its status,
    bundle by bundle. ``executed`` is the work of executing, ``worked`` that and the checks of
    bundles' and transactions' signatures, which whoever has seen none of the bundles before
    must do first.
    """

    state: State
    receipts: tuple[bytes, ...]
    outcomes: tuple[tuple[tuple[Digest, str], ...], ...]
    tree: MerkleTree
    executed: tuple[Worked, ...]
    worked: tuple[Worked, ...]

    @property
    def receipts_root(self) -> Digest:
        """Commits to every receipt of this block."""
        return self.tree.root

    @property
    def state_root(self) -> Digest:
        """Commits to every record after this block."""
        return self.state.root

    @property
    def transaction_count(self) -> int:
        """How many transactions the block held, refused ones included."""
        return len(self.receipts)


class _CountingOpener:
    """Counts the boxes that the services open."""

    __slots__ = ("_opener", "opened")

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.opened = 0

    def open_box(self, box: bytes, nonce: bytes, sender: bytes, secret: bytes) -> bytes | None:
        self.opened += 1
        return self._opener.open_box(box, nonce, sender, secret)


def execute_bundles(
    snapshot: State, height: int, time_ns: int, bundles: Sequence[Bundle],
    registrar: PublicKey, opener: Opener,
) -> BlockOutput:
    """The outcome of the bundles' transactions, in order, upon ``snapshot``."""
    ledger = Ledger(snapshot)
    counting = _CountingOpener(opener)
    receipts: list[bytes] = []
    outcomes: list[tuple[tuple[Digest, str], ...]] = []
    written = 0
    for bundle in bundles:
        outcome: list[tuple[Digest, str]] = []
        for transaction in bundle.transactions:
            index = len(receipts)
            status = _execute(
                ledger, transaction, height, time_ns, height * SEQUENCE_PER_BLOCK + index,
                registrar, counting,
            )
            if status == OK:
                written += ledger.keep()
            else:
                ledger.drop()
            receipts.append(encode_receipt(transaction.id, height, index, status))
            outcome.append((transaction.id, status))
        outcomes.append(tuple(outcome))
    assert len(receipts) < SEQUENCE_PER_BLOCK
    state = snapshot.with_changes(ledger.get_changes())
    tree = MerkleTree(receipts)
    work = (
        Worked(WorkKind.EXECUTE, len(receipts)), Worked(WorkKind.STATE_WRITE, written),
        Worked(WorkKind.OPEN_BOX, counting.opened),
    )
    executed = tuple(item for item in work if item.units)
    # whoever built the block checked these as they came; it pays for executing only
    checked = Worked(WorkKind.CHECK_SIGNATURE, len(bundles) + len(receipts))
    return BlockOutput(
        state, tuple(receipts), tuple(outcomes), tree, executed,
        (checked, *executed) if receipts else executed,
    )


def _execute(
    ledger: Ledger, transaction: Transaction, height: int, time_ns: int, sequence: int,
    registrar: PublicKey, opener: Opener,
) -> str:
    handler = HANDLERS.get(transaction.kind)
    if handler is None:
        return UNKNOWN_KIND
    sender = transaction.sender
    if transaction.kind in SELF_ORDERED:
        # with a nonce to choose, one ballot would have many ids and as many receipts
        if transaction.nonce != 0:
            return BAD_PAYLOAD
    else:
        status = _advance_nonce(ledger, sender, transaction.nonce)
        if status != OK:
            return status
    try:
        handler(ledger, Call(
            transaction.kind, sender, transaction.payload, transaction.id, height, time_ns,
            sequence, sender == registrar, opener,
        ))
    except Refused as refusal:
        return refusal.reason
    return OK


def _advance_nonce(ledger: Ledger, sender: PublicKey, nonce: int) -> str:
    """Takes the nonce at once: a refused transaction uses it up, or it could be replayed."""
    key = b"nonce/" + sender
    record = ledger.get(key)
    last = 0 if record is None else int.from_bytes(record, "big")
    if nonce <= last:
        return DUPLICATE
    if nonce != last + 1:
        return NONCE_GAP
    ledger.put(key, nonce.to_bytes(7, "big"))  # NONCE_END is 2**53
    ledger.keep()  # before the handler: what it writes may be dropped, the nonce may not
    return OK


def get_nonce(state: State, sender: PublicKey) -> int:
    """The last nonce that ``sender`` used; 0 before the first."""
    record = state.get(b"nonce/" + sender)
    return 0 if record is None else int.from_bytes(record, "big")
