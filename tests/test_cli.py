"""The command line: what it says, what it leaves behind, and its exit codes."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import sim.workers
import veche
from sim.costs import REFERENCE, load_costs
from sim.errors import InvariantBroken
from sim.faults import get_fault_kinds, parse_fault
from sim.progress import Progress
from sim.result import RunResult, Verdict
from sim.scenario import list_scenarios
from tests.synthetic import build_election, build_fairs

ROOT = Path(__file__).parent.parent
SCENARIO = '''"""A question?"""
from sim.scenario import Scenario
from sim.thresholds import Threshold
from sim.workload import Election

scenario = Scenario(
    name="mine", question="Does it work?", workload=Election(), users=1000, peers=40,
    thresholds=(Threshold("lost.count == 0"),),
)
'''
needs_simulation = pytest.mark.skipif(
    importlib.util.find_spec("sim.simulation") is None, reason="there is no simulator yet"
)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's folder with a scenario in it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(SCENARIO)
    return path


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command line over an invented simulation; returns code, output, errors."""

    def call(*words, simulate=None):
        if simulate is not None:
            monkeypatch.setattr(veche, "build", partial(Invented, simulate))
        with pytest.raises(SystemExit) as left:
            veche.main([str(word) for word in words])
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return call


def invent(scenario, costs, workers, progress):
    """A passed result of the size asked for."""
    progress(Progress(
        virtual_ns=2, start_ns=1, end_ns=3, midnight_ns=0, wall_s=0.0, backlog=1, blocks=1,
        final_count=scenario.users, offered_count=scenario.users,
    ))
    rules = tuple(threshold.rule for threshold in scenario.thresholds)
    result = build_election(500, rules=rules)
    return replace(result, scenario=scenario.name, seed=scenario.seed)


class Invented:
    """In place of a simulation: ``simulate`` gives its result."""

    fidelity = "as near as invented"

    def __init__(self, simulate, scenario, costs, workers):
        self.run = partial(simulate, scenario, costs, workers)


def one_line(text):
    assert len(text.splitlines()) == 1, text
    return text


def test_help_lists_the_verbs_that_work_with_an_example(run):
    for words in ((), ("--help",)):
        code, out, _ = run(*words)
        assert code == 0
        assert "Example: veche run smoke" in out
    assert set(veche.cli.commands) == {
        "calibrate", "cluster", "compile", "node", "report", "run",
    }
    for verb in veche.cli.commands:
        code, out, _ = run(verb, "--help")
        assert code == 0
        assert f"Example: veche {verb} " in out


def test_a_run_prints_configuration_then_verdict_then_how_to_repeat_it(mine, run):
    code, out, err = run("run", mine, "--users", 300, "--seed", 7, simulate=invent)
    assert code == 0
    lines = out.splitlines()
    assert lines.index("  users     300") < next(
        index for index, line in enumerate(lines) if "PASSED" in line
    )
    assert lines[-1].startswith(f"veche run {mine} --users 300 --seed 7  # commit ")
    assert "300 final" in err
    assert all(len(line) <= 80 for line in lines[:-1])
    assert RunResult.load(Path("runs/mine-7-1")).reproduce == lines[-1]
    assert Path("runs/mine-7-1/report.html").is_file()


def test_folders_of_runs_are_numbered_and_out_names_one(mine, run):
    for expected in ("runs/mine-1-1", "runs/mine-1-2"):
        assert run("run", mine, "--quiet", simulate=invent)[0] == 0
        assert Path(expected, "result.json").is_file()
    assert run("run", mine, "--out", "here/x", simulate=invent)[0] == 0
    assert Path("here/x/summary.md").is_file()


def test_json_prints_the_result_and_nothing_else(mine, run):
    code, out, err = run("run", mine, "--json", "--out", "x", simulate=invent)
    assert code == 0
    assert json.loads(out) == json.loads(Path("x/result.json").read_text())
    assert err == ""


def test_quiet_prints_the_verdict_and_the_last_line(mine, run):
    _, out, err = run("run", mine, "--quiet", simulate=invent)
    assert "PASSED" in out.splitlines()[0]
    assert out.splitlines()[-1].startswith("veche run ")
    assert len(out.splitlines()) == 3
    assert err == ""


@pytest.mark.parametrize(("words", "told"), [
    (("--fault", "crash validators=99 at=09:00"), "validators='99'"),
    (("--fault", "crash validators=1 at=23:59"), "after the run's end"),
    (("--fault", "crash validators=1 at=01:00"), "crash at="),
    (("--fault", "loss region=moon at=09:00"), "region='moon'"),
    (("--set", "curve=none.csv"), "curve='none.csv'"),
    (("--set", "closes=25:00"), "closes='25:00'"),
    (("--set", "closes=07:00"), "closes='07:00'"),
    (("--set", "starts=12:00"), "starts='12:00'"),
])
@needs_simulation
def test_every_mistake_of_configuration_is_told_before_anything_is_printed(
    mine, run, words, told
):
    code, out, err = run("run", mine, *words, "--out", "x")
    assert (code, out) == (104, "")
    assert told in one_line(err)
    assert not Path("x").exists()


