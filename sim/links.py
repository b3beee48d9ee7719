"""What every directed link costs: a row of small lists per sender, made when first used.

One way takes the regions' time, stretched by a route factor that both directions share, plus
both last miles. Chance on a link (jitter, loss) is a pure function of seed, ends and message:
an index into tables drawn once, so that it needs no state and no draw moves another.
"""

from array import array
from typing import Final, TypeAlias

import numpy as np

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

Fan: TypeAlias = list[tuple[int, list[int]]]
"""Receivers, each with the link to it."""

LATENCY: Final = 0
JITTER: Final = 1
LOSS: Final = 2
LAST: Final = 3
"""What stands where in a link: one way in ns, mean jitter in ns, packets lost of ``TABLE``,
and when the last frame on it arrives, before which no later one may (TCP keeps order)."""


class Links:
    """``rows[sender].get(receiver)`` is a link or None; ``open`` makes it.

    ``jitters`` are multiples of the mean in 1/1024, by an exponential law; ``chances`` are all
    the ints below ``TABLE`` in a random order.
    """

    __slots__ = ("_fans", "_topology", "chances", "jitters", "rows")

    def __init__(self, topology: Topology, streams: Streams) -> None:
        generator = streams("links")
        strata = draw_strata(generator, TABLE)
        scale = 1 << JITTER_SHIFT
        # as arrays of 16 bits both tables fit in a processor's cache; as lists they do not
        self.jitters = array("H", np.rint(-np.log(strata) * scale).astype("<u2").tolist())
        self.chances = array("H", generator.permutation(TABLE).tolist())
        self._topology = topology
        self.rows: list[dict[int, list[int]]] = [{} for _ in topology.peers]
        self._fans: list[dict[tuple[int, ...], Fan]] = [{} for _ in topology.peers]

    def open(self, sender: int, receiver: int) -> list[int]:
        """The link, made at its first use."""
        row = self.rows[sender]
        link = row.get(receiver)
        if link is None:
            link = row[receiver] = self._make(sender, receiver)
        return link

    def open_fan(self, sender: int, receivers: tuple[int, ...]) -> Fan:
        """The links to ``receivers`` in their order; peers say most things to the same few."""
        fans = self._fans[sender]
        fan = fans.get(receivers)
        if fan is None:
            if len(fans) >= FANS_MAX:
                fans.clear()
            fan = [(receiver, self.open(sender, receiver)) for receiver in receivers]
            fans[receivers] = fan
        return fan

    def compute_latency_ns(self, sender: int, receiver: int) -> int:
        """One way without jitter; the same in both directions."""
        return self.open(sender, receiver)[LATENCY]

    def _make(self, sender: int, receiver: int) -> list[int]:
        assert sender != receiver, "nobody is linked to itself"
        # from the lower to the higher index, so that both directions get one route
        peers = self._topology.peers
        one, other = peers[min(sender, receiver)], peers[max(sender, receiver)]
        index = (one.index * FROM_STEP + other.index * TO_STEP) & MASK
        route_ratio = ROUTE_MIN + ROUTE_SPREAD * self.chances[index] / TABLE
        way_ns = round(self._topology.one_way_ns[one.region][other.region] * route_ratio)
        ends = one.profile, other.profile
        kept_ratio = (1 - ends[0].loss_ratio) * (1 - ends[1].loss_ratio)
        return [
            way_ns + ends[0].access_ns + ends[1].access_ns,
            # the backbone adds a twentieth of its way to the jitter of both last miles
            way_ns // 20 + ends[0].jitter_ns + ends[1].jitter_ns,
            round((1 - kept_ratio) * TABLE),
            0,
        ]

