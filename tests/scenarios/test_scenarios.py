"""Every scenario that comes with Veche, at a small scale; and what a user may do wrong."""

from dataclasses import replace

import pytest

from sim.errors import ConfigurationError, ScenarioScriptError
from sim.load import read_curve
from sim.registry import REGISTRY
from sim.result import ExitCode, Verdict
from sim.scenario import PEERS_MAX, USERS_MAX, LateJoin, Scenario, list_scenarios, load_scenario
from sim.simulation import Simulation
from sim.thresholds import Threshold
from sim.workload import Election
from tests.scenarios.small import get_broken, make_small, run, watch

SCALED = {
    "smoke": {"users": 80, "peers": 20},
    "election-day": {"users": 60, "peers": 12},
    "half-day-observer": {"users": 60, "peers": 16},
    "morning-crash": {"users": 60, "peers": 14},
    "stall-window": {"users": 60, "peers": 14},
    "stall-auction": {"users": 60, "peers": 14},
}
SHORTER = {
    # Hours in which nothing new can happen at this size are left out.
    "smoke": {"starts": "07:58", "closes": "08:05", "grace_s": "60"},
    "election-day": {"starts": "07:58", "closes": "08:40", "grace_s": "60"},
    "half-day-observer": {"starts": "12:30", "opens": "12:32", "closes": "13:10",
                          "grace_s": "60"},
    "morning-crash": {"starts": "09:20", "opens": "09:22", "closes": "09:50", "grace_s": "60"},
    "stall-window": {"starts": "08:58", "closes": "09:20"},
    "stall-auction": {"starts": "08:58", "closes": "09:20"},
}


def test_every_scenario_has_its_small_scale_here():
    assert sorted(SCALED) == list_scenarios()


@pytest.mark.parametrize("name", sorted(SCALED))
def test_a_scenario_asks_a_question_and_states_its_answer(name):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.question.endswith("?")
    assert len(scenario.thresholds) >= 4
    rules = [threshold.rule for threshold in scenario.thresholds]
    assert "lost.count == 0" in rules
    assert "forks.count == 0" in rules


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SCALED))
def test_a_scenario_passes_at_a_small_scale(name):
    scenario = load_scenario(name).with_overrides(**SCALED[name], settings=SHORTER[name])
    if scenario.late is not None:
        # "at least 100" is of 1,000 peers
        count = scenario.late.observers
        scenario = replace(scenario, thresholds=tuple(
            Threshold(rule.rule.replace("100", str(count))) if "sync" in rule.rule else rule
            for rule in scenario.thresholds
        ))
    try:
        simulation = Simulation(scenario)
    except NotImplementedError:
        pytest.skip("sim.public makes no people for this workload yet")
    result = simulation.run(watch)
    assert get_broken(result) == [], result.note
    failed = [(o.rule, o.actual) for o in result.thresholds if not o.passed]
    assert result.verdict is Verdict.PASSED, failed
    assert result.metrics["offered.count"] > 0.8 * scenario.users
    assert result.metrics["lost.count"] == 0


@pytest.mark.slow
def test_every_registered_metric_is_written_by_some_scenario():
    written = set()
    for name in ("half-day-observer", "stall-window", "stall-auction"):
        scenario = load_scenario(name).with_overrides(**SCALED[name], settings=SHORTER[name])
        written |= Simulation(scenario).run(watch).metrics.keys()
    # those of processes are written by a cluster: tests/bench/cluster
    virtual = {name for name in REGISTRY if not name.startswith("cluster.")}
    assert sorted(virtual - written) == []


@pytest.mark.slow
def test_blocks_carry_their_round_and_size_and_latencies_their_region():
    scenario = load_scenario("smoke").with_overrides(
        users=40, peers=14, settings=SHORTER["smoke"],
        faults=("crash validators=1 at=08:01 for=2m",),
    )
    result = run(scenario)
    rounds, sizes = result.blocks["round"], result.blocks["bytes"]
    assert set(rounds) == {0, 1}
    assert result.blocks["interval_s"][rounds > 0].min() > 5.5
    assert sizes.min() > 0
    assert sizes.sum() == result.metrics["blocks.bytes"]
    regions = {name: found.total for name, found in result.histograms.items() if "{" in name}
    assert all(name.startswith("latency.final{region=") for name in regions)
    assert sum(regions.values()) == result.metrics["final.count"]
    assert result.metrics["backlog.end"] == 0