@needs_simulation
@pytest.mark.parametrize(("at", "told"), [
    ("02:00", "give it after the start"), ("23:59", "after the run's end"),
    ("24:30", "from 00:00 to 24:00"),
])
def test_a_late_comer_s_hour_is_told_as_early(mine, run, at, told):
    text = SCENARIO.replace("peers=40,", f'peers=40, late=LateJoin(observers=3, at="{at}"),')
    mine.write_text(text.replace("import Scenario", "import LateJoin, Scenario"))
    code, out, err = run("run", mine)
    assert (code, out) == (104, "")
    assert f"late.at='{at}'" in err
    assert told in one_line(err)


@pytest.mark.parametrize("name", list_scenarios())
def test_a_scenario_s_settings_are_listed_with_values_and_units(run, name):
    code, out, err = run("run", name, "--users", 77, "--help-settings")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["users", "77"] in rows
    assert ["block_interval_ns", "5000000000", "ns", "(5s)"] in rows
    assert any(row[:1] == ["closes"] and row[2:] == ["local", "time"] for row in rows)
    assert all(len(line) <= 80 for line in out.splitlines())


def test_the_help_of_run_names_the_scenarios_and_an_example_of_every_fault(run):
    _, out, _ = run("run", "--help")
    assert all(name in out for name in list_scenarios())
    for verb, kind in get_fault_kinds().items():
        assert f"--fault '{kind.example}'" in out
        assert parse_fault(kind.example).verb == verb
    assert "--help-settings" in out


def test_as_many_workers_may_be_asked_for_as_there_may_be(mine, run):
    assert veche.WORKERS_MAX == sim.workers.WORKERS_MAX
    code, _, err = run("run", mine, "--workers", sim.workers.WORKERS_MAX + 1, simulate=invent)
    assert code == 104
    assert "--workers" in one_line(err)


def test_a_failed_threshold_exits_with_99(mine, run):
    def fail(scenario, costs, workers, progress):
        return build_election(500)

    assert run("run", mine, simulate=fail)[0] == 99


def test_a_run_with_another_table_of_costs_says_so_in_its_last_line(mine, run):
    table = json.loads(REFERENCE.read_text()) | {"name": "ours"}
    table["ns"]["sign"] = 1
    Path("our costs.json").write_text(json.dumps(table))
    taken = []

    def simulate(scenario, costs, workers, progress):
        taken.append(costs)
        return invent(scenario, costs, workers, progress)

    code, out, _ = run("run", mine, "--costs", "our costs.json", simulate=simulate)
    assert code == 0
    assert taken[0].name == "ours"
    assert f"ours, {taken[0].digest}" in out
    assert "--costs 'our costs.json'" in out.splitlines()[-1]
    run("run", mine, simulate=simulate)
    assert taken[1] == load_costs()


def test_a_wrong_table_of_costs_is_told_before_there_is_a_folder(mine, run):
    Path("costs.json").write_text("{}")
    for name in ("costs.json", "none.json"):
        code, _, err = run("run", mine, "--costs", name, "--out", "x", simulate=invent)
        assert code == 104
        assert name in one_line(err)
    assert not Path("x").exists()


def test_an_interrupted_run_is_kept_as_partial(mine, run):
    def stop(scenario, costs, workers, progress):
        return build_election(500, stopped=True)

    code, out, _ = run("run", mine, "--out", "x", simulate=stop)
    assert code == 105
    assert "A partial result" in out
    assert RunResult.load(Path("x")).verdict is Verdict.STOPPED
    assert "Partial run" in Path("x/report.html").read_text()


def test_an_interrupt_before_there_is_a_result_leaves_no_folder(mine, run):
    def stop(scenario, costs, workers, progress):
        raise KeyboardInterrupt

    code, _, err = run("run", mine, "--out", "x", simulate=stop)
    assert code == 105
    assert "nothing was saved" in one_line(err.strip())
    assert not Path("x").exists()


def test_a_broken_invariant_exits_with_110_and_the_line_that_repeats_it(mine, run):
    def fork(scenario, costs, workers, progress):
        raise InvariantBroken("one chain", 5, "two blocks at height 3")

    code, _, err = run("run", mine, "--seed", 3, simulate=fork)
    assert code == 110
    assert "one chain broken" in err.splitlines()[0]
    assert err.splitlines()[-1].startswith(f"veche run {mine} --seed 3")


def test_our_own_bug_keeps_its_traceback_and_ends_with_the_line(mine, monkeypatch):
    def fail(scenario, costs, workers, progress):
        raise AssertionError("a bug")

    monkeypatch.setattr(veche, "build", partial(Invented, fail))
    with pytest.raises(AssertionError) as caught:
        veche.main(["run", str(mine)])
    assert caught.value.__notes__[-1].startswith("veche run ")


