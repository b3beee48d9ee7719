import pytest

from bench.cluster.command import Request, describe_interval
from bench.cluster.window import cut, needs_proxies
from sim.errors import ConfigurationError
from sim.faults import get_fault_kinds, parse_fault
from sim.scenario import LateJoin, load_scenario
from sim.times import parse_duration_ns

REAL = ("crash", "disk-full", "loss", "partition", "pause", "slow-link")
MINUTES_10 = parse_duration_ns("for", "10m")


def test_a_window_has_the_curve_s_share_of_users_and_less_waiting():
    smoke = load_scenario("smoke")
    window = cut(smoke, for_ns=MINUTES_10, users=None, speed=20)
    scenario = window.scenario
    assert (scenario.starts, scenario.workload.opens, scenario.workload.closes) == (
        "07:57", "08:00", "08:10"
    )
    assert 200 < scenario.users < 500
    assert scenario.workload.grace_s == 300
    assert scenario.workload.reads_per_voter == smoke.workload.reads_per_voter
    assert scenario.thresholds == smoke.thresholds
    assert "08:00 to 08:10 of 08:00 to 09:00" in window.about
    scenario.verify_times()


def test_a_window_is_no_longer_than_the_day():
    window = cut(load_scenario("smoke"), for_ns=10**15, users=None, speed=20)
    assert window.scenario.workload.closes == "09:00"
    assert window.scenario.users == 2_000


def test_users_are_as_many_as_was_said_or_as_a_cluster_bears():
    day = load_scenario("election-day")
    assert cut(day, for_ns=MINUTES_10, users=70_000, speed=20).scenario.users == 70_000
    window = cut(day, for_ns=MINUTES_10, users=None, speed=20)
    assert window.scenario.users == 100 * 600 // 20
    assert "--users takes them all on" in window.about


@pytest.mark.parametrize("name", ["stall-window", "stall-auction", "half-day-observer"])
def test_every_workload_can_be_cut(name):
    scenario = cut(load_scenario(name), for_ns=MINUTES_10, users=50, speed=20).scenario
    scenario.verify_times()
    assert scenario.users == 50


def test_what_no_machine_can_be_made_to_have_is_refused_before_anything_starts():
    smoke = load_scenario("smoke")
    for verb, kind in get_fault_kinds().items():
        faulty = smoke.with_overrides(faults=(kind.example,))
        if verb in REAL:
            cut(faulty, for_ns=MINUTES_10, users=None, speed=20)
            continue
        with pytest.raises(ConfigurationError, match=f"{verb}.*{', '.join(REAL)}"):
            cut(faulty, for_ns=MINUTES_10, users=None, speed=20)


def test_only_faults_of_links_need_proxies():
    assert not needs_proxies((parse_fault("crash validators=1 at=09:00"),))
    assert needs_proxies((parse_fault("loss validators=1 at=09:00"),))


def test_what_was_planned_for_later_happens_at_the_same_share_of_the_window():
    day = load_scenario("half-day-observer").with_overrides(
        faults=("crash validators=1 at=11:00 for=1h", "pause observers=1 at=+4m for=10s"),
    )
    window = cut(day, for_ns=MINUTES_10, users=9, speed=20)
    assert window.scenario.late.at == "08:08:20"
    crash, pause = window.scenario.faults
    assert str(crash) == "crash validators=1 at=08:05 for=2m30s"
    assert pause == day.faults[1]
    assert "same share" in window.about


def test_a_window_of_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="--for"):
        cut(load_scenario("smoke"), for_ns=0, users=None, speed=20)


def make_request(**changes):
    settings = {"scenario": load_scenario("smoke"), "validators": 4, "relays": 2,
                "observers": 2, "users": None, "speed": 20.0, "for_ns": MINUTES_10,
                "workers": 0}
    return Request(**settings | changes)


def test_a_request_sizes_the_city():
    parts = make_request(validators=7, relays=3, observers=5).cut().scenario
    topology = parts.build_topology_config()
    assert (topology.validators, topology.relays, topology.observers) == (7, 3, 5)
    late = make_request(scenario=load_scenario("half-day-observer")).cut().scenario.late
    assert isinstance(late, LateJoin)
    assert late.observers == 2


def test_its_words_repeat_it():
    words = make_request(users=9).build_words("10m")
    assert words[:2] == ["--validators", "4"]
    assert words[-4:] == ["--for", "10m", "--users", "9"]


def test_the_wall_time_between_blocks_is_told():
    assert describe_interval(load_scenario("smoke"), 20.0) == "250ms"
