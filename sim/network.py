"""Frames between peers: uplink queue, latency and jitter, losses, downlink queue, delivery.

Theory of operation. The whole way of a copy is computed when it is sent; its one event is its
arrival. A sender's uplink sends one frame after the other. A lost packet costs a round trip
(fast retransmission), or ``RTO_NS_MIN`` if the frame is a single packet, after which nothing
follows to reveal the loss; frames on one link never overtake each other (TCP). Receivers'
downlinks are shared as a queue that never idles while bytes are there: a frame that finds it
taken comes later by the overlap, at the price of a second event.

``spread`` knows contents. A copy that cannot be the first at its receiver, because an earlier
one is scheduled, costs its sender's uplink but never becomes an event; it is not charged to the
receiver's downlink. A copy whose receiver's notice (IDONTWANT of GossipSub v1.2, 40 bytes,
contents of at least 1 kB) reaches the sender before the copy's turn in the uplink is not sent.
A content must name its frame's meaning; whoever spreads another thing under its name must use
``send_many``, or the honest copies are taken for repeats.

A crash or restart of the receiver ends its connections: what is on its way to it is dropped.
Frames that a sender gave to the network leave it even if it stops afterwards. Faults are judged
when a frame is sent. Not modelled: congestion control, connection set-up, duplicates' downlink.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from sim.journal import Journal
from sim.kernel import Kernel
from sim.links import (
    FROM_STEP,
    JITTER,
    JITTER_SHIFT,
    LATENCY,
    LINK_FIELDS,
    LOSS,
    MASK,
    NUMBER,
    SALT_STEP,
    TO_STEP,
    Links,
)
from sim.rules import DROP, RuleSet
from sim.topology import Topology
from sim.traffic import HEADER_BYTES, Traffic

NEVER_NS: Final = 1 << 61
PACKET_BYTES: Final = 1_400
RTO_NS_MIN: Final = 200_000_000
NOTICED_BYTES_MIN: Final = 1_000
CONTENTS_MAX: Final = 64
UPLINK_WAIT_NS_MAX: Final = 60_000_000_000
SECOND_PS: Final = 1_000_000_000_000


@mypyc_attr(allow_interpreted_subclasses=True)
class Receiver(ABC):
    """What the network hands frames to."""

    __slots__ = ()

    @abstractmethod
    def receive(self, sender: int, frame: bytes) -> bool:
        """Take a frame now; False if it is dropped, which the receiver counts by reason."""


class Content:
    """One content that is being spread: when it first reaches each peer, and whether it did."""

    __slots__ = ("arrivals", "is_delivered", "salt", "tag")

    def __init__(self, peers: int, content: bytes) -> None:
        self.arrivals = vec[i64]([NEVER_NS] * peers)
        self.is_delivered = vec[bool]([False] * peers)
        self.tag = int.from_bytes(content[:7], "big")
        self.salt = self.tag * SALT_STEP & MASK

    def hold(self, peer: int, since_ns: int) -> None:
        """Whoever spreads it has it: nobody's copy will be a first one there."""
        if since_ns < self.arrivals[peer]:
            self.arrivals[peer] = since_ns
        self.is_delivered[peer] = True

    def forget(self, peer: int) -> None:
        """A later copy to this peer is a first one again."""
        self.arrivals[peer] = NEVER_NS
        self.is_delivered[peer] = False


@mypyc_attr(acyclic=True)
class Flight:
    """One copy on its way; ``incarnation`` is its receiver's when it was sent."""

    __slots__ = ("content", "frame", "incarnation", "receiver", "sender", "size", "tag")

    def __init__(
        self, sender: i64, receiver: i64, frame: bytes, size: i64, incarnation: i64, tag: i64,
        content: Content | None,
    ) -> None:
        self.sender = sender
        self.receiver = receiver
        self.frame = frame
        self.size = size
        self.incarnation = incarnation
        self.tag = tag
        self.content = content


