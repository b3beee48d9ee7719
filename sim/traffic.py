"""What a city's links carried: counters that every host of a city can fill."""

from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from node.inputs import Role
from sim.topology import Topology

HEADER_BYTES: Final = 66
NOTICE_BYTES: Final = 40


class Traffic:
    """Counters of the network; bytes are those on the wire, headers and repeats included.

    ``sent_frames`` and ``sent_bytes`` are by sender. ``dropped`` is by reason. What arrived is
    counted by the sender's and the receiver's (role, region), see ``compute_delivered``;
    ``has_regions`` is False where peers are told apart by their roles only.
    """

    __slots__ = ("_cells", "cell_of", "delivered_bytes", "delivered_frames", "dropped",
                 "duplicates", "has_regions", "notices", "row_of", "sent_bytes", "sent_frames",
                 "spared")

    def __init__(self, topology: Topology) -> None:
        regions = len(topology.regions)
        roles = list(Role)
        self._cells = [(role, region) for role in roles for region in range(regions)]
        self.cell_of = vec[i64](
            [roles.index(one.role) * regions + one.region for one in topology.peers]
        )
        self.row_of = vec[i64]([cell * len(self._cells) for cell in self.cell_of])
        self.sent_frames = vec[i64]([0] * len(topology.peers))
        self.sent_bytes = vec[i64]([0] * len(topology.peers))
        self.delivered_frames = vec[i64]([0] * len(self._cells) ** 2)
        self.delivered_bytes = vec[i64]([0] * len(self._cells) ** 2)
        self.duplicates = 0
        self.spared = 0
        self.notices = 0
        self.dropped: dict[str, int] = {}
        self.has_regions = True

    @property
    def frames(self) -> int:
        """Frames put on links, notices included."""
        return sum(self.sent_frames) + self.notices

    @property
    def bytes(self) -> int:
        """Bytes put on links, notices included."""
        return sum(self.sent_bytes) + self.notices * (NOTICE_BYTES + HEADER_BYTES)

    def drop(self, reason: str) -> None:
        """Count one frame that will not be handled."""
        assert reason, "every drop has one"
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def deliver(self, sender: Role, receiver: int, frames: int, size_bytes: int) -> None:
        """Count what the peer ``receiver`` had from all peers of one role together."""
        assert not self.has_regions, "nobody knows from which region that came"
        cell = self.cell_of[receiver]
        region = self._cells[cell][1]
        row = self._cells.index((sender, region)) * len(self._cells)
        self.delivered_frames[row + cell] += frames
        self.delivered_bytes[row + cell] += size_bytes

    def compute_delivered(self) -> dict[tuple[Role, int, Role, int], tuple[int, int]]:
        """(frames, bytes) by sender's role and region, then receiver's; no zero rows."""
        width = len(self._cells)
        return {
            (*self._cells[cell // width], *self._cells[cell % width]):
                (frames, self.delivered_bytes[cell])
            for cell, frames in enumerate(self.delivered_frames) if frames
        }
