"""What a running simulation tells about itself, for a progress line."""

from dataclasses import dataclass

KNOWN_SHARE = 0.01

@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of the run; instants are virtual; ``midnight_ns`` began the local day."""

    virtual_ns: int
    start_ns: int
    end_ns: int
    midnight_ns: int
    wall_s: float
    backlog: int
    blocks: int
    final_count: int
    offered_count: int

    def __post_init__(self) -> None:
        assert self.midnight_ns <= self.start_ns <= self.virtual_ns
        assert self.wall_s >= 0

    @property
    def share(self) -> float:
        """How much of the run's virtual time has passed, from 0 to 1."""
        span_ns = max(1, self.end_ns - self.start_ns)
        return min(1.0, (self.virtual_ns - self.start_ns) / span_ns)

    @property
    def speed_ratio(self) -> float:
        """Virtual time over wall time so far; 0 before any wall time has passed."""
        if self.wall_s <= 0:
            return 0.0
        return (self.virtual_ns - self.start_ns) / 1e9 / self.wall_s

    @property
    def eta_s(self) -> float | None:
        """Wall seconds left at the speed so far; None while the speed is not known.

        An empty city runs fast, and setting up weighs on the first moments: the speed is not
        known before users have come and a hundredth of the run is over.
        """
        if self.share < KNOWN_SHARE or not self.offered_count or self.speed_ratio <= 0:
            return None
        return max(0, self.end_ns - self.virtual_ns) / 1e9 / self.speed_ratio
