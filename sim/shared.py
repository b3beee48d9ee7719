"""Shared work: what is a pure function of bytes is computed once per process.

Every virtual peer still reports, and pays its virtual time for, all that it would have computed
alone. A run with ``Work`` in place of ``SharedWork`` has the same digest.
"""

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

from node.block import decode_block
from node.chain import Step, decode_each, plan_step, verify_content
from node.crypto import Identity, is_signature_valid, open_box
from node.errors import NodeError
from node.execution import BlockOutput, execute_bundles
from node.transaction import decode_transaction
from node.types import Signature
from node.wire import frame_sealed
from node.work import Work, WorkKind
from sim.notary import Notary

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

REMEMBERED_PER_FUNCTION: Final = 1_024
REMEMBERED_TRANSACTIONS: Final = 8_192
REMEMBERED_BLOCKS: Final = 48
REMEMBERED_COPIES: Final = 160
REMEMBERED_SIGNATURES: Final = 65_536
REMEMBERED_SIGNERS: Final = 1_024
REMEMBERED_AHEAD: Final = 1_024
WRITTEN_PER_UNIT: Final = 2_000
"""Records that a block writes count as one block more."""


class _Memo:
    """The last results by key: a young and an old generation, neither over the capacity.

    A result larger than that is one alone.
    """

    __slots__ = ("capacity", "old", "size", "young")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self.young: dict[bytes, object] = {}
        self.old: dict[bytes, object] = {}

    def put(self, key: bytes, value: object, size: int = 1) -> None:
        if self.young and self.size + size > self.capacity:
            self.old = self.young
            self.young = {}
            self.size = 0
        self.young[key] = value
        self.size += size

    def get(self, key: bytes) -> object:
        """None if it is not among them."""
        value = self.young.get(key)
        return self.old.get(key) if value is None else value


class _Failed:
    """A remembered refusal, raised again for the next who asks."""

    __slots__ = ("error",)

    def __init__(self, error: NodeError) -> None:
        self.error = error


class SharedWork(Work):
    """A ``Work`` that remembers by content, bounded, for all nodes of one process.

    ``computed`` counts the calls that were not answered from memory. What peers sign here
    holds: a ``notary`` checks it in its own process, and ends the run if it does not. It also
    signs for the others what two of them signed, ahead of need.
    """

    __slots__ = ("_ahead", "_boxes", "_memos", "_signatures", "_signers", "computed", "notary")

    def __init__(self) -> None:
        self.notary: Notary | None = None
        # A result that holds a block or a snapshot is worth a megabyte, and a height is planned
        # once for each set of seals that goes round.
        self._memos: dict[object, _Memo] = {
            decode_transaction: _Memo(REMEMBERED_TRANSACTIONS),
            plan_step: _Memo(REMEMBERED_COPIES),
            decode_block: _Memo(REMEMBERED_BLOCKS),
            frame_sealed: _Memo(REMEMBERED_BLOCKS),
            decode_each: _Memo(REMEMBERED_BLOCKS),
            execute_bundles: _Memo(REMEMBERED_BLOCKS),
            verify_content: _Memo(REMEMBERED_BLOCKS),
        }
        self._signatures = _Memo(REMEMBERED_SIGNATURES)
        self._signers = _Memo(REMEMBERED_SIGNERS)  # by message: who signed it first
        self._ahead = _Memo(REMEMBERED_AHEAD)  # by key and message: the signature
        self._boxes: dict[bytes, bytes | None] = {}
        self.computed = 0

    def once(
        self, function: Callable[[*Arguments], Result], key: bytes, *arguments: *Arguments
    ) -> Result:
        """As ``Work.once``, from memory if the same key was computed before."""
        memo = self._memos.get(function)
        if memo is None:
            memo = self._memos[function] = _Memo(REMEMBERED_PER_FUNCTION)
        result = memo.young.get(key)
        if result is None:
            result = memo.old.get(key)
            if result is None:
                try:
                    result = function(*arguments)
                except NodeError as error:
                    result = _Failed(error)
                self.computed += 1
                memo.put(key, _NOTHING if result is None else result, _weigh(result))
        if type(result) is _Failed:
            raise result.error.with_traceback(None)
        return None if result is _NOTHING else result  # type: ignore[return-value]

    def check_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """As ``Work.check_signature``; only what holds is remembered."""
        memo = self._signatures
        known = memo.young.get(signature) or memo.old.get(signature)
        if known == (key, message):
            return True
        if not is_signature_valid(key, message, signature):
            return False
        self.computed += 1
        memo.put(signature, (key, message))
        return True

    def sign(self, identity: Identity, message: bytes) -> Signature:
        """As ``Work.sign``; what a second one signs is signed ahead for all others."""
        notary = self.notary
        if notary is None:
            return identity.sign(message)
        key = identity.public
        first = self._signers.get(message)
        if first is _ASKED:
            known = self._get_ahead(notary, key + message)
            if known is not None:
                return known
        signature = identity.sign(message)
        self.remember_made(key, message, signature)
        if first is None:
            self._signers.put(message, key)
        elif isinstance(first, bytes) and first != key:
            self._ask_ahead(notary, message, (first, key))
        return signature

    def _ask_ahead(self, notary: Notary, message: bytes, signed: tuple[bytes, bytes]) -> None:
        if notary.sign(message, signed):
            self._signers.put(message, _ASKED)

    def _get_ahead(self, notary: Notary, name: bytes) -> Signature | None:
        known = self._ahead.get(name)
        if known is None:
            self._take(notary)
            known = self._ahead.get(name)
        assert known is None or isinstance(known, bytes)
        return known

    def _take(self, notary: Notary) -> None:
        for key, message, signature in notary.take():  # which checks what it makes
            self._signatures.put(signature, (key, message))
            self._ahead.put(key + message, signature)

    def remember_made(self, key: bytes, message: bytes, signature: bytes) -> None:
        """This process has signed it: it holds, if there is a notary who sees to that."""
        if self.notary is not None and self.notary.check(key, message, signature):
            self._signatures.put(signature, (key, message))

    def remember_checked(self, key: bytes, message: bytes, signature: bytes) -> None:
        """A worker process has checked that this signature holds."""
        self._signatures.put(signature, (key, message))

    def open_box(self, box: bytes, nonce: bytes, sender: bytes, secret: bytes) -> bytes | None:
        """As ``Work.open_box``; what workers opened is taken out as it is asked for."""
        if box in self._boxes:
            return self._boxes.pop(box)
        return open_box(box, nonce, sender, secret)

    def remember_opened(self, box: bytes, plain: bytes | None) -> None:
        """A worker process has opened this box."""
        self._boxes[box] = plain


def _weigh(result: object) -> int:
    """A snapshot shares with the one before it all but what its block wrote.

    An ordinary block writes hundreds of records, one of the tally every fiftieth of the state:
    a hundred snapshots of that time would be gigabytes.
    """
    output = result.output if isinstance(result, Step) else result
    if not isinstance(output, BlockOutput):
        return 1
    written = sum(work.units for work in output.executed if work.kind is WorkKind.STATE_WRITE)
    return 1 + written // WRITTEN_PER_UNIT


_NOTHING: Final = object()

_ASKED: Final = object()
"""In place of a message's first signer: the others' signatures come ahead."""
