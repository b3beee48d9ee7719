"""The bundles that a validator holds for blocks to come: bounded, fair and deterministic.

Relays take turns: a block takes one bundle of each relay in turn until it is full, and a relay
that was served goes behind all others, so that none is starved however much others publish.
Within a relay the order is that of its sequence numbers. Everything that is refused or leaves
has a reason; a refused bundle changes nothing.
"""

from bisect import bisect_left
from collections.abc import Container, Sequence
from operator import attrgetter

from node.bundle import Bundle
from node.crypto import digest
from node.params import Params
from node.types import Digest, PublicKey
from node.verdict import Accept, Ignore, Reject, Verdict

_get_sequence = attrgetter("sequence")


class _Queue:
    """One relay's bundles by sequence, their bytes, and how many wait of each sender."""

    __slots__ = ("bundles", "senders", "size_bytes")

    def __init__(self) -> None:
        self.bundles: list[Bundle] = []
        self.senders: dict[PublicKey, int] = {}
        self.size_bytes = 0

    def is_sender_full(self, bundle: Bundle, limit: int) -> bool:
        """A bundle whose senders have nothing else waiting passes, or it never would."""
        senders = self.senders
        if not senders:
            return False
        added: dict[PublicKey, int] = {}
        for transaction in bundle.transactions:
            sender = transaction.sender
            if sender in senders:
                added[sender] = added.get(sender, 0) + 1
        return any(senders[sender] + count > limit for sender, count in added.items())

    def find(self, sequence: int) -> int:
        return bisect_left(self.bundles, sequence, key=_get_sequence)

    def insert(self, at: int, bundle: Bundle) -> None:
        self.bundles.insert(at, bundle)
        self.size_bytes += len(bundle.encoded)
        senders = self.senders
        for transaction in bundle.transactions:
            sender = transaction.sender
            senders[sender] = senders.get(sender, 0) + 1

    def remove(self, bundle: Bundle) -> None:
        taken = self.bundles.pop(self.find(bundle.sequence))
        assert taken is bundle
        self.size_bytes -= len(bundle.encoded)
        senders = self.senders
        for transaction in bundle.transactions:
            sender = transaction.sender
            left = senders[sender] - 1
            if left:
                senders[sender] = left
            else:
                del senders[sender]
        assert self.size_bytes >= 0


