"""Which people a workload brings to the city."""

from typing import assert_never

from node.crypto import Identity
from sim.election_day import ElectionDay
from sim.hosted import HostedCity
from sim.people import People
from sim.scenario import Scenario
from sim.stall_auction import make_stall_auction
from sim.stall_window import make_stall_window
from sim.streams import Streams
from sim.workload import Election, StallAuction, StallWindow


def make_people(
    *, scenario: Scenario, city: HostedCity, chief: Identity, streams: Streams,
    midnight_ns: int, workers: int,
) -> People:
    """The users and offices of the scenario's workload, ready to start."""
    workload = scenario.workload
    match workload:
        case Election():
            return ElectionDay(
                city=city, workload=workload, users=scenario.users, seed=scenario.seed,
                chief=chief, streams=streams, midnight_ns=midnight_ns, workers=workers,
            )
        case StallWindow():
            return make_stall_window(
                city=city, workload=workload, users=scenario.users, seed=scenario.seed,
                chief=chief, streams=streams, midnight_ns=midnight_ns, workers=workers,
            )
        case StallAuction():
            return make_stall_auction(
                city=city, workload=workload, users=scenario.users, seed=scenario.seed,
                chief=chief, streams=streams, midnight_ns=midnight_ns, workers=workers,
            )
        case _:
            assert_never(workload)
