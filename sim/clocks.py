"""A peer's two clocks as functions of virtual time, in integer arithmetic.

Both run on one crystal, which may drift; only the realtime clock can be set, by NTP or a fault.
"""

from dataclasses import dataclass
from typing import Final

from node.types import Now
from sim.errors import ConfigurationError
from sim.kernel import EPOCH_NS
from sim.streams import Streams

MILLION: Final = 1_000_000
REALTIME_AT_EPOCH_NS: Final = EPOCH_NS
"""True clocks show virtual time: the run's local day begins at ``EPOCH_NS``."""

OFFSET_NS_MAX: Final = 3_600_000_000_000
DRIFT_PPM_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConfig:
    """How wrong clocks are: each offset and drift is drawn evenly within plus and minus.

    Servers under NTP are within about 2 ms of each other; a drift that NTP corrects is none.
    """

    offset_ns: int = 2_000_000
    drift_ppm: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.offset_ns <= OFFSET_NS_MAX:
            raise ConfigurationError("offset_ns", self.offset_ns, "give 0 to 1 hour")
        if not 0 <= self.drift_ppm <= DRIFT_PPM_MAX:
            raise ConfigurationError("drift_ppm", self.drift_ppm, "give 0 to 100000")


class Clock:
    """Reads virtual time as one peer sees it.

    ``drift_ppm`` is how many millionths the crystal is fast. The monotonic clock equals virtual
    time at the epoch.
    """

    __slots__ = ("_ahead_ns", "drift_ppm")

    def __init__(
        self, *, offset_ns: int = 0, drift_ppm: int = 0,
        realtime_at_epoch_ns: int = REALTIME_AT_EPOCH_NS,
    ) -> None:
        assert drift_ppm > -MILLION, "a clock does not run backwards"
        self.drift_ppm = drift_ppm
        self._ahead_ns = realtime_at_epoch_ns - EPOCH_NS + offset_ns

    def read(self, virtual_ns: int) -> Now:
        """Both clocks at a virtual instant."""
        monotonic_ns = virtual_ns
        if self.drift_ppm:
            monotonic_ns += (virtual_ns - EPOCH_NS) * self.drift_ppm // MILLION
        return Now(monotonic_ns, monotonic_ns + self._ahead_ns)

    def compute_virtual_ns(self, monotonic_ns: int) -> int:
        """The first virtual instant at which the monotonic clock shows this or later."""
        if not self.drift_ppm:
            return monotonic_ns
        elapsed_ns = monotonic_ns - EPOCH_NS
        virtual_ns = EPOCH_NS - (-elapsed_ns * MILLION // (MILLION + self.drift_ppm))
        assert self.read(virtual_ns).monotonic_ns >= monotonic_ns
        return virtual_ns

    def step(self, by_ns: int) -> None:
        """Set the realtime clock forward, or backward if negative; timers do not notice."""
        self._ahead_ns += by_ns


def draw_clocks(count: int, config: ClockConfig, streams: Streams) -> list[Clock]:
    """One clock per peer."""
    assert count > 0
    generator = streams("clocks")
    offsets = generator.integers(-config.offset_ns, config.offset_ns + 1, count).tolist()
    drifts = generator.integers(-config.drift_ppm, config.drift_ppm + 1, count).tolist()
    return [
        Clock(offset_ns=offset, drift_ppm=drift)
        for offset, drift in zip(offsets, drifts, strict=True)
    ]
