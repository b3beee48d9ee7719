"""Signatures are checked in threads, a batch at a time, before the node asks for them.

libsodium frees the interpreter while it works, so threads check while the host's one task goes
on; without threads the task does it itself, a batch at a time. A frame that carries bundles,
and a client's transaction, waits here until its signatures are checked, and is handed to the
node only then; all others pass it by. What fails is handed on just the same: the node finds
out by itself, and refuses in its own words.

Final blocks keep their order, and a peer leaves behind all that it sent.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias, TypeVar, TypeVarTuple

import trio

from node.bundle import Bundle, decode_bundle
from node.crypto import is_signature_valid
from node.errors import InvalidMessage, InvalidTransaction
from node.host.inspection import Inspector
from node.host.memory import WorkMemory
from node.host.meter import Meter, Spent, measure
from node.inputs import Input, PeerLeft, Received, Submitted
from node.params import Genesis, Params
from node.transaction import Transaction, decode_transaction
from node.types import PeerHandle

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")
Check: TypeAlias = tuple[bytes, bytes, bytes]
"""Key, message, signature."""

CHUNK = 128
"""Checks in one call to a thread: some 10 ms, so that no one waits long for a free thread."""

SUBMITTED_MAX = 512
"""Clients' transactions in one batch: what one waits for another."""

WAITING_BYTES_MAX = 64 * 1024 * 1024


