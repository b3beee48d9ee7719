"""Faults: how they are written, whom they meet, what they do and undo."""

import pytest
from librt.vecs import vec
from mypy_extensions import i32

from node.inputs import Role
from sim.errors import ConfigurationError
from sim.faults import (
    ClockOffset,
    Crash,
    Fault,
    FaultSchedule,
    LossFault,
    PartitionFault,
    Pause,
    Selection,
    SlowLinkFault,
    SlowPeer,
    parse_fault,
)
from sim.kernel import EPOCH_NS, Kernel
from sim.links import TABLE
from sim.rules import DROP, PASS, RuleSet
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS


class RecordingCity:
    """Obeys faults and writes down what it was told, and when."""

    def __init__(self, kernel: Kernel) -> None:
        config = TopologyConfig(validators=7, relays=10, observers=40)
        self.topology = Topology.build(config, Streams(1))
        self.rules = RuleSet(vec[i32](range(TABLE)))
        self.kernel = kernel
        self.off: set[int] = set()
        self.log: list[tuple[int, str, int, object]] = []

    def note(self, verb: str, peer: int, detail: object = None) -> None:
        minutes = (self.kernel.now_ns - EPOCH_NS) // MINUTE_NS
        self.log.append((minutes, verb, peer, detail))

    def crash(self, peer: int, *, keep_disk: bool) -> bool:
        if peer in self.off:
            return False
        self.off.add(peer)
        self.note("crash", peer, keep_disk)
        return True

    def fill_disk(self, peer: int) -> bool:
        self.note("fill disk", peer)
        return True

    def restart(self, peer: int) -> bool:
        self.off.discard(peer)
        self.note("restart", peer)
        return True

    def pause(self, peer: int) -> bool:
        self.note("pause", peer)
        return True

    def resume(self, peer: int) -> bool:
        self.note("resume", peer)
        return True

    def slow(self, peer: int, factor: float) -> None:
        self.note("slow", peer, factor)

    def step_clock(self, peer: int, by_ns: int) -> None:
        self.note("step", peer, by_ns)


def run(*texts: str, seed: int = 1) -> RecordingCity:
    kernel = Kernel()
    city = RecordingCity(kernel)
    schedule = FaultSchedule([parse_fault(text) for text in texts])
    schedule.install(kernel, city, Streams(seed), midnight_ns=EPOCH_NS, start_ns=EPOCH_NS)
    kernel.run_until(EPOCH_NS + 24 * HOUR_NS)
    return city


def test_a_crash_begins_and_ends_when_it_should():
    city = run("crash peers=5,2 at=00:10 for=20m disk=lost")
    assert city.log == [
        (10, "crash", 2, False), (10, "crash", 5, False), (30, "restart", 2, None),
        (30, "restart", 5, None),
    ]


def test_without_an_end_a_fault_lasts():
    city = run("crash peers=1 at=+90s")
    assert city.log == [(1, "crash", 1, True)]


def test_of_two_crashes_only_the_one_that_did_it_undoes_it():
    city = run("crash peers=1 at=00:10 for=20m", "crash peers=1,2 at=00:12 for=2m")
    assert city.log == [
        (10, "crash", 1, True), (12, "crash", 2, True), (14, "restart", 2, None),
        (30, "restart", 1, None),
    ]


def test_pauses_slow_peers_and_wrong_clocks_are_undone():
    city = run(
        "pause peers=3 at=00:01 for=1m", "slow-peer peers=4 factor=2.5 at=00:01 for=1m",
        "clock peers=5 offset=-30s at=00:01 for=1m",
    )
    assert city.log == [
        (1, "pause", 3, None), (1, "slow", 4, 2.5), (1, "step", 5, -30_000_000_000),
        (2, "resume", 3, None), (2, "slow", 4, 1.0), (2, "step", 5, 30_000_000_000),
    ]


def test_rules_of_the_network_come_and_go():
    kernel = Kernel()
    city = RecordingCity(kernel)
    faults = [parse_fault("partition peers=1 oneway=yes at=00:10 for=5m"),
              parse_fault("slow-link peers=2 extra=80ms at=00:10 for=5m"),
              parse_fault("loss peers=3 ratio=1 at=00:10 for=5m")]
    schedule = FaultSchedule(faults)
    schedule.install(kernel, city, Streams(1), midnight_ns=EPOCH_NS, start_ns=EPOCH_NS)
    kernel.run_until(EPOCH_NS + 9 * MINUTE_NS)
    assert not city.rules.active
    kernel.run_until(EPOCH_NS + 11 * MINUTE_NS)
    assert city.rules.judge(1, 6, 0, 0) == DROP
    assert city.rules.judge(6, 1, 0, 0) == PASS
    assert city.rules.judge(2, 6, 0, 0) == 80_000_000
    assert city.rules.judge(3, 6, 0, 0) == DROP
    kernel.run_until(EPOCH_NS + 16 * MINUTE_NS)
    assert not city.rules.active
    assert [plan.end_ns for plan in schedule.planned] == [EPOCH_NS + 15 * MINUTE_NS] * 3


def test_local_time_counts_from_midnight_and_must_not_be_before_the_start():
    kernel = Kernel()
    city = RecordingCity(kernel)
    start_ns = EPOCH_NS + 7 * HOUR_NS
    schedule = FaultSchedule([parse_fault("pause peers=0 at=09:30")])
    schedule.install(kernel, city, Streams(1), midnight_ns=EPOCH_NS, start_ns=start_ns)
    assert schedule.planned[0].begin_ns == EPOCH_NS + 9 * HOUR_NS + 30 * MINUTE_NS
    early = FaultSchedule([parse_fault("pause peers=0 at=06:59")])
    with pytest.raises(ConfigurationError, match=r"06:59.*07:00"):
        early.install(kernel, city, Streams(1), midnight_ns=EPOCH_NS, start_ns=start_ns)


