"""The steady part of a load: whole blocks, without the warm-up before and the drain after."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from bench.figures import MeasurementFailed

WINDOWS = 4
"""Into which the steady part is cut, to see whether it is."""


class SteadyBlocks:
    """(from, to] in time and heights, of what began at ``began_ns`` and was all handed in at
    ``handed_ns``; ``count`` tells the transactions of a block.

    Raises MeasurementFailed for too few blocks.
    """

    def __init__(
        self, final_ns: Mapping[int, int], count: Callable[[int], int], *, began_ns: int,
        handed_ns: int, warm_up_s: float,
    ) -> None:
        self._final_ns = final_ns
        self._count = count
        self._began_ns = began_ns
        self._handed_ns = handed_ns
        since_ns = began_ns + int(warm_up_s * 1e9)
        self.heights = [height for height, at_ns in sorted(final_ns.items())
                        if since_ns <= at_ns <= handed_ns]
        if len(self.heights) < 2 * WINDOWS:
            raise MeasurementFailed(
                f"the steady part has {len(self.heights)} blocks: push more ballots"
            )
        self.begin_ns = final_ns[self.heights[0]]
        self.end_ns = final_ns[self.heights[-1]]

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end_ns - self.begin_ns) / 1e9

    def compute_rates(self) -> tuple[float, ...]:
        """Final transactions per second, window by window."""
        edges = np.linspace(0, len(self.heights) - 1, WINDOWS + 1).round().astype(int).tolist()
        rates = []
        for first, last in pairwise(edges):
            within = self.heights[first + 1 : last + 1]
            spent_ns = self._final_ns[self.heights[last]] - self._final_ns[self.heights[first]]
            rates.append(sum(map(self._count, within)) * 1e9 / spent_ns)
        return tuple(rates)

    def compute_rate(self) -> float:
        """Final transactions per second over all of it."""
        return sum(map(self._count, self.heights[1:])) / self.seconds

    def compute_block_rate(self) -> float:
        """Blocks per second over all of it."""
        return (len(self.heights) - 1) / self.seconds

    def compute_warm_up_rate(self) -> float:
        """Final transactions per second before it."""
        before = [height for height, at_ns in self._final_ns.items()
                  if self._began_ns < at_ns <= self.begin_ns]
        return sum(map(self._count, before)) * 1e9 / (self.begin_ns - self._began_ns)

    def compute_drain_s(self) -> float:
        """From the last transaction handed in to the last final block that has any."""
        last_ns = max(at_ns for height, at_ns in self._final_ns.items() if self._count(height))
        return max(0.0, (last_ns - self._handed_ns) / 1e9)