@pytest.mark.slow
def test_a_third_of_the_validators_less_one_restart_and_nothing_is_lost():
    scenario = load_scenario("morning-crash").with_overrides(
        **SCALED["morning-crash"], settings=SHORTER["morning-crash"]
    )
    simulation = Simulation(scenario)
    result = simulation.run(watch)
    (plan,) = simulation.faults.planned
    validators = simulation.city.topology.validators
    assert 0 < len(plan.peers) == (len(validators) - 1) // 3
    assert result.metrics["rounds.changed.count"] > 0
    assert result.metrics["users.gave_up.count"] == 0


@pytest.mark.slow
def test_more_faults_than_are_forgiven_stall_the_city_and_fork_nothing():
    scenario = load_scenario("smoke").with_overrides(
        users=40, peers=14, settings=SHORTER["smoke"],
        faults=("crash validators=2 at=08:01 for=2m",),
    )
    result = run(scenario)
    assert result.metrics["forks.count"] == 0
    assert result.metrics["lost.count"] == 0
    assert result.metrics["blocks.interval.max_s"] > 100
    assert result.exit_code in (ExitCode.PASSED, ExitCode.THRESHOLD_FAILED)


@pytest.mark.slow
@pytest.mark.parametrize(("disk", "broken"), [
    ("kept", ["result published"]), ("lost", ["nothing lost", "result published"]),
])
def test_with_every_peer_off_at_the_end_their_disks_are_judged(disk, broken):
    small = make_small(faults=(f"crash peers=all at=08:02 disk={disk}",))
    simulation = Simulation(small)
    result = simulation.run(watch)
    assert get_broken(result) == broken
    assert result.exit_code == ExitCode.INVARIANT_BROKEN
    chain = simulation.city.find_longest_chain()
    assert chain.height == (simulation.city.blocks.height if disk == "kept" else 0)
    assert (result.metrics["lost.count"] > 0) == (disk == "lost")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stall-window", "stall-auction"])
@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_with_every_peer_off_at_the_end_a_window_is_judged_too(name, disk):
    scenario = load_scenario(name).with_overrides(
        **SCALED[name], settings=SHORTER[name],
        faults=(f"crash peers=all at=09:10 disk={disk}",),
    )
    result = run(scenario)
    assert result.exit_code == ExitCode.INVARIANT_BROKEN
    assert "result published" in get_broken(result)
    assert ("holders provable" in get_broken(result)) == (disk == "lost")


@pytest.mark.slow
def test_a_threshold_that_does_not_hold_fails_the_run():
    scenario = replace(
        load_scenario("smoke").with_overrides(
            users=20, peers=12, settings=SHORTER["smoke"]
        ),
        thresholds=(Threshold("final.count >= 1000000"),),
    )
    result = run(scenario)
    assert result.verdict is Verdict.FAILED
    assert result.exit_code == 99


@pytest.mark.slow
def test_an_interrupt_leaves_a_partial_result_that_says_so():
    def stop(progress):
        raise KeyboardInterrupt

    scenario = load_scenario("smoke").with_overrides(users=20, peers=12)
    result = Simulation(scenario).run(stop)
    assert result.verdict is Verdict.STOPPED
    assert result.exit_code == 105
    assert "partial" in result.note


def test_an_interrupt_in_the_middle_of_an_event_saves_nothing_half_done():
    def interrupt(_):
        raise KeyboardInterrupt

    simulation = Simulation(load_scenario("smoke").with_overrides(users=20, peers=12))
    simulation.kernel.at(simulation.start_ns + 1, interrupt, None)
    with pytest.raises(KeyboardInterrupt):
        simulation.run(watch)
    assert not simulation.stopped


@pytest.mark.slow
def test_a_run_that_is_stopped_half_way_is_measured_and_not_judged():
    def stop(progress):
        if progress.share > 0.4:
            raise KeyboardInterrupt

    result = Simulation(load_scenario("smoke").with_overrides(users=600, peers=12)).run(stop)
    assert result.verdict is Verdict.STOPPED
    assert all(outcome.passed is None for outcome in result.thresholds)
    assert result.metrics["final.count"] > 100
    assert result.metrics["little.ratio"] == pytest.approx(1, abs=0.15)


