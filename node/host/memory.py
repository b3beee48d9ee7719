"""What a node's host has computed ahead, to answer the node from memory when it asks.

The node checks a bundle where it stands: upon a frame, in a proposal, in a final block. The
host checks it once, in threads and before, and this ``Work`` remembers. What it does not
remember it computes like any ``Work``: memory changes when the work is done, never its outcome.
"""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from node.block import Block, decode_block
from node.bundle import Bundle, decode_bundle
from node.chain import verify_content
from node.consensus.qbft.messages import Message as ConsensusMessage
from node.consensus.qbft.messages import decode_message
from node.crypto import digest, is_signature_valid
from node.execution import execute_bundles
from node.host.meter import Meter, Spent
from node.transaction import Transaction, decode_transaction
from node.validation import verify_bundle
from node.wire import Message, decode_frame
from node.work import Work

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

BUNDLE_BYTES_MAX = 32 * 1024 * 1024
FRAME_BYTES_MAX = 32 * 1024 * 1024
FINAL_MAX = 4_096
OUTPUTS_MAX = 4
SIGNATURES_MAX = 65_536
TRANSACTIONS_MAX = 16_384
_VERIFIED_BYTES = 256


class Memo:
    """The last results by key: a young and an old generation, each of ``size_max`` units."""

    __slots__ = ("_old", "_size", "_size_max", "_young")

    def __init__(self, size_max: int) -> None:
        assert size_max > 0
        self._size_max = size_max
        self._size = 0
        self._young: dict[bytes, object] = {}
        self._old: dict[bytes, object] = {}

    def get(self, key: bytes) -> object:
        """What was put under ``key`` and is still known, or None."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def put(self, key: bytes, value: object, size: int = 1) -> None:
        """Remember ``value``; the older half is forgotten when there is no more room."""
        assert value is not None
        if self._size + size > self._size_max:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = value
        self._size += size

    def drop(self, key: bytes, size: int = 1) -> None:
        """Forget what is under ``key``, if anything."""
        if self._young.pop(key, None) is not None:
            self._size -= size
        assert self._size >= 0, "what was put is dropped with its size"
        self._old.pop(key, None)


class WorkMemory(Work):
    """A ``Work`` that is told results ahead; bounded, for one node."""

    __slots__ = ("_bundles", "_contents", "_final", "_memos", "_meter", "_outputs",
                 "_signatures", "_transactions", "_verified")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._final = Memo(FINAL_MAX)
        self._bundles = Memo(BUNDLE_BYTES_MAX)
        self._verified = Memo(BUNDLE_BYTES_MAX)
        self._signatures = Memo(SIGNATURES_MAX)
        self._outputs = Memo(OUTPUTS_MAX)
        self._contents = Memo(OUTPUTS_MAX)
        self._transactions = Memo(TRANSACTIONS_MAX)
        self._memos: dict[object, Memo] = {
            decode_transaction: self._transactions,
            decode_frame: Memo(FRAME_BYTES_MAX), decode_block: Memo(FRAME_BYTES_MAX),
            decode_message: Memo(FRAME_BYTES_MAX),
            execute_bundles: self._outputs, verify_content: self._contents,
            decode_bundle: self._bundles, verify_bundle: self._verified,
        }

    def once(
        self, function: Callable[[*Arguments], Result], key: bytes, *arguments: *Arguments
    ) -> Result:
        """As ``Work.once``; bundles, and what executing the last blocks gave, are kept."""
        memo = self._memos.get(function)
        if memo is None:
            return function(*arguments)
        known = memo.get(key)
        if known is not None:
            return None if known is _NOTHING else known  # type: ignore[return-value]
        kind = _KINDS.get(function)
        if kind is None:
            result = function(*arguments)
        else:
            result = self._meter.run(kind, function, *arguments)
        if memo is self._bundles:
            self._bundles.put(key, result, len(key))
        elif memo is self._verified:
            self._verified.put(key, _NOTHING, _VERIFIED_BYTES)
        elif memo is self._outputs or memo is self._contents:
            memo.put(key, result)
        return result

    def check_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """As ``Work.check_signature``; one that was found to hold ahead is not checked."""
        if self._signatures.get(signature) == (key, message):
            return True
        return self._meter.run(Spent.CHECK, is_signature_valid, key, message, signature)

    def is_checked(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether it is remembered that this signature holds."""
        return self._signatures.get(signature) == (key, message)

    def remember_signature(self, key: bytes, message: bytes, signature: bytes) -> None:
        """This signature holds."""
        self._signatures.put(signature, (key, message))

    def remember_frame(self, frame: bytes, message: Message) -> None:
        """``frame`` is decoded."""
        self._memos[decode_frame].put(frame, message, len(frame))

    def remember_block(self, encoded: bytes, block: Block) -> None:
        """A block is decoded from its encoding."""
        self._memos[decode_block].put(encoded, block, len(encoded))

    def remember_consensus(self, payload: bytes, message: ConsensusMessage) -> None:
        """A consensus message is decoded."""
        self._memos[decode_message].put(payload, message, len(payload))

    def remember_transaction(self, transaction: Transaction) -> None:
        """A client's transaction is decoded; its bundle will ask for it soon."""
        self._transactions.put(transaction.encoded, transaction)

    def get_bundle(self, encoded: bytes) -> Bundle | None:
        """The decoded bundle, if it is remembered."""
        known = self._bundles.get(encoded)
        assert known is None or isinstance(known, Bundle)
        return known

    def remember_bundle(self, bundle: Bundle) -> None:
        """A bundle is decoded from its encoding."""
        self._bundles.put(bundle.encoded, bundle, len(bundle.encoded))

    def forget_final(self, encoded: bytes) -> None:
        """A bundle is in a final block: no one will ask for its transactions again.

        They are most of what a busy node holds, and objects by the hundred thousand.
        """
        self._final.put(digest(b"final bundle", encoded), _NOTHING)
        self._bundles.drop(encoded, len(encoded))

    def is_final(self, encoded: bytes) -> bool:
        """Whether this bundle was in a final block not long ago."""
        return self._final.get(digest(b"final bundle", encoded)) is not None

    def is_verified(self, bundle: Bundle) -> bool:
        """Whether it is remembered that all is well with ``bundle``."""
        return self._verified.get(bundle.digest + bundle.signature) is not None

    def remember_verified(self, bundle: Bundle) -> None:
        """``verify_bundle`` found nothing amiss with it."""
        self._verified.put(bundle.digest + bundle.signature, _NOTHING, _VERIFIED_BYTES)


_KINDS: dict[object, Spent] = {
    decode_frame: Spent.DECODE, decode_block: Spent.DECODE, decode_message: Spent.DECODE,
    decode_bundle: Spent.DECODE, execute_bundles: Spent.EXECUTE,
}
_NOTHING = object()
