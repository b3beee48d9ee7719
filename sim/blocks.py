"""The block table: when each height was proposed, final first, and held by everyone.

Rows stay open until every peer that is up has told its final block, or until newer heights push
them out; then only their summary is kept. The table is also the judge of one chain: two
different final blocks at one height end the run.
"""

from array import array
from typing import Final

from node.types import Digest
from sim.errors import InvariantBroken

OPEN_ROWS_MAX: Final = 64


class _Row:
    __slots__ = ("digest", "height", "times_ns")

    def __init__(self, height: int, digest: Digest) -> None:
        self.height = height
        self.digest = digest
        self.times_ns: list[int] = []


class BlockTable:
    """One row a height, in columns; times are virtual nanoseconds.

    ``half_ns`` and ``most_ns`` are when 50 and 95 % of ``peers`` held the block, 0 if never.
    """

    __slots__ = (
        "_digests",
        "_open",
        "_peers",
        "_proposed",
        "first_ns",
        "half_ns",
        "most_ns",
        "proposed_ns",
        "transactions",
    )

    def __init__(self, peers: int) -> None:
        assert peers > 0
        self._peers = peers
        self._digests: list[Digest] = [b""]
        self._open: dict[int, _Row] = {}
        self._proposed: dict[Digest, tuple[int, int]] = {}
        self.proposed_ns = array("q", [0])
        self.first_ns = array("q", [0])
        self.half_ns = array("q", [0])
        self.most_ns = array("q", [0])
        self.transactions = array("q", [0])

    @property
    def height(self) -> int:
        """The greatest height that is final anywhere."""
        return len(self._digests) - 1

    def set_peers(self, peers: int) -> None:
        """How many peers are up from now on: how many tell that they hold a block."""
        assert peers > 0
        self._peers = peers

    def upon_proposed(self, at_ns: int, digest: Digest, transactions: int) -> None:
        """A validator built this block; most become final."""
        self._proposed[digest] = (at_ns, transactions)

    def get_proposed_ns(self, height: int) -> int:
        """When the final block of ``height`` was built."""
        assert 0 < height <= self.height
        return self.proposed_ns[height]

    def upon_final(self, at_ns: int, peer: int, height: int, digest: Digest) -> bool:
        """A peer holds a final block; whether it is the first to hold that height.

        Raises InvariantBroken if another block is final at this height.
        """
        row = self._open.get(height)
        if row is not None:
            if row.digest != digest:
                raise self._complain(at_ns, peer, height, digest)
            row.times_ns.append(at_ns)
            if len(row.times_ns) >= self._peers:
                self._close(row)
            return False
        if height < len(self._digests):
            if self._digests[height] != digest:
                raise self._complain(at_ns, peer, height, digest)
            return False
        self._begin(at_ns, height, digest)
        return True

    def finish(self) -> None:
        """Close every row; the run is over."""
        for row in list(self._open.values()):
            self._close(row)

    def _begin(self, at_ns: int, height: int, digest: Digest) -> None:
        assert height == len(self._digests), "a height was skipped"
        self._digests.append(digest)
        row = self._open[height] = _Row(height, digest)
        row.times_ns.append(at_ns)
        proposed_ns, transactions = self._proposed.get(digest, (at_ns, 0))
        # proposals of rounds that failed at this height, and never had a number of their own
        self._proposed = {}
        self.proposed_ns.append(proposed_ns)
        self.transactions.append(transactions)
        self.first_ns.append(at_ns)
        self.half_ns.append(0)
        self.most_ns.append(0)
        if len(self._open) > OPEN_ROWS_MAX:
            self._close(self._open[next(iter(self._open))])
        # nobody else is up who could close the row by telling of it
        if self._peers == 1:
            self._close(row)

    def _close(self, row: _Row) -> None:
        del self._open[row.height]
        assert row.times_ns
        times = sorted(row.times_ns)
        height, peers = row.height, self._peers
        # rounded up: half of three peers are two
        half, most = -(-peers // 2), -(-peers * 19 // 20)
        self.half_ns[height] = times[half - 1] if len(times) >= half else 0
        self.most_ns[height] = times[most - 1] if len(times) >= most else 0

    def _complain(
        self, at_ns: int, peer: int, height: int, digest: Digest
    ) -> InvariantBroken:
        mine = self._digests[height]
        return InvariantBroken(
            "one chain", at_ns,
            f"peer {peer} has {digest.hex()[:12]} as block {height}, others {mine.hex()[:12]}",
        )
