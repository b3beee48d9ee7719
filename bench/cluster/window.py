"""Which part of a scenario's day a cluster lives, and what of it cannot be done for real.

Real time is dear: a cluster takes the first minutes after the doors open, with as many users as
the scenario's curve has in them, and the shorter wait before and after that they need. What the
scenario planned for a later hour of its day happens at the same share of the window.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from sim.errors import ConfigurationError
from sim.faults import Crash, DiskFull, Fault, LossFault, PartitionFault, Pause, SlowLinkFault
from sim.load import read_curve
from sim.scenario import Scenario
from sim.times import SECOND_NS, format_duration, format_time, parse_time_ns
from sim.workload import Election, StallAuction, StallWindow

LEAD_NS = 180 * SECOND_NS
"""For the office to prepare, before the doors open."""

GRACE_S_MIN = 120
USERS_PER_WALL_S = 100
"""What a cluster offers at most if nobody says how many users there are."""

LINK_FAULTS = (PartitionFault, LossFault, SlowLinkFault)
REAL_FAULTS = (Crash, DiskFull, Pause, *LINK_FAULTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A scenario cut to size, and how it was cut, in a sentence."""

    scenario: Scenario
    about: str


def cut(scenario: Scenario, *, for_ns: int, users: int | None, speed: float) -> Window:
    """The first ``for_ns`` after the doors open; ``users`` come in it, or the curve's share.

    Raises ConfigurationError for a length of nothing and for a fault that no machine can be
    made to have.
    """
    if for_ns < SECOND_NS:
        raise ConfigurationError("--for", format_duration(for_ns), "give a second or more")
    require_real(scenario.faults)
    workload = scenario.workload
    opens_ns = parse_time_ns("opens", workload.opens)
    closes_ns = parse_time_ns("closes", workload.closes)
    span_ns = min(for_ns, closes_ns - opens_ns)
    end_ns = opens_ns + span_ns
    curve = read_curve(workload.curve).window(opens_ns, closes_ns)
    share = curve.window(opens_ns, end_ns).total / curve.total
    wanted = math.ceil(scenario.users * share)
    limit = max(1, int(USERS_PER_WALL_S * span_ns / SECOND_NS / speed))
    count = min(wanted, limit) if users is None else users
    starts_ns = parse_time_ns("starts", scenario.starts)
    starts = format_time(max(starts_ns, opens_ns - LEAD_NS))
    about = (
        f"{workload.opens} to {format_time(end_ns)} of {workload.opens} to {workload.closes}: "
        f"{count:,} users of {scenario.users:,}"
    )
    if users is None and wanted > limit:
        about += f" (the curve has {wanted:,} in this time: --users takes them all on)"
    hours = _Hours(opens_ns, closes_ns, span_ns)
    late, faults = scenario.late, tuple(hours.move(fault) for fault in scenario.faults)
    if late is not None:
        at_ns = hours.move_ns(parse_time_ns("late.at", late.at))
        late = replace(late, at=format_time(at_ns))
    if faults != scenario.faults or late != scenario.late:
        about += "; what was planned for later happens at the same share of this time"
    return Window(
        scenario=replace(
            scenario, workload=_cut_workload(workload, format_time(end_ns), span_ns),
            users=count, starts=starts, faults=faults, late=late,
        ),
        about=about,
    )


class _Hours(NamedTuple):
    """When the doors open and close, and for how long they do in the window."""

    opens_ns: int
    closes_ns: int
    span_ns: int

    def move_ns(self, at_ns: int) -> int:
        """A moment of the day's later hours, in the window; earlier ones stay."""
        if not self.opens_ns + self.span_ns <= at_ns < self.closes_ns:
            return at_ns
        passed = (at_ns - self.opens_ns) * self.span_ns // (self.closes_ns - self.opens_ns)
        return self.opens_ns + passed // SECOND_NS * SECOND_NS

    def move(self, fault: Fault) -> Fault:
        """The same, and what is moved lasts for a quarter of the window at most."""
        at_ns = fault.at_ns if fault.since_start else self.move_ns(fault.at_ns)
        if at_ns == fault.at_ns:
            return fault
        return replace(fault, at_ns=at_ns, for_ns=min(fault.for_ns, self.span_ns // 4))


def _cut_workload(
    workload: Election | StallWindow | StallAuction, closes: str, span_ns: int
) -> Election | StallWindow | StallAuction:
    if isinstance(workload, Election):
        grace_s = min(workload.grace_s, max(GRACE_S_MIN, span_ns // SECOND_NS // 2))
        return replace(workload, closes=closes, grace_s=grace_s)
    return replace(workload, closes=closes)


def require_real(faults: tuple[Fault, ...]) -> None:
    """Raises ConfigurationError for a fault that cannot be injected into real processes."""
    for fault in faults:
        if not isinstance(fault, REAL_FAULTS):
            known = ", ".join(sorted(kind.verb for kind in REAL_FAULTS))
            raise ConfigurationError(
                "fault", str(fault), f"a cluster of real processes has only: {known}"
            )


def needs_proxies(faults: tuple[Fault, ...]) -> bool:
    """Whether links between nodes must go through us."""
    return any(isinstance(fault, LINK_FAULTS) for fault in faults)