@pytest.mark.slow
def test_a_curve_of_ones_own_is_read_and_a_bad_one_named(tmp_path):
    path = tmp_path / "curve.csv"
    source = (load_scenario("smoke").workload.curve, "smoke")
    assert source[0]
    smoke = load_scenario("smoke").with_overrides(
        users=20, peers=12, settings={**SHORTER["smoke"], "curve": str(path)}
    )
    for text in ("", "time,count\n08:00,many\n", "time,count\n08:00,-5\n", "08:00\n"):
        path.write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            Simulation(smoke)
        assert str(path) in str(caught.value) or path.name in str(caught.value)
    path.unlink()
    with pytest.raises(ConfigurationError, match=r"curve\.csv"):
        Simulation(smoke)


# A user's own file.

MINE = '''"""A question?"""
from sim import Election, Scenario, Threshold

scenario = Scenario(
    name="mine", question="Mine?", users=20, peers=12, starts="07:58",
    workload=Election(opens="08:00", closes="08:05", grace_s=60),
    thresholds=(Threshold("lost.count == 0"),),
)
'''


@pytest.mark.slow
def test_a_users_own_file_runs_by_its_path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    result = run(load_scenario(str(path)))
    assert result.scenario == "mine"
    assert result.verdict is Verdict.PASSED


@pytest.mark.parametrize(("line", "kind"), [
    ("1 / 0", "ZeroDivisionError"), ("import nothing_such", "ModuleNotFoundError"),
    ("def (", "SyntaxError"), ("nothing", "NameError"), ("assert False", "AssertionError"),
    ("Scenario(name='x')", "TypeError"),
])
def test_a_file_that_raises_is_told_with_its_line(tmp_path, line, kind):
    path = tmp_path / "mine.py"
    path.write_text("from sim import Scenario\n\n\n" + line + "\n")
    with pytest.raises(ScenarioScriptError) as caught:
        load_scenario(str(path))
    assert caught.value.exit_code == ExitCode.SCRIPT_ERROR == 107
    assert caught.value.line == 4
    assert str(caught.value).startswith(f"{path}:4: {kind}")


def test_a_file_whose_scenario_has_a_bad_value_is_a_configuration_error(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE.replace("users=20", "users=-20"))
    with pytest.raises(ConfigurationError, match="users=-20"):
        load_scenario(str(path))


@pytest.mark.parametrize("name", ["smokke", "", "../smoke", "__init__", "no/such.py", "SMOKE?"])
def test_an_unknown_scenario_is_named(name):
    with pytest.raises(ConfigurationError) as caught:
        load_scenario(name)
    assert (caught.value.field, caught.value.value) == ("scenario", name)


def make(**changes):
    fields = {"name": "x", "question": "x?", "workload": Election(), "users": 20, "peers": 20}
    return Scenario(**{**fields, **changes})


@pytest.mark.parametrize(("changes", "field"), [
    ({"users": 0}, "users"), ({"users": -5}, "users"), ({"users": USERS_MAX + 1}, "users"),
    ({"users": 2.5}, "users"), ({"users": True}, "users"), ({"users": "many"}, "users"),
    ({"peers": 0}, "peers"), ({"peers": -1}, "peers"), ({"peers": PEERS_MAX + 1}, "peers"),
    ({"seed": -1}, "seed"), ({"seed": 2**63}, "seed"), ({"preset": "moon"}, "preset"),
    ({"validators": 0}, "validators"), ({"validators": -3}, "validators"),
    ({"relays": 0}, "relays"), ({"validators": 30}, "peers"),
    ({"late": LateJoin(observers=500, at="09:00")}, "late.observers"),
    ({"late": LateJoin(observers=0, at="09:00")}, "late.observers"),
])
def test_a_bad_size_is_named_with_its_value(changes, field):
    with pytest.raises(ConfigurationError) as caught:
        make(**changes)
    assert caught.value.exit_code == 104
    assert caught.value.field == field
    assert repr(caught.value.value) in str(caught.value)


@pytest.mark.parametrize(("settings", "field", "value"), [
    ({"colour": "red"}, "--set", "colour"), ({"grace_s": "-1"}, "grace_s", -1),
    ({"grace_s": "soon"}, "grace_s", "soon"), ({"districts": "0"}, "districts", 0),
    ({"choices": "999"}, "choices", 999), ({"revote_ratio": "2"}, "revote_ratio", 2.0),
    ({"abandon_ratio": "nan"}, "abandon_ratio", None), ({"districts": "128"}, "districts", 128),
    ({"block_interval_ns": "0"}, "block_interval_ns", 0),
    ({"block_interval_ns": "-5"}, "block_interval_ns", -5),
    ({"engine": "magic"}, "--set", "engine"), ({"users": "1e9"}, "users", "1e9"),
    ({"bundle_bytes_max": "999999999"}, "bundle_bytes_max", 999_999_999),
    ({"keyholders_missing": "6"}, "keyholders_missing", 6),
])
def test_a_bad_setting_is_named_with_its_value(settings, field, value):
    with pytest.raises(ConfigurationError) as caught:
        make().with_overrides(settings=settings)
    assert caught.value.field == field
    if value is not None:
        assert caught.value.value == value


