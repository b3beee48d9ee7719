"""A desk of the city's offices: one key that sends transactions in the order of their nonces.

Nonces make it a single writer: while one of its transactions is lost, all later ones fail with
"nonce gap" and the service stands still (as owner-signed systems do). So a desk keeps what is
not final and sends it again, all of it and in order, to another relay when the oldest has
waited too long, and by itself whatever came too early.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from node.codec import Value, decode
from node.crypto import Identity
from node.receipt import DUPLICATE, NONCE_GAP, OK
from node.transaction import compute_transaction_id, make_transaction
from sim.cityface import ACCEPTED, City, Item, Records

Done: TypeAlias = Callable[[str, int], None]
"""Called with the receipt's status and the time at which a relay holds the final block."""

OFFICE_LINK_NS: Final = 1_000_000
"""An office is on the city's own network: a millisecond to any relay (assumed)."""


class Job(NamedTuple):
    """A transaction to send, not before ``at_ns``."""

    kind: int
    payload: list[Value]
    done: Done
    at_ns: int


class _Sent:
    """A transaction that is not final; ``sent_ns`` is -1 if it must be sent again."""

    __slots__ = ("done", "encoded", "id", "sent_ns", "tries")

    def __init__(self, encoded: bytes, transaction_id: bytes, done: Done) -> None:
        self.encoded = encoded
        self.id = transaction_id
        self.done = done
        self.sent_ns = -1
        self.tries = 0


class Desk:
    """Sends jobs in order, at most ``window`` at a time not final, until each has its receipt.

    ``client`` is how relays' answers find back. After ``patience_ns`` without the receipt of
    the oldest it turns to the next relay; ``turns`` counts that.
    """

    __slots__ = ("_by_id", "_city", "_client", "_flight", "_identity", "_last_ns", "_nonce",
                 "_patience_ns", "_queue", "_window", "relay", "resent", "turns")

    def __init__(
        self, city: City, identity: Identity, *, client: int, relay: int, window: int,
        patience_ns: int,
    ) -> None:
        assert client < 0, "voters are the clients from 0 up"
        assert window > 0
        self._city = city
        self._identity = identity
        self._client = client
        self._window = window
        self._patience_ns = patience_ns
        self._queue: deque[Job] = deque()
        self._flight: dict[int, _Sent] = {}  # by nonce, ascending
        self._by_id: dict[bytes, int] = {}
        self._nonce = 0
        self._last_ns = 0
        self.relay = relay % city.relay_count
        self.turns = 0
        self.resent = 0

    @property
    def public(self) -> bytes:
        """The desk's key."""
        return self._identity.public

    @property
    def load(self) -> int:
        """Jobs without a receipt."""
        return len(self._queue) + len(self._flight)

    @property
    def has_room(self) -> bool:
        """Whether a job given now could be sent at once."""
        return self.load < self._window

    def give(self, job: Job) -> None:
        """Send ``job`` as soon as the window has room for it."""
        self._queue.append(job)
        self._fill()

    def read_records(self) -> Records:
        """What the chain holds, from the desk's relay or the next one that is up.

        Asked when receipts have come, so that some relay was up a moment ago.
        """
        count = self._city.relay_count
        for turn in range(count):
            records = self._city.read_records((self.relay + turn) % count)
            if records is not None:
                return records
        raise AssertionError("no relay is up, yet receipts came")

    def upon_reply(self, at_ns: int, transaction_id: bytes, verdict: str) -> None:
        """A relay's verdict; a refused transaction is sent again at the next tick."""
        nonce = self._by_id.get(transaction_id)
        if nonce is not None and verdict != ACCEPTED:
            assert at_ns >= 0
            self._flight[nonce].sent_ns = -1

    def upon_final(self, at_ns: int, items: list[Item]) -> None:
        """Receipts of final transactions, its own among them or not."""
        by_id = self._by_id
        for transaction_id, status, _ in items:
            nonce = by_id.get(transaction_id)
            if nonce is None:
                continue
            if status == NONCE_GAP:
                self._flight[nonce].sent_ns = -1
                continue
            del by_id[transaction_id]
            # A duplicate of what only this desk signs: an earlier sending had arrived.
            self._flight.pop(nonce).done(OK if status == DUPLICATE else status, at_ns)
        self._fill()

    def upon_tick(self, now_ns: int) -> None:
        """Send again what must be; change the relay if the oldest waits too long."""
        if not self._flight:
            return
        # later ones cannot succeed before it, so their age says nothing of the relay
        oldest = next(iter(self._flight.values()))
        if 0 <= oldest.sent_ns < now_ns - self._patience_ns:
            self.relay = (self.relay + 1) % self._city.relay_count
            self.turns += 1
            for sent in self._flight.values():
                sent.sent_ns = -1
        for sent in self._flight.values():
            if sent.sent_ns < 0:
                self._submit(sent, now_ns)

    def _fill(self) -> None:
        queue, flight = self._queue, self._flight
        while queue and len(flight) < self._window:
            job = queue.popleft()
            self._nonce += 1
            encoded = make_transaction(
                self._identity, self._city.chain_id, job.kind, self._nonce, job.payload
            )
            transaction_id, signature = _read_signed(encoded)
            self._city.remember_made(self._identity.public, transaction_id, signature)
            sent = _Sent(encoded, transaction_id, job.done)
            flight[self._nonce] = sent
            self._by_id[sent.id] = self._nonce
            self._submit(sent, job.at_ns)

    def _submit(self, sent: _Sent, at_ns: int) -> None:
        # Never before what was sent earlier: order is all that nonces ask for.
        at_ns = max(at_ns, self._city.kernel.now_ns) + OFFICE_LINK_NS
        self._last_ns = at_ns = max(at_ns, self._last_ns)
        self.resent += sent.tries > 0
        sent.tries += 1
        sent.sent_ns = at_ns
        self._city.submit(self.relay, self._client, sent.encoded, at_ns)


def _read_signed(encoded: bytes) -> tuple[bytes, bytes]:
    match decode(encoded, len(encoded)):
        case [bytes(body), bytes(signature)]:
            return compute_transaction_id(body), signature
    raise AssertionError("a transaction is [body, signature]")
