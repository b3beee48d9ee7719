"""A relay's own work: gather clients' transactions into bundles and see them into blocks.

A transaction waits for the next block anyway, so a relay gathers until ``bundle_lead_ns``
before that block is due: one bundle a block, and no time lost but by those who come after.
A bundle goes to one linked validator, who passes it to the next proposers. If it is not in a
final block ``bundle_targets`` heights later, the relay gives it to its next validator; so a
validator that skips a sender (parity-ethereum #9398) delays a ballot but cannot lose it.
"""

from collections.abc import Container
from typing import Final

from node.bundle import Bundle, decode_bundle, make_bundle
from node.crypto import Identity
from node.effects import Effect, Emit, Reply, Send, SetTimer, Worked
from node.errors import InvalidTransaction
from node.events import BundlePublished, InputRefused
from node.params import Params
from node.transaction import decode_transaction
from node.types import Digest, Now, PeerHandle
from node.validation import verify_transaction
from node.wire import frame_bundle
from node.work import Work, WorkKind

CHECKED: Final = Worked(WorkKind.CHECK_SIGNATURE, 1)
SIGNED: Final = Worked(WorkKind.SIGN, 1)
CLIENT: PeerHandle = -1


class Relay:
    """Transactions waiting to be bundled, and bundles waiting to be final."""

    __slots__ = ("_bytes", "_chain_id", "_identity", "_params", "_pending", "_published",
                 "_sequence", "_turn", "_waiting", "_work")

    def __init__(
        self, params: Params, chain_id: bytes, identity: Identity, work: Work, sequence: int
    ) -> None:
        self._params = params
        self._chain_id = chain_id
        self._identity = identity
        self._work = work
        self._waiting: dict[Digest, bytes] = {}
        self._bytes = 0
        self._pending: set[Digest] = set()
        self._published: dict[Digest, tuple[bytes, int, tuple[Digest, ...]]] = {}
        self._sequence = sequence
        self._turn = 0

    def upon_submitted(
        self, now: Now, client: int, encoded: bytes, head_ns: int, effects: list[Effect]
    ) -> None:
        """Check one transaction, answer its client, and keep it for the next bundle.

        Refusals: "encoding", "wrong chain", "signature"; "busy" when ``relay_pending_max`` is
        reached. A transaction that already waits is "accepted" again. ``head_ns`` is the time
        of the head.
        """
        try:
            transaction = self._work.once(
                decode_transaction, encoded, encoded, self._params.transaction_bytes_max
            )
            if transaction.id in self._pending:
                effects.append(Reply(client, transaction.id, "accepted"))
                return
            if len(self._pending) >= self._params.relay_pending_max:
                effects.append(Reply(client, transaction.id, "busy"))
                return
            effects.append(CHECKED)
            verify_transaction(transaction, self._chain_id, self._work)
        except InvalidTransaction as error:
            effects.append(Emit(InputRefused(CLIENT, "reject", error.reason)))
            effects.append(Reply(client, b"", error.reason))
            return
        if not self._waiting:
            wait_ns = self._compute_wait_ns(now.realtime_ns, head_ns)
            due_ns = now.monotonic_ns + wait_ns
            effects.append(SetTimer(("bundle", self._sequence, 0), due_ns))
        self._waiting[transaction.id] = encoded
        self._pending.add(transaction.id)
        self._bytes += len(encoded)
        effects.append(Reply(client, transaction.id, "accepted"))

    def _compute_wait_ns(self, now_ns: int, head_ns: int) -> int:
        """Until the lead before the next block that is due after the one at ``head_ns``."""
        interval_ns = self._params.block_interval_ns
        return (head_ns - self._params.bundle_lead_ns - now_ns) % interval_ns

    @property
    def held(self) -> Container[Digest]:
        """Its own bundles that are not final; their transactions were checked as they came."""
        return self._published

    def is_full(self) -> bool:
        """Whether the waiting transactions make a bundle without waiting longer."""
        return (
            self._bytes >= self._params.bundle_bytes_max
            or len(self._waiting) >= self._params.bundle_transactions_max
        )

    def publish(
        self, height: int, validators: tuple[PeerHandle, ...], effects: list[Effect]
    ) -> None:
        """Bundle what waits and give it to one linked validator."""
        if not self._waiting:
            return
        ids = tuple(self._waiting)
        encoded = make_bundle(
            self._identity, self._chain_id, self._sequence, list(self._waiting.values()),
            self._work,
        )
        self._sequence += 1
        self._waiting = {}
        self._bytes = 0
        frame = frame_bundle(encoded)
        digest = self._work.once(
            decode_bundle, encoded, encoded, self._params, self._work
        ).digest
        self._published[digest] = (frame, height, ids)
        effects.append(SIGNED)
        effects.append(Emit(BundlePublished(digest, len(ids))))
        self._give(frame, validators, effects)

    def upon_timer(
        self, sequence: int, height: int, validators: tuple[PeerHandle, ...],
        effects: list[Effect],
    ) -> None:
        """Publish, unless the bundle for which the timer was set went out full before."""
        if sequence == self._sequence:
            self.publish(height, validators, effects)

    def upon_final(
        self, height: int, bundles: list[Bundle], validators: tuple[PeerHandle, ...],
        effects: list[Effect],
    ) -> None:
        """Forget what became final; give again what did not in good time."""
        published = self._published
        for bundle in bundles:
            known = published.pop(bundle.digest, None)
            if known is not None:
                self._pending.difference_update(known[2])
        overdue = height - self._params.bundle_targets
        late = [item for item in published.items() if item[1][1] <= overdue]
        for digest, (frame, _, ids) in late:
            published[digest] = (frame, height, ids)
            self._give(frame, validators, effects)

    def _give(
        self, frame: bytes, validators: tuple[PeerHandle, ...], effects: list[Effect]
    ) -> None:
        if validators:
            self._turn += 1
            effects.append(Send(validators[self._turn % len(validators)], frame))

    def compute_digest(self) -> bytes:
        """Names everything this object would act upon."""
        return b"".join(self._waiting) + b"".join(self._published) + bytes([self._turn & 255])

