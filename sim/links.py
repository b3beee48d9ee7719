"""What every directed link costs: columns with a place per link, made when first used.

One way takes the regions' time, stretched by a route factor that both directions share, plus
both last miles. Chance on a link (jitter, loss) is a pure function of seed, ends and message:
an index into tables drawn once, so that it needs no state and no draw moves another.
"""

from typing import Final, NamedTuple

import numpy as np
from librt.vecs import append, vec
from mypy_extensions import i16, i32, i64

from sim.streams import Streams, draw_strata
from sim.topology import Topology

TABLE: Final = 1 << 16
MASK: Final = TABLE - 1
FROM_STEP: Final = 40_503
TO_STEP: Final = 30_011
SALT_STEP: Final = 25_889
JITTER_SHIFT: Final = 10
# routes of one pair of regions differ by this much around the table's value
ROUTE_MIN, ROUTE_SPREAD = 0.85, 0.5

FANS_MAX: Final = 64
"""Remembered sets of receivers of one sender."""

LINK_FIELDS: Final = 5
"""A fan holds the fields of a ``Link``, one link after the other, for they are read so."""

NUMBER: Final = 1
LATENCY: Final = 2
JITTER: Final = 3
LOSS: Final = 4


class Link(NamedTuple):
    """One direction between two peers; ``loss`` is in packets of ``TABLE``."""

    receiver: int
    number: int
    latency_ns: int
    jitter_ns: int
    loss: int


class Fan:
    """The links from one sender to ``receivers``, ``LINK_FIELDS`` numbers each."""

    __slots__ = ("links", "receivers")

    def __init__(self, receivers: tuple[int, ...], links: vec[i64]) -> None:
        assert len(links) == LINK_FIELDS * len(receivers)
        self.receivers = receivers
        self.links = links


class Links:
    """``rows[sender].get(receiver)`` is a link or None; ``open`` makes it.

    ``lasts`` says, by a link's number, when the last frame on it arrives: no later one may come
    before it (TCP keeps order). ``jitters`` are multiples of the mean in 1/1024, by an
    exponential law; ``chances`` are all the ints below ``TABLE`` in a random order.
    """

    __slots__ = ("_fans", "_latest", "_topology", "chances", "jitters", "lasts", "rows")

    def __init__(self, topology: Topology, streams: Streams) -> None:
        generator = streams("links")
        strata = draw_strata(generator, TABLE)
        scale = 1 << JITTER_SHIFT
        # as narrow as they can be: a processor's cache holds little else as well
        self.jitters = vec[i16](np.rint(-np.log(strata) * scale).astype(int).tolist())
        self.chances = vec[i32](generator.permutation(TABLE).tolist())
        self._topology = topology
        self.lasts = vec[i64]()
        self.rows: list[dict[int, Link]] = [{} for _ in topology.peers]
        self._fans: list[dict[tuple[int, ...], Fan]] = [{} for _ in topology.peers]
        self._latest: list[Fan | None] = [None] * len(topology.peers)

    def open(self, sender: int, receiver: int) -> Link:
        """The link, made at its first use."""
        row = self.rows[sender]
        link = row.get(receiver)
        if link is None:
            link = row[receiver] = self._make(sender, receiver)
            self.lasts = append(self.lasts, 0)
        return link

    def open_fan(self, sender: int, receivers: tuple[int, ...]) -> vec[i64]:
        """The links to ``receivers`` in their order, ``LINK_FIELDS`` numbers each.

        They are remembered, for peers say most things to the same few.
        """
        fan = self._latest[sender]
        if fan is not None and fan.receivers is receivers:
            return fan.links
        fans = self._fans[sender]
        fan = fans.get(receivers)
        if fan is None:
            if len(fans) >= FANS_MAX:
                fans.clear()
            links = vec[i64]([field for to in receivers for field in self.open(sender, to)])
            fan = fans[receivers] = Fan(receivers, links)
        self._latest[sender] = fan
        return fan.links

    def compute_latency_ns(self, sender: int, receiver: int) -> int:
        """One way without jitter; the same in both directions."""
        return self.open(sender, receiver).latency_ns

    def _make(self, sender: int, receiver: int) -> Link:
        assert sender != receiver, "nobody is linked to itself"
        # from the lower to the higher index, so that both directions get one route
        peers = self._topology.peers
        one, other = peers[min(sender, receiver)], peers[max(sender, receiver)]
        index = (one.index * FROM_STEP + other.index * TO_STEP) & MASK
        route_ratio = ROUTE_MIN + ROUTE_SPREAD * int(self.chances[index]) / TABLE
        way_ns = round(self._topology.one_way_ns[one.region][other.region] * route_ratio)
        ends = one.profile, other.profile
        kept_ratio = (1 - ends[0].loss_ratio) * (1 - ends[1].loss_ratio)
        return Link(
            receiver, len(self.lasts),
            way_ns + ends[0].access_ns + ends[1].access_ns,
            # the backbone adds a twentieth of its way to the jitter of both last miles
            way_ns // 20 + ends[0].jitter_ns + ends[1].jitter_ns,
            round((1 - kept_ratio) * TABLE),
        )