class Mempool:
    """Checked bundles that wait for a block.

    ``expired`` counts those that left because ``mempool_expiry_blocks`` blocks became final
    without them; their relays give them again. What was final within that time is remembered,
    and nothing that was final twice that time ago. A bundle that is forgotten is accepted
    again, and so is any by a node that has restarted: to remember all would be unbounded, and
    execution settles repetition anyhow.
    """

    __slots__ = (
        "_arrived", "_bytes", "_clock", "_final", "_final_before", "_params", "_queues",
        "expired",
    )

    def __init__(self, params: Params) -> None:
        self._params = params
        self._arrived: dict[Digest, tuple[Bundle, int]] = {}  # in order of arrival
        self._queues: dict[PublicKey, _Queue] = {}  # in order of service
        # Forgotten a generation at a time: to let go of each by itself would cost more than
        # all else that a validator does for a bundle that it never held.
        self._final: dict[Digest, None] = {}
        self._final_before: dict[Digest, None] = {}
        self._bytes = 0
        self._clock = 0  # final blocks seen: a node that was down starts anew
        self.expired = 0

    def __len__(self) -> int:
        return len(self._arrived)

    @property
    def size_bytes(self) -> int:
        """Bytes of all bundles held."""
        return self._bytes

    @property
    def held(self) -> Container[Digest]:
        """The bundles that wait here: they were checked when they came."""
        return self._arrived

    def is_known(self, bundle: Digest) -> bool:
        """Whether the bundle waits here or was final not long ago."""
        return (
            bundle in self._arrived or bundle in self._final or bundle in self._final_before
        )

    def add(self, bundle: Bundle) -> Verdict:
        """Keep a bundle that ``validation.verify_bundle`` let pass.

        Rejects "oversized" (fits no block). Ignores "known bundle", "pool full" and
        "relay full" (bytes), "sequence reused", and "sender full": of one sender more than
        ``sender_pending_max`` would wait from this relay, in more than one bundle.
        """
        params = self._params
        size = len(bundle.encoded)
        if (
            size > params.block_bytes_max
            or len(bundle.transactions) > params.block_transactions_max
        ):
            return Reject("oversized")
        if self.is_known(bundle.digest):
            return Ignore("known bundle")
        # What finds no room is not lost: its relay gives it again.
        if self._bytes + size > params.mempool_bytes_max:
            return Ignore("pool full")
        queue = self._queues.get(bundle.relay, None) or _Queue()
        if queue.size_bytes + size > params.mempool_relay_bytes_max:
            return Ignore("relay full")
        at = queue.find(bundle.sequence)
        if at < len(queue.bundles) and queue.bundles[at].sequence == bundle.sequence:
            return Ignore("sequence reused")
        if queue.is_sender_full(bundle, params.sender_pending_max):
            return Ignore("sender full")
        queue.insert(at, bundle)
        self._queues[bundle.relay] = queue
        self._arrived[bundle.digest] = (bundle, self._clock)
        self._bytes += size
        return Accept()

    def select(self, bytes_max: int, transactions_max: int) -> tuple[Bundle, ...]:
        """Bundles for a block within both limits, relays in turn; nothing leaves the pool.

        A relay whose next bundle does not fit gives no later one instead.
        """
        chosen: list[Bundle] = []
        turns = [queue.bundles for queue in self._queues.values()]
        at = 0
        while turns:
            rest = []
            for bundles in turns:
                bundle = bundles[at]
                size = len(bundle.encoded)
                count = len(bundle.transactions)
                # A later bundle in its place would let nonces overtake one another.
                if size <= bytes_max and count <= transactions_max:
                    bytes_max -= size
                    transactions_max -= count
                    chosen.append(bundle)
                    if at + 1 < len(bundles):
                        rest.append(bundles)
            turns = rest
            at += 1
        assert bytes_max >= 0
        assert transactions_max >= 0
        return tuple(chosen)

    def upon_final(self, height: int, bundles: Sequence[Bundle]) -> None:
        """A block with ``bundles`` became final at ``height``: let go of them and of the old.

        The relays that it served go to the end of the line.
        """
        assert height > 0
        self._clock += 1
        self._final.update(dict.fromkeys([bundle.digest for bundle in bundles]))
        # most validators hold nothing: bundles go to the next proposers only
        if self._arrived:
            self._take_out(bundles)
        self._expire()

    def compute_digest(self) -> Digest:
        """Names everything on which later answers depend."""
        parts = [self._clock.to_bytes(8, "big"), self.expired.to_bytes(8, "big")]
        parts += [name + since.to_bytes(8, "big") for name, (_, since) in self._arrived.items()]
        parts += [b"|", *self._queues, b"|", *self._final, b"|", *self._final_before]
        return digest(b"mempool", b"".join(parts))

    def _take_out(self, bundles: Sequence[Bundle]) -> None:
        for bundle in bundles:
            arrived = self._arrived.pop(bundle.digest, None)
            if arrived is not None:
                self._drop(arrived[0])
            queue = self._queues.pop(bundle.relay, None)
            if queue is not None:
                self._queues[bundle.relay] = queue

    def _drop(self, bundle: Bundle) -> None:
        queue = self._queues[bundle.relay]
        queue.remove(bundle)
        if not queue.bundles:
            assert not queue.senders
            assert queue.size_bytes == 0
            del self._queues[bundle.relay]
        self._bytes -= len(bundle.encoded)
        assert self._bytes >= 0

    def _expire(self) -> None:
        oldest = self._clock - self._params.mempool_expiry_blocks
        while self._arrived:
            name = next(iter(self._arrived))
            bundle, since = self._arrived[name]
            if since > oldest:
                break
            del self._arrived[name]
            self._drop(bundle)
            self.expired += 1
        if self._clock % self._params.mempool_expiry_blocks == 0:
            self._final_before = self._final
            self._final = {}