def test_peers_are_drawn_by_seed_and_place_and_not_by_other_faults():
    drawn = run("crash observers=3 at=00:01").off
    assert drawn == run("crash observers=3 at=00:01", "loss relays=2 at=00:00").off
    assert len(drawn) == 3
    assert drawn <= set(range(17, 57))
    assert any(run("crash observers=3 at=00:01", seed=seed).off != drawn for seed in (2, 3))


@pytest.mark.parametrize(("text", "count"), [
    ("validators=f", 2), ("validators=all", 7), ("relays=10%", 1), ("observers=50%", 20),
    ("peers=all", 57), ("peers=10%", 6),
])
def test_amounts_of_peers(text: str, count: int):
    assert len(run(f"crash {text} at=00:01").off) == count


def test_a_region_may_be_selected_alone_and_with_a_role():
    city = run("crash region=south at=00:01")
    peers = city.topology.peers
    south = city.topology.regions.index("south")
    assert city.off == {peer.index for peer in peers if peer.region == south}
    both = run("crash observers=2 region=south at=00:01").off
    assert len(both) == 2
    assert all(peers[i].role is Role.OBSERVER and peers[i].region == south for i in both)


@pytest.mark.parametrize(("text", "expected"), [
    ("crash validators=3 at=09:30 for=20m",
     Crash(at_ns=9 * HOUR_NS + 30 * MINUTE_NS, for_ns=20 * MINUTE_NS,
           who=Selection(role=Role.VALIDATOR, amount="3"))),
    ("pause peers=0,4 at=+90s for=10s",
     Pause(at_ns=90 * 10**9, for_ns=10**10, who=Selection(indices=(0, 4)), since_start=True)),
    ("slow-peer relays=10% factor=4 at=10:00:30",
     SlowPeer(at_ns=10 * HOUR_NS + 30 * 10**9, who=Selection(role=Role.RELAY, amount="10%"))),
    ("clock validators=1 offset=1h at=08:00",
     ClockOffset(at_ns=8 * HOUR_NS, who=Selection(role=Role.VALIDATOR, amount="1"),
                 offset_ns=HOUR_NS)),
    ("partition region=south at=12:00",
     PartitionFault(at_ns=12 * HOUR_NS, who=Selection(region="south"))),
    ("loss observers=all ratio=0.05 at=12:00",
     LossFault(at_ns=12 * HOUR_NS, who=Selection(role=Role.OBSERVER), ratio=0.05)),
    ("slow-link validators=all factor=3 at=12:00",
     SlowLinkFault(at_ns=12 * HOUR_NS, who=Selection(role=Role.VALIDATOR), factor=3)),
])
def test_faults_are_read_as_they_are_written(text: str, expected: Fault):
    assert parse_fault(text) == expected


@pytest.mark.parametrize(("text", "message"), [
    ("", "fault='': known: clock, crash"),
    ("explode validators=1 at=09:00", "fault='explode': known: clock"),
    ("crash validators=3", "say when"),
    ("crash at=09:00", "say who"),
    ("crash validators=3 relays=1 at=09:00", "say who"),
    ("crash validators=3 at=25h", "at='25h'"),
    ("crash validators=3 at=09:70", "at='09:70'"),
    ("crash validators=3 at=09:00 for=20", "for='20'"),
    ("crash validators=-1 at=09:00", "validators='-1'"),
    ("crash validators=0 at=09:00", "validators='0'"),
    ("crash peers=1;2 at=09:00", "peers='1;2'"),
    ("crash peers=1 at=09:00 at=10:00", "fault='at=10:00'"),
    ("crash peers=1 at", "fault='at'"),
    ("crash peers=1 at=09:00 factor=2", "crash option='factor': known: validators"),
    ("crash peers=1 at=09:00 disk=wet", "disk='wet'"),
    ("loss peers=1 at=09:00 ratio=2", "ratio='2'"),
    ("loss peers=1 at=09:00 ratio=much", "ratio='much'"),
    ("slow-peer peers=1 at=09:00 factor=nan", "factor='nan'"),
])
def test_a_mistake_in_a_fault_is_named(text: str, message: str):
    with pytest.raises(ConfigurationError) as caught:
        parse_fault(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", [
    "crash validators=3 at=09:30 for=20m", "pause peers=0,4 at=+1m30s for=500ms",
    "crash validators=f at=09:30:05", "partition peers=all region=south at=24:00",
    "crash peers=10% region=south at=+0s",
])
def test_a_fault_reads_back_as_it_was_written(text: str):
    assert str(parse_fault(text)) == text
    assert parse_fault(str(parse_fault(text))) == parse_fault(text)


def test_a_fault_on_the_next_day_is_refused_and_told_how_to_say_it():
    with pytest.raises(ConfigurationError, match=r"24:00.*or \+90s from the run's start"):
        parse_fault("crash validators=1 at=25:00")


@pytest.mark.parametrize(("text", "message"), [
    ("crash validators=8 at=00:01", "validators='8': give 1 to 7"),
    ("crash peers=57 at=00:01", "peers=57: give numbers from 0 to 56"),
    ("crash region=moon at=00:01", "region='moon': known: centre"),
    ("crash relays=1% at=00:01", "relays='1%': give 1 to 10"),
])
def test_a_selection_that_the_city_cannot_fill_is_named(text: str, message: str):
    with pytest.raises(ConfigurationError) as caught:
        run(text)
    assert message in str(caught.value)