class Network:
    """Carries frames between the peers of one topology.

    ``attach`` the receivers before the first frame. ``count_duplicates_as_events`` computes
    every copy in full and gives it an event, the slow way that the fast one must agree with.
    """

    __slots__ = ("_all_events", "_contents", "_downlink_begin_ns", "_downlink_free_ns",
                 "_downlink_ps", "_incarnations", "_journal", "_kernel", "_links", "_receivers",
                 "_sends", "_tagged", "_uplink_free_ns", "_uplink_ps", "_upon_arrival", "rules",
                 "traffic")

    def __init__(
        self, kernel: Kernel, topology: Topology, links: Links, rules: RuleSet,
        journal: Journal, *, count_duplicates_as_events: bool = False,
    ) -> None:
        peers = topology.peers
        self.rules = rules
        self.traffic = Traffic(topology)
        self._kernel = kernel
        self._links = links
        self._journal = journal
        # made once: a method that is looked up is an object of its own
        self._upon_arrival: Callable[[Flight], None] = self._arrive
        self._receivers: list[Receiver] = []
        self._all_events = count_duplicates_as_events
        self._contents: dict[bytes, Content] = {}
        self._incarnations = vec[i64]([0] * len(peers))
        self._sends = 0
        self._tagged: tuple[bytes, int] = (b"", crc32(b""))
        self._uplink_ps = vec[i64](
            [8 * SECOND_PS // peer.profile.uplink_bps for peer in peers]
        )
        self._downlink_ps = vec[i64](
            [8 * SECOND_PS // peer.profile.downlink_bps for peer in peers]
        )
        self._uplink_free_ns = vec[i64]([0] * len(peers))
        self._downlink_begin_ns = vec[i64]([0] * len(peers))
        self._downlink_free_ns = vec[i64]([0] * len(peers))

    def attach(self, receivers: Sequence[Receiver]) -> None:
        """Say who receives, by peer index."""
        assert len(receivers) == len(self._incarnations), "each peer has a receiver"
        self._receivers = list(receivers)

    def cut(self, peer: int) -> None:
        """End all connections to a peer: what is on its way to it will not arrive."""
        self._incarnations[peer] += 1
        for content in self._contents.values():
            content.forget(peer)

    def send(self, sender: int, receiver: int, frame: bytes, depart_ns: int) -> None:
        """Put one frame on one link, not before ``depart_ns``."""
        self.send_many(sender, (receiver,), frame, depart_ns)

    def send_many(
        self, sender: int, receivers: tuple[int, ...], frame: bytes, depart_ns: int
    ) -> None:
        """Put one frame on several links, one after the other; nobody is spared."""
        count = len(receivers)
        size, packets = compute_wire(frame)
        up_ns = size * self._uplink_ps[sender] // 1_000
        start_ns = self._take_uplink(sender, count, up_ns, size, depart_ns)
        if start_ns < 0:
            return
        self._sends += 1
        # masked early: arithmetic on small ints is faster
        salt: i64 = sender * FROM_STEP + (self._sends * SALT_STEP & MASK)
        tag = self._compute_tag(frame)
        incarnations = self._incarnations
        fan = self._links.open_fan(sender, receivers)  # first: it may move ``lasts``
        lasts = self._links.lasts
        for place in range(0, len(fan), LINK_FIELDS):
            receiver = fan[place]
            start_ns += up_ns
            index = (salt + receiver * TO_STEP) & MASK
            at_ns = self._compute_arrival(sender, fan, place, index, start_ns, size, packets)
            if at_ns < 0:
                continue
            lasts[fan[place + NUMBER]] = at_ns
            self._kernel.at(at_ns, self._upon_arrival, Flight(
                sender, receiver, frame, size, incarnations[receiver], tag, None
            ))

    def spread(
        self, sender: int, receivers: tuple[int, ...], frame: bytes, content: bytes,
        depart_ns: int,
    ) -> None:
        """Put one frame on several links, sparing copies as the module says."""
        size, packets = compute_wire(frame)
        up_ns = size * self._uplink_ps[sender] // 1_000
        start_ns = self._take_uplink(sender, 0, up_ns, size, depart_ns)
        if start_ns < 0:
            return
        first_ns = start_ns
        known = self._contents.get(content) or self._remember(content)
        known.hold(sender, depart_ns)
        arrivals = known.arrivals
        salt: i64 = known.salt + sender * FROM_STEP
        is_noticed = size >= NOTICED_BYTES_MIN
        all_events = self._all_events
        flights: i64 = 0
        fan = self._links.open_fan(sender, receivers)  # first: it may move ``lasts``
        lasts = self._links.lasts
        for place in range(0, len(fan), LINK_FIELDS):
            receiver = fan[place]
            earlier_ns = arrivals[receiver]
            if earlier_ns <= start_ns:
                if is_noticed and earlier_ns + fan[place + LATENCY] <= start_ns:
                    continue
                if not all_events:
                    # it cannot be the first: what it costs is its place in the uplink
                    start_ns += up_ns
                    continue
            start_ns += up_ns
            index = (salt + receiver * TO_STEP) & MASK
            at_ns = self._compute_arrival(sender, fan, place, index, start_ns, size, packets)
            if at_ns < 0:
                flights += 1
                continue
            # repeats leave no trace on the link's order, so that both ways of computing agree
            if at_ns < earlier_ns:
                arrivals[receiver] = at_ns
                lasts[fan[place + NUMBER]] = at_ns
            elif not all_events:
                continue
            flights += 1
            self._kernel.at(at_ns, self._upon_arrival, Flight(
                sender, receiver, frame, size, self._incarnations[receiver], known.tag, known
            ))
        # counters are settled once per spread, not per copy
        count = (start_ns - first_ns) // up_ns
        assert flights <= count <= len(receivers)
        self._uplink_free_ns[sender] = start_ns
        traffic = self.traffic
        traffic.sent_frames[sender] += count
        traffic.sent_bytes[sender] += count * size
        traffic.spared += len(receivers) - count
        traffic.duplicates += count - flights
        if is_noticed:
            traffic.notices += len(receivers)

    def _compute_arrival(
        self, sender: i64, fan: vec[i64], place: i64, index: i64, start_ns: i64, size: i64,
        packets: i64,
    ) -> i64:
        # when the last byte of a copy that leaves now is there; -1: a fault drops it
        receiver, latency_ns, loss = fan[place], fan[place + LATENCY], fan[place + LOSS]
        links = self._links
        jitter_ns = i64(links.jitters[index]) * fan[place + JITTER] >> JITTER_SHIFT
        at_ns = start_ns + latency_ns + jitter_ns
        at_ns += size * self._downlink_ps[receiver] // 1_000
        if loss and i64(links.chances[index]) < loss * packets:
            at_ns += compute_retransmission_ns(latency_ns, packets)
        if self.rules.active:
            verdict = self.rules.judge(sender, receiver, latency_ns, index)
            if verdict == DROP:
                self.traffic.drop("fault")
                return -1
            at_ns += verdict
        last_ns = links.lasts[fan[place + NUMBER]]
        # TCP: not before what was sent earlier on this link
        return at_ns if at_ns > last_ns else last_ns

    def _take_uplink(
        self, sender: i64, count: i64, up_ns: i64, size: i64, depart_ns: i64
    ) -> i64:
        # -1: the queue is too long and nothing is sent
        assert depart_ns >= self._kernel.now_ns, "nothing departs before it is sent"
        free_ns = self._uplink_free_ns[sender]
        start_ns = free_ns if free_ns > depart_ns else depart_ns
        if start_ns - depart_ns > UPLINK_WAIT_NS_MAX:
            self.traffic.drop("uplink full")
            return -1
        self._uplink_free_ns[sender] = start_ns + count * up_ns
        self.traffic.sent_frames[sender] += count
        self.traffic.sent_bytes[sender] += count * size
        return start_ns

    def _remember(self, content: bytes) -> Content:
        assert content, "a content has a name"
        contents = self._contents
        if len(contents) >= CONTENTS_MAX:
            del contents[next(iter(contents))]
        known = contents[content] = Content(len(self._incarnations), content)
        return known

    def _compute_tag(self, frame: bytes) -> int:
        # one frame is often sent many times in a row: by each of a node's Send effects
        known, tag = self._tagged
        if known is not frame:
            tag = crc32(frame)
            self._tagged = (frame, tag)
        return tag

    def _arrive(self, flight: Flight) -> None:
        receiver, content = flight.receiver, flight.content
        if flight.incarnation != self._incarnations[receiver]:
            self.traffic.drop("connection ended")
            return
        if content is not None:
            if content.is_delivered[receiver]:
                self.traffic.duplicates += 1
                return
            content.is_delivered[receiver] = True
        now_ns: i64 = self._kernel.now_ns
        begin_ns = now_ns - flight.size * self._downlink_ps[receiver] // 1_000
        free_ns = self._downlink_free_ns[receiver]
        if free_ns <= begin_ns:
            self._downlink_begin_ns[receiver] = begin_ns
            self._downlink_free_ns[receiver] = now_ns
            self._hand_over(now_ns, flight)
            return
        # the downlink was taken for part of this frame's time: it ends later by that part
        taken_from_ns = self._downlink_begin_ns[receiver]
        done_ns = now_ns + free_ns - max(taken_from_ns, begin_ns)
        self._downlink_begin_ns[receiver] = min(taken_from_ns, begin_ns)
        self._downlink_free_ns[receiver] = done_ns
        self._kernel.at(done_ns, self._deliver, flight)

    def _deliver(self, flight: Flight) -> None:
        if flight.incarnation != self._incarnations[flight.receiver]:
            self.traffic.drop("connection ended")
            return
        self._hand_over(self._kernel.now_ns, flight)

    def _hand_over(self, now_ns: i64, flight: Flight) -> None:
        sender, receiver, content = flight.sender, flight.receiver, flight.content
        self._journal.delivery(now_ns, sender, receiver, flight.tag)
        traffic = self.traffic
        cell = traffic.row_of[sender] + traffic.cell_of[receiver]
        traffic.delivered_frames[cell] += 1
        traffic.delivered_bytes[cell] += flight.size
        is_taken = self._receivers[receiver].receive(sender, flight.frame)
        if not is_taken and content is not None:
            content.forget(receiver)


def compute_wire(frame: bytes) -> tuple[i64, i64]:
    """Bytes on the wire, and packets, of a frame; 66 bytes of TCP, IP and Ethernet each."""
    packets: i64 = 1 + len(frame) // PACKET_BYTES
    return len(frame) + HEADER_BYTES * packets, packets


def compute_retransmission_ns(latency_ns: i64, packets: i64) -> i64:
    """What a lost packet costs a frame."""
    round_trip_ns = 2 * latency_ns
    if packets > 1:
        return round_trip_ns
    return max(RTO_NS_MIN, round_trip_ns)
