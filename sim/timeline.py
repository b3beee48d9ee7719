"""What of a scenario happens at given moments, and whether it happens at all in its run."""

from collections.abc import Sequence

from node.inputs import Role
from sim.errors import ConfigurationError
from sim.faults import PlannedFault
from sim.scenario import Scenario
from sim.times import parse_time_ns
from sim.topology import Topology


def choose_late(scenario: Scenario, topology: Topology) -> tuple[int, ...]:
    """The peers that join late: the last observers."""
    late = scenario.late
    if late is None:
        return ()
    observers = topology.get_indices(Role.OBSERVER)
    assert late.observers <= len(observers)
    return tuple(observers[-late.observers :])


def require_events_in_time(
    scenario: Scenario, faults: Sequence[PlannedFault], *, midnight_ns: int, start_ns: int,
    goal_ns: int,
) -> None:
    """What never happens would make a run that proves nothing look like a pass.

    Raises ConfigurationError for what does not begin between start and goal.
    """
    assert midnight_ns <= start_ns < goal_ns
    events = [("fault", str(plan.fault), plan.begin_ns) for plan in faults]
    late = scenario.late
    if late is not None:
        at_ns = midnight_ns + parse_time_ns("late.at", late.at)
        if at_ns < start_ns:
            raise ConfigurationError("late.at", late.at, "give it after the start")
        events.append(("late.at", late.at, at_ns))
    for field, value, at_ns in events:
        if at_ns >= goal_ns:
            remedy = "it begins after the run's end: give it earlier"
            raise ConfigurationError(field, value, remedy)