@pytest.mark.parametrize(("words", "told"), [
    (("run", "smokke"), "smokke"),
    (("run", "./none.py"), "none.py"),
    (("run",), "SCENARIO"),
    (("run", "mine.py", "--users", "many"), "many"),
    (("run", "mine.py", "--users", "-5"), "users=-5"),
    (("run", "mine.py", "--users", "999999999999"), "999999999999"),
    (("run", "mine.py", "--peers", "1"), "peers=1"),
    (("run", "mine.py", "--seed", "-1"), "seed=-1"),
    (("run", "mine"), "did you mean mine.py?"),
    (("run", "mine.py", "--engine", "magic"), "magic"),
    (("run", "mine.py", "--set", "block"), "--set='block'"),
    (("run", "mine.py", "--set", "blok_interval_ns=5"), "block_interval_ns"),
    (("run", "mine.py", "--set", "users=few"), "few"),
    (("run", "mine.py", "--fault", "melt validators=1"), "melt"),
    (("run", "mine.py", "--fly"), "--fly"),
    (("run", "mine.py", "--out", "."), "--out="),
    (("run", "mine.py", "--out", "mine.py/x"), "--out="),
    (("fly",), "fly"),
    (("calibrate", "--out", "mine.py"), "--out='mine.py'"),
    (("calibrate", "--out", "none/x.json"), "--out='none/x.json'"),
    (("calibrate", "--folder", "none"), "--folder='none'"),
    (("calibrate", "--repeats", "1"), "repeats"),
    (("report", "nowhere"), "nowhere"),
])
def test_a_mistake_is_one_line_that_names_the_value_and_exits_with_104(mine, run, words, told):
    code, out, err = run(*words, simulate=invent)
    assert code == 104
    assert told in one_line(err)
    assert "Traceback" not in out + err


@pytest.mark.parametrize(("line", "told"), [
    ("1 / 0", "mine.py:7: ZeroDivisionError"), ("import nothing_such", "mine.py:7"),
    ("def (", "mine.py:7: SyntaxError"),
])
def test_a_scenario_file_that_raises_exits_with_107_and_its_line(mine, run, line, told):
    mine.write_text("\n" * 6 + line + "\n")
    code, _, err = run("run", mine, simulate=invent)
    assert code == 107
    assert told in one_line(err)


@pytest.mark.parametrize("text", ["", "scenario = 5", SCENARIO.replace("lost", "lust")])
def test_a_file_without_a_good_scenario_exits_with_104(mine, run, text):
    mine.write_text(text)
    code, _, err = run("run", mine, simulate=invent)
    assert code == 104
    one_line(err)


def test_report_writes_the_page_again(tmp_path, run):
    build_fairs().save(tmp_path / "run")
    code, out, _ = run("report", tmp_path / "run")
    assert code == 0
    assert "FAILED" in out
    page = (tmp_path / "run/report.html").read_bytes()
    (tmp_path / "run/report.html").unlink()
    assert run("report", tmp_path / "run", "--quiet")[1] == ""
    assert (tmp_path / "run/report.html").read_bytes() == page


def test_report_on_a_stopped_run_exits_with_0_and_says_what_the_run_exited_with(
    tmp_path, run
):
    build_election(500, stopped=True).save(tmp_path / "run")
    code, out, _ = run("report", tmp_path / "run")
    assert code == 0
    assert "the run's exit code was 105" in out
    assert "not judged: stopped" in (tmp_path / "run/junit.xml").read_text()


@pytest.mark.slow
@needs_simulation
def test_who_stops_reading_does_not_stop_the_run(tmp_path):
    running = subprocess.Popen(
        [sys.executable, "-m", "veche", "run", "smoke", "--users", "20", "--peers", "12",
         "--workers", "0", "--out", str(tmp_path / "run")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    running.stdout.close()
    assert (running.wait(), running.stderr.read().count(b"Traceback")) == (0, 0)
    running.stderr.close()
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.slow
def test_calibrate_writes_a_table_that_a_run_takes(mine, run):
    code, out, err = run("calibrate", "--repeats", 2, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(Path("costs-1.json").read_text())
    assert load_costs(Path("costs-1.json")).name == "costs-1"
    assert run("run", mine, "--costs", "costs-1.json", simulate=invent)[0] == 0


@pytest.mark.slow
def test_without_assertions_nothing_runs():
    done = subprocess.run(
        [sys.executable, "-O", "-m", "veche", "run", "smoke"], cwd=ROOT, capture_output=True,
        text=True, check=False,
    )
    assert done.returncode == 104
    assert "-O" in one_line(done.stderr)


@pytest.mark.slow
@needs_simulation
def test_a_small_run_passes_from_the_door_to_the_page(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "veche", "run", "smoke", "--users", "200", "--peers", "20",
         "--out", str(tmp_path / "run")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("veche run smoke --users 200 --peers 20")
    assert (tmp_path / "run/report.html").is_file()