@pytest.mark.parametrize(("settings", "told"), [
    ({"starts": "noon"}, "starts='noon'"), ({"opens": "25:99"}, "opens='25:99'"),
    ({"closes": "07:00"}, "close"), ({"starts": "23:00"}, "starts"),
])
def test_a_bad_time_is_told_when_the_city_is_built(settings, told):
    with pytest.raises(ConfigurationError, match=told):
        Simulation(make().with_overrides(settings=settings))


@pytest.mark.parametrize(("fault", "told"), [
    ("melt validators=1 at=09:00", "melt"), ("crash validators=99 at=09:00", "99"),
    ("crash validators=1 at=01:00", "01:00"), ("loss relays=all ratio=2 at=09:00", "ratio"),
    ("crash peers=500 at=09:00", "500"), ("crash at=09:00", "say who"),
])
def test_a_bad_fault_is_told(fault, told):
    with pytest.raises(ConfigurationError, match=told):
        Simulation(make().with_overrides(faults=(fault,)))


@pytest.mark.parametrize(("call", "told"), [
    (lambda: load_scenario("smokke"), "scenario='smokke': did you mean smoke?"),
    (lambda: load_scenario("x"), "scenario='x': known: election-day, half-day-observer, "),
    (lambda: make().with_overrides(engine="qbtf"), "engine='qbtf': did you mean qbft?"),
    (lambda: make().with_overrides(engine="magic"), "engine='magic': known: "),
    (lambda: make().with_overrides(settings={"chioces": "3"}),
     "--set='chioces': did you mean choices?"),
    (lambda: make().with_overrides(settings={"colour": "red"}),
     "veche run SCENARIO --help-settings)"),
    (lambda: make(preset="contry"), "preset='contry': did you mean country?"),
    (lambda: make(preset="moon"), "preset='moon': known: city, country, world"),
    (lambda: make().with_overrides(faults=("crsh validators=1 at=09:00",)),
     "fault='crsh': did you mean crash?"),
    (lambda: make().with_overrides(faults=("melt validators=1 at=09:00",)),
     "fault='melt': known: clock, crash, disk-full, loss, partition, pause, slow-link, "
     "slow-peer"),
    (lambda: Threshold("lust.count == 0"), "threshold='lust.count': did you mean lost.count?"),
    (lambda: Threshold("fairs.x == 0"), "threshold='fairs.x': known: fairs.places.count, "),
    (lambda: read_curve("moscow2021_day.csv"), "did you mean moscow2021_day1.csv?"),
])
def test_an_unknown_name_gets_one_sort_of_answer(call, told):
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert told in str(caught.value)


def test_every_setting_is_listed_with_its_value_and_unit():
    scenario = make(peers=1_000).with_overrides(settings={"choices": "7"})
    rows = {row.name: row for part in scenario.list_settings().values() for row in part}
    assert (rows["validators"].value, rows["relays"].value) == ("25", "75")
    assert rows["choices"].value == "7"
    assert (rows["grace_s"].value, rows["grace_s"].unit) == ("900", "s")
    assert rows["block_interval_ns"].unit == "ns (5s)"
    for name, row in rows.items():
        assert scenario.with_overrides(settings={name: row.value}), name


def test_peers_scale_who_comes_late_however_they_are_given():
    scenario = make(peers=100, late=LateJoin(observers=10, at="09:00"))
    by_option = scenario.with_overrides(peers=200)
    assert by_option.late.observers == 20
    assert scenario.with_overrides(settings={"peers": "200"}) == by_option


def test_a_relay_that_catches_up_proves_the_blocks_that_it_passed():
    """Heavy loss leaves relays some blocks behind: they take several at once, by sync."""
    scenario = load_scenario("smoke").with_overrides(
        users=300, faults=(
            "crash validators=1 at=08:20 for=5m disk=lost",
            "loss validators=all ratio=0.2 at=08:30", "partition region=south at=08:35 for=2m",
        ),
    )
    result = Simulation(scenario, workers=0).run(lambda _: None)
    assert result.metrics["lost.count"] == 0
    assert result.verdict in (Verdict.PASSED, Verdict.FAILED)  # slow perhaps, not broken