class Threads:
    """Calls functions in at most ``count`` threads; with 0 in the caller's own, at once.

    ``meter`` is told what the calls cost.
    """

    __slots__ = ("_limiter", "_meter")

    def __init__(self, count: int, meter: Meter) -> None:
        assert count >= 0
        self._limiter = trio.CapacityLimiter(count) if count else None
        self._meter = meter

    async def run(
        self, kind: Spent, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        """``function(*arguments)``, its errors too; its time counts as ``kind``."""
        if self._limiter is None:
            await trio.lowlevel.checkpoint()
            return self._meter.run(kind, function, *arguments)
        result, spent_ns = await trio.to_thread.run_sync(
            measure, function, *arguments, limiter=self._limiter
        )
        self._meter.add(kind, spent_ns)
        return result


class _Waiting:
    """A frame that goes to the node once ``left`` of its bundles are checked."""

    __slots__ = ("happened", "is_ordered", "left")

    def __init__(self, happened: Received, left: int, *, is_ordered: bool) -> None:
        self.happened = happened
        self.left = left
        self.is_ordered = is_ordered


class Checker:
    """Everything that waits for its signatures.

    ``wake`` is called when some are done; whoever is woken asks ``take_done``. ``checks``
    counts the signatures checked here. ``run`` must run for anything to be done.
    """

    def __init__(
        self, genesis: Genesis, chain_id: bytes, inspector: Inspector, work: WorkMemory,
        threads: Threads, wake: Callable[[], None], meter: Meter,
    ) -> None:
        self.checks = 0
        self._genesis = genesis
        self._chain_id = chain_id
        self._inspector = inspector
        self._work = work
        self._threads = threads
        self._wake = wake
        self._meter = meter
        self._done: list[Input] = []
        self._blocks: deque[_Waiting] = deque()
        self._of_peer: Counter[PeerHandle] = Counter()
        self._leaving: dict[PeerHandle, PeerLeft] = {}
        self._under_way: dict[bytes, list[_Waiting]] = {}
        self._submitted: list[Submitted] = []
        self._is_checking_submitted = False
        self._bytes = 0
        self._room = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check what is put here; until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    @property
    def is_full(self) -> bool:
        """Whether what waits is so much that the host should take no more from its peers."""
        return self._bytes > WAITING_BYTES_MAX

    async def wait_room(self) -> None:
        """Until something is done."""
        self._room = trio.Event()
        await self._room.wait()

    def pass_by(self, happened: Received) -> bool:
        """Whether the node may have this frame now; if not, it comes through ``take_done``."""
        frame = happened.frame
        listed = self._meter.run(Spent.DECODE, self._inspector.list_bundles, frame)
        bundles = [encoded for encoded in listed if not self._is_known(encoded)]
        is_ordered = bool(bundles or self._blocks) and self._inspector.is_block(frame)
        if not bundles and not is_ordered:
            return True
        waiting = _Waiting(happened, len(bundles), is_ordered=is_ordered)
        self._of_peer[happened.peer] += 1
        self._bytes += len(frame)
        if is_ordered:
            self._blocks.append(waiting)
        for encoded in bundles:
            self._begin(encoded, waiting)
        return False

    def leave(self, left: PeerLeft) -> bool:
        """Whether the node may be told now that a peer left; if not, as for ``pass_by``."""
        if not self._of_peer[left.peer]:
            del self._of_peer[left.peer]
            return True
        self._leaving[left.peer] = left
        return False

    def put_submitted(self, submitted: Sequence[Submitted]) -> None:
        """Clients' transactions: they come through ``take_done``, in order."""
        self._submitted += submitted
        if not self._is_checking_submitted:
            assert self._nursery is not None
            self._is_checking_submitted = True
            self._nursery.start_soon(self._check_submitted)

    def take_done(self) -> list[Input]:
        """Inputs for the node, their signatures checked, each once."""
        done, self._done = self._done, []
        return done

    def _is_known(self, encoded: bytes) -> bool:
        bundle = self._work.get_bundle(encoded)
        return bundle is not None and self._work.is_verified(bundle)

    def _begin(self, encoded: bytes, waiting: _Waiting) -> None:
        assert self._nursery is not None
        if encoded in self._under_way:
            self._under_way[encoded].append(waiting)
        else:
            self._under_way[encoded] = [waiting]
            self._nursery.start_soon(self._check_bundle, encoded)

    async def _check_bundle(self, encoded: bytes) -> None:
        bundle = self._work.get_bundle(encoded)
        if bundle is None:
            bundle = await self._threads.run(
                Spent.DECODE, try_decode_bundle, encoded, self._genesis.params
            )
        if bundle is not None and bundle.relay in self._genesis.relays:
            self._work.remember_bundle(bundle)
            if await self._check_all([(bundle.relay, bundle.digest, bundle.signature)]):
                await self._check_transactions(bundle)
        for waiting in self._under_way.pop(encoded):
            waiting.left -= 1
            if not waiting.left:
                self._finish(waiting)

    async def _check_transactions(self, bundle: Bundle) -> None:
        ids = {transaction.id for transaction in bundle.transactions}
        if len(ids) != len(bundle.transactions) or bundle.chain_id != self._chain_id or any(
            transaction.chain_id != self._chain_id for transaction in bundle.transactions
        ):
            return
        if await self._check_all(list_checks(bundle.transactions)):
            self._work.remember_verified(bundle)

    async def _check_all(self, checks: list[Check]) -> bool:
        """Whether all hold; if not, those that do are remembered one by one."""
        is_checked = self._work.is_checked
        unknown = [check for check in checks if not is_checked(*check)]
        if not unknown:
            return True
        chunks = [unknown[at : at + CHUNK] for at in range(0, len(unknown), CHUNK)]
        results: list[Sequence[bool]] = [()] * len(chunks)

        async def check(index: int) -> None:
            results[index] = await self._threads.run(
                Spent.CHECK, check_signatures, chunks[index]
            )

        if len(chunks) == 1:
            await check(0)
        else:
            async with trio.open_nursery() as nursery:
                for index in range(len(chunks)):
                    nursery.start_soon(check, index)
        self.checks += len(unknown)
        held = [holds for result in results for holds in result]
        if all(held):
            return True
        for item, holds in zip(unknown, held, strict=True):
            if holds:
                self._work.remember_signature(*item)
        return False

    async def _check_submitted(self) -> None:
        while self._submitted:
            batch = self._submitted[:SUBMITTED_MAX]
            del self._submitted[:SUBMITTED_MAX]
            transactions = await self._threads.run(
                Spent.DECODE, decode_submitted, [item.transaction for item in batch],
                self._genesis.params.transaction_bytes_max,
            )
            for transaction in transactions:
                self._work.remember_transaction(transaction)
            checks = list_checks(transactions)
            if await self._check_all(checks):
                for check in checks:
                    self._work.remember_signature(*check)
            self._done += batch
            self._wake()
        self._is_checking_submitted = False

    def _finish(self, waiting: _Waiting) -> None:
        if waiting.is_ordered:
            while self._blocks and not self._blocks[0].left:
                self._release(self._blocks.popleft())
        else:
            self._release(waiting)
        self._room.set()
        self._wake()

    def _release(self, waiting: _Waiting) -> None:
        peer = waiting.happened.peer
        self._done.append(waiting.happened)
        self._bytes -= len(waiting.happened.frame)
        self._of_peer[peer] -= 1
        if not self._of_peer[peer]:
            del self._of_peer[peer]
            left = self._leaving.pop(peer, None)
            if left is not None:
                self._done.append(left)


def try_decode_bundle(encoded: bytes, params: Params) -> Bundle | None:
    """The bundle, or None for what the node will refuse."""
    try:
        return decode_bundle(encoded, params)
    except InvalidMessage:
        return None


def decode_submitted(encodings: list[bytes], bytes_max: int) -> list[Transaction]:
    """Those that are well formed."""
    transactions = []
    for encoded in encodings:
        with suppress(InvalidTransaction):
            transactions.append(decode_transaction(encoded, bytes_max))
    return transactions


def list_checks(transactions: Iterable[Transaction]) -> list[Check]:
    """What is to be checked of decoded transactions."""
    return [(item.sender, item.id, item.signature) for item in transactions]


def check_signatures(checks: list[Check]) -> list[bool]:
    """Which of them hold."""
    return [is_signature_valid(*check) for check in checks]
