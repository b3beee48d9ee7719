"""When a workload's doors open and close, and when those come who want in."""

from dataclasses import dataclass

from sim.load import Moments, read_curve
from sim.streams import Streams
from sim.times import parse_time_ns
from sim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrivals:
    """Virtual instants: the hours, and a sorted moment for each user."""

    opens_ns: int
    closes_ns: int
    moments_ns: Moments

    def __post_init__(self) -> None:
        assert self.opens_ns < self.closes_ns
        assert len(self.moments_ns) > 0


def draw_arrivals(
    workload: Workload, users: int, streams: Streams, midnight_ns: int
) -> Arrivals:
    """``users`` moments on the workload's curve, within its hours of the day.

    Raises ConfigurationError for a curve that cannot be read or has nobody in these hours.
    """
    opens_ns = parse_time_ns("opens", workload.opens)
    closes_ns = parse_time_ns("closes", workload.closes)
    curve = read_curve(workload.curve).window(opens_ns, closes_ns)
    return Arrivals(
        opens_ns=midnight_ns + opens_ns, closes_ns=midnight_ns + closes_ns,
        moments_ns=midnight_ns + curve.sample(users, streams("arrivals")),
    )
