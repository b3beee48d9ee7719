"""Counters of links, as each host of a city fills them."""

from node.inputs import Role
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig
from sim.traffic import Traffic


def test_what_is_known_by_role_only_is_told_by_role():
    topology = Topology.build(
        TopologyConfig(validators=4, relays=2, observers=2), Streams(1)
    )
    traffic = Traffic(topology)
    traffic.has_regions = False
    traffic.deliver(Role.VALIDATOR, 0, 3, 100)
    traffic.deliver(Role.VALIDATOR, 1, 2, 50)
    traffic.deliver(Role.RELAY, 7, 1, 9)
    by_role = {}
    for (sender, _, receiver, _), (frames, size) in traffic.compute_delivered().items():
        before = by_role.get((sender, receiver), (0, 0))
        by_role[sender, receiver] = (before[0] + frames, before[1] + size)
    assert by_role == {
        (Role.VALIDATOR, Role.VALIDATOR): (5, 150), (Role.RELAY, Role.OBSERVER): (1, 9),
    }
