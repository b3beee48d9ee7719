"""Queues, losses, order, crashes and spared copies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.inputs import Role
from sim.kernel import EPOCH_NS
from sim.links import TABLE
from sim.network import (
    CONTENTS_MAX,
    NOTICED_BYTES_MIN,
    RTO_NS_MIN,
    compute_retransmission_ns,
    compute_wire,
)
from sim.rules import Loss, Partition, SlowLink
from sim.topology import TopologyConfig
from sim.traffic import HEADER_BYTES
from tests.sim.wires import Gossiper, Got, Sink, Wires, make_sinks

SMALL = TopologyConfig(validators=4, relays=6, observers=50)
SERVERS = TopologyConfig(validators=8, relays=6, observers=0)
GIGABIT_NS_PER_BYTE = 8


def make_frame(number: int, size: int) -> bytes:
    return number.to_bytes(32, "big") + b"x" * (size - 32)


def test_a_frame_takes_both_queues_and_the_link():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    frame = b"x" * 100
    wires.network.send(0, 1, frame, EPOCH_NS + 50)
    wires.run()
    queues_ns = 2 * (100 + HEADER_BYTES) * GIGABIT_NS_PER_BYTE
    at_ns, receiver, sender, arrived = got[0]
    assert (receiver, sender, arrived) == (1, 0, frame)
    least_ns = EPOCH_NS + 50 + queues_ns + wires.links.open(0, 1).latency_ns
    assert least_ns <= at_ns < least_ns + 2_000_000


def test_the_uplink_sends_one_frame_after_the_other():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    size = 5_000_000
    wires.network.send_many(0, (1, 2, 3), b"x" * size, EPOCH_NS)
    wires.run()
    took_ns = size * GIGABIT_NS_PER_BYTE
    for place, (at_ns, receiver, _, _) in enumerate(got, start=1):
        assert receiver == place
        assert at_ns - EPOCH_NS >= (place + 1) * took_ns
        assert at_ns - EPOCH_NS < (place + 1) * 1.06 * took_ns + 5_000_000


def test_a_frame_that_finds_the_downlink_taken_waits_for_the_overlap():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    size = 5_000_000
    for sender in (1, 2, 3):
        wires.network.send(sender, 0, b"x" * size, EPOCH_NS)
    wires.run()
    took_ns = size * GIGABIT_NS_PER_BYTE
    ends = [at_ns - EPOCH_NS for at_ns, *_ in got]
    for place, end_ns in enumerate(ends, start=1):
        assert end_ns == pytest.approx((place + 1) * took_ns, rel=0.06, abs=5_000_000)
    assert wires.kernel.events == 5, "two of three arrivals were put off"


def test_a_small_frame_overtakes_on_another_link_and_costs_the_large_one_its_time_only():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    wires.network.send(1, 0, b"x" * 5_000_000, EPOCH_NS)
    alone = Wires(SERVERS)
    got_alone = make_sinks(alone)
    alone.network.send(1, 0, b"x" * 5_000_000, EPOCH_NS)
    alone.run()
    wires.network.send(2, 0, b"y" * 1_000, EPOCH_NS + 70_000_000)
    wires.run()
    assert [frame[:1] for *_, frame in got] == [b"y", b"x"]
    assert got[1][0] - got_alone[0][0] == (1_000 + HEADER_BYTES) * GIGABIT_NS_PER_BYTE


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 40_000), min_size=2, max_size=30))
def test_frames_on_one_link_never_overtake(seed: int, sizes: list[int]):
    wires = Wires(SMALL, seed)
    got = make_sinks(wires)
    mobile = next(p.index for p in wires.topology.peers if p.profile.name == "mobile")
    for number, size in enumerate(sizes):
        frame = make_frame(number, max(32, size))
        depart_ns = EPOCH_NS + number * 100_000
        wires.network.send(59, mobile if mobile != 59 else 58, frame, depart_ns)
    wires.run()
    assert [int.from_bytes(frame[:32], "big") for *_, frame in got] == list(range(len(sizes)))


def test_a_lost_packet_costs_a_round_trip_and_a_lost_single_packet_a_timeout():
    assert compute_retransmission_ns(10, 5) == 20
    assert compute_retransmission_ns(10, 1) == RTO_NS_MIN
    assert compute_retransmission_ns(RTO_NS_MIN, 1) == 2 * RTO_NS_MIN
    assert compute_wire(b"x" * 1_400) == (1_400 + 2 * HEADER_BYTES, 2)
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    wires.links.rows[0][1] = wires.links.open(0, 1)._replace(loss=TABLE)
    wires.network.send(0, 1, b"x", EPOCH_NS)
    wires.run()
    assert got[0][0] - EPOCH_NS > RTO_NS_MIN


def test_a_one_way_partition_lets_answers_through_and_counts_drops():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    rule = Partition(14, [[0]], one_way=True)
    wires.rules.add(rule)
    wires.network.send_many(0, (1, 2), b"unheard", EPOCH_NS)
    wires.network.send(1, 0, b"heard", EPOCH_NS)
    wires.run()
    assert [frame for *_, frame in got] == [b"heard"]
    assert wires.network.traffic.dropped == {"fault": 2}
    wires.rules.remove(rule)
    wires.network.send(0, 1, b"again", wires.kernel.now_ns)
    wires.run()
    assert got[-1][3] == b"again"


def test_a_slow_link_delivers_later():
    plain, slowed = Wires(SERVERS), Wires(SERVERS)
    got, got_late = make_sinks(plain), make_sinks(slowed)
    slowed.rules.add(SlowLink(14, [1], extra_ns=80_000_000))
    for wires in (plain, slowed):
        wires.network.send(0, 1, b"x", EPOCH_NS)
        wires.run()
    assert got_late[0][0] - got[0][0] == 80_000_000


def test_a_cut_drops_what_is_in_flight_and_not_what_is_sent_afterwards():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    wires.network.send(0, 1, b"before", EPOCH_NS)
    wires.network.cut(1)
    wires.network.send(0, 1, b"after", EPOCH_NS)
    wires.run()
    assert [frame for *_, frame in got] == [b"after"]
    assert wires.network.traffic.dropped == {"connection ended": 1}


def test_a_cut_while_a_frame_waits_for_the_downlink_drops_it_too():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    for sender in (1, 2):
        wires.network.send(sender, 0, b"x" * 5_000_000, EPOCH_NS)
    wires.kernel.at(EPOCH_NS + 100_000_000, wires.network.cut, 0)
    wires.run()
    assert len(got) == 1
    assert wires.network.traffic.dropped == {"connection ended": 1}


def test_an_uplink_that_is_a_minute_behind_drops_and_counts():
    wires = Wires(SMALL)
    got = make_sinks(wires)
    big = b"x" * 10_000_000
    mobile = next(p.index for p in wires.topology.peers if p.profile.name == "mobile")
    for _ in range(9):
        wires.network.send(mobile, 0, big, EPOCH_NS)
    wires.run()
    assert len(got) == 8
    assert wires.network.traffic.dropped == {"uplink full": 1}


def test_a_receiver_gets_one_copy_of_a_content_and_the_others_are_counted():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    frame = make_frame(1, 400)
    for sender in (1, 2, 3):
        wires.network.spread(sender, (0,), frame, b"content", EPOCH_NS)
    wires.run()
    traffic = wires.network.traffic
    assert len(got) == 1
    assert traffic.duplicates == 2
    assert sum(traffic.sent_frames) == 3, "a repeat costs its sender's uplink"
    assert traffic.spared == 0


def test_a_notice_that_is_there_in_time_spares_the_copy():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    frame = make_frame(1, NOTICED_BYTES_MIN)
    wires.network.spread(1, (0,), frame, b"content", EPOCH_NS)
    wires.run(10_000_000)
    wires.network.spread(2, (0,), frame, b"content", wires.kernel.now_ns)
    traffic = wires.network.traffic
    assert (len(got), traffic.spared, traffic.duplicates) == (1, 1, 0)
    assert sum(traffic.sent_frames) == 1
    assert traffic.notices == 2


def test_nobody_notices_small_contents():
    wires = Wires(SERVERS)
    make_sinks(wires)
    frame = make_frame(1, 100)
    for _ in range(2):
        wires.network.spread(1, (0,), frame, b"content", wires.kernel.now_ns)
        wires.run(10_000_000)
    traffic = wires.network.traffic
    assert (traffic.spared, traffic.duplicates, traffic.notices) == (0, 1, 0)


def test_an_earlier_copy_replaces_a_later_one_that_is_under_way():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    frame = make_frame(1, 100)
    slow = SlowLink(14, [1], extra_ns=50_000_000)
    wires.rules.add(slow)
    wires.network.spread(1, (0,), frame, b"content", EPOCH_NS)
    wires.rules.remove(slow)
    wires.network.spread(2, (0,), frame, b"content", EPOCH_NS)
    wires.run()
    assert [sender for _, _, sender, _ in got] == [2]
    assert wires.network.traffic.duplicates == 1


def test_after_a_crash_the_same_content_may_come_again():
    wires = Wires(SERVERS)
    got = make_sinks(wires)
    frame = make_frame(1, 2_000)
    for _ in range(2):
        wires.network.spread(1, (0,), frame, b"content", wires.kernel.now_ns)
        wires.run(10_000_000)
        wires.network.cut(0)
    assert len(got) == 2


def test_a_content_that_the_receiver_refused_may_come_again():
    wires = Wires(SERVERS)
    got: list[Got] = []

    class Full(Sink):
        def receive(self, sender: int, frame: bytes) -> bool:
            super().receive(sender, frame)
            return False

    wires.network.attach([Full(wires, index, got) for index in range(14)])
    for _ in range(2):
        wires.network.spread(1, (0,), b"x" * 2_000, b"content", wires.kernel.now_ns)
        wires.run(10_000_000)
    assert len(got) == 2


def test_only_so_many_contents_are_remembered():
    wires = Wires(SERVERS)
    make_sinks(wires)
    for number in range(CONTENTS_MAX + 1):
        content = number.to_bytes(8, "big")
        wires.network.spread(1, (0,), b"x" * 100, content, wires.kernel.now_ns)
    assert len(wires.network._contents) == CONTENTS_MAX


def test_traffic_is_known_by_role_and_region():
    wires = Wires(SMALL)
    make_sinks(wires)
    wires.network.send(0, 5, b"x" * 34, EPOCH_NS)
    wires.network.send(0, 5, b"x" * 34, EPOCH_NS)
    wires.run()
    peers = wires.topology.peers
    key = (Role.VALIDATOR, peers[0].region, Role.RELAY, peers[5].region)
    assert wires.network.traffic.compute_delivered() == {key: (2, 200)}
    assert (wires.network.traffic.frames, wires.network.traffic.bytes) == (2, 200)


def gossip(
    seed: int, size: int, *, faulty: bool, brute: bool = False
) -> tuple[Wires, list[Got], list[int]]:
    wires = Wires(SMALL, seed, brute=brute)
    got: list[Got] = []
    peers = [Gossiper(wires, index, got) for index in range(60)]
    wires.network.attach(peers)
    for number in range(4):
        frame = make_frame(number, size)
        for validator in (number % 4, (number + 1) % 4):
            at_ns = EPOCH_NS + number * 7_000_000 + validator * 50_000
            wires.kernel.at(at_ns, peers[validator].give, frame)
    if faulty:
        loss = Loss(60, range(10, 40), 0.2)
        wires.kernel.at(EPOCH_NS + 3_000_000, wires.rules.add, loss)
        wires.kernel.at(EPOCH_NS + 12_000_000, wires.rules.add, Partition(60, [[12, 13, 14]]))
        wires.kernel.at(EPOCH_NS + 20_000_000, wires.rules.remove, loss)
        for peer in range(4, 60, 7):
            wires.kernel.at(EPOCH_NS + peer * 400_000, wires.network.cut, peer)
    wires.run()
    traffic = wires.network.traffic
    counts = [sum(traffic.sent_frames), traffic.spared, traffic.notices]
    return wires, got, counts


@pytest.mark.slow
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000), size=st.sampled_from([200, 3_000, 120_000]),
    faulty=st.booleans(),
)
def test_sparing_copies_changes_no_first_arrival(*, seed: int, size: int, faulty: bool):
    fast, got, counts = gossip(seed, size, faulty=faulty)
    slow, got_slow, counts_slow = gossip(seed, size, faulty=faulty, brute=True)
    assert got == got_slow
    assert counts == counts_slow
    assert fast.journal.digest() == slow.journal.digest()
    assert fast.kernel.events < slow.kernel.events
    if not faulty:
        assert fast.network.traffic.duplicates == slow.network.traffic.duplicates
        assert len(got) >= 56 * 4, "every relay and observer has every content"


def test_one_seed_gives_one_history_and_another_seed_another():
    digests = [gossip(seed, 3_000, faulty=True)[0].journal.digest() for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]
