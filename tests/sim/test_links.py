"""What links cost."""

from sim.links import LINK_FIELDS, TABLE, Links
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

CONFIG = TopologyConfig(validators=4, relays=6, observers=50)


def make_links(seed: int = 1, config: TopologyConfig = CONFIG) -> Links:
    streams = Streams(seed)
    return Links(Topology.build(config, streams), streams)


def test_a_link_takes_equally_long_both_ways():
    links = make_links()
    for one, other in [(0, 1), (5, 40), (41, 59)]:
        assert links.open(one, other).latency_ns == links.open(other, one).latency_ns
        assert links.compute_latency_ns(one, other) == links.open(one, other).latency_ns


def test_links_are_made_when_first_used():
    links = make_links()
    assert not any(links.rows)
    links.open(3, 9)
    assert [list(row) for row in links.rows if row] == [[9]]


def test_servers_of_a_city_are_below_a_millisecond_and_the_world_is_not():
    links = make_links()
    assert all(0 < links.compute_latency_ns(0, other) < 1_500_000 for other in range(1, 10))
    world = make_links(config=TopologyConfig(preset="world"))
    ways = [world.compute_latency_ns(0, other) for other in range(1, 25)]
    assert max(ways) > 50_000_000


def test_a_mobile_link_is_slower_jitters_more_and_loses_more():
    streams = Streams(1)
    topology = Topology.build(CONFIG, streams)
    links = Links(topology, streams)
    mobile = next(p.index for p in topology.peers if p.profile.name == "mobile")
    home = next(p.index for p in topology.peers if p.profile.name == "home")
    slow, quick = links.open(0, mobile), links.open(0, home)
    assert slow.latency_ns > quick.latency_ns
    assert slow.jitter_ns > quick.jitter_ns
    assert slow.loss > quick.loss


def test_chances_hold_every_number_once_and_jitters_have_mean_one():
    links = make_links()
    assert sorted(links.chances) == list(range(TABLE))
    assert 1020 < sum(links.jitters) / TABLE < 1028


def test_links_are_a_function_of_the_seed():
    assert make_links().open(1, 9) == make_links().open(1, 9)
    assert list(make_links(1).jitters) != list(make_links(2).jitters)


def test_a_fan_holds_the_links_to_its_receivers_in_their_order():
    links = make_links()
    fan = list(links.open_fan(0, (9, 2, 5)))
    rows = [tuple(fan[place:place + LINK_FIELDS]) for place in range(0, len(fan), LINK_FIELDS)]
    assert rows == [links.open(0, to) for to in (9, 2, 5)]
    assert [links.open(0, to).number for to in (9, 2, 5)] == [0, 1, 2]
    assert list(links.lasts) == [0, 0, 0]
