"""Whole clusters, small ones: a day from the door to the tally, and every way to end one."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from sim.result import RunResult, Verdict

ROOT = Path(__file__).parents[3]
SMALL = ["smoke", "--for", "1m", "--users", "12", "--speed", "40", "--relays", "1",
         "--observers", "1", "--set", "grace_s=60"]

pytestmark = pytest.mark.slow


def list_processes(folder):
    """(pid, command line) of nodes that name something in ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if any(str(folder).encode() in word for word in words) and b"node" in words:
            found.append((int(path.parent.name), b" ".join(words).decode()))
    return found


def list_states(folder):
    """What they do: S sleeps, R runs, T stands still."""
    states = ""
    for pid, _ in list_processes(folder):
        try:
            states += Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended meanwhile
            continue
    return states


async def wait_no_process(folder):
    with trio.fail_after(30):
        # no event tells of a process that is not ours
        while list_processes(folder):  # noqa: ASYNC110
            await trio.sleep_until(trio.current_time() + 0.1)


def start(folder, *words):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "veche.py"), "cluster", *SMALL, *words,
         "--out", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
    )


async def run_to_end(folder, *words):
    process = start(folder, *words)
    out, err = await trio.to_thread.run_sync(process.communicate)
    return process.returncode, out, err


async def test_a_small_cluster_passes_and_reports_as_a_simulation_does(tmp_path):
    folder = tmp_path / "run"
    code, out, err = await run_to_end(
        folder, "--fault", "crash validators=1 at=+3m20s for=20s",
        "--fault", "slow-link observers=all extra=50ms at=+3m for=30s",
    )
    assert "Traceback" not in err
    result = RunResult.load(folder)
    assert code == result.exit_code
    assert result.host == "cluster"
    assert result.verdict is not Verdict.BROKEN  # invalid on a machine that is too busy
    assert all(outcome.passed for outcome in result.invariants)
    assert result.metrics["final.count"] >= 6
    assert result.metrics["cluster.cpu_s"] > 1
    assert result.metrics["network.bytes"] > 10_000
    assert result.metrics["cluster.reads.count"] > 10
    assert {row.kind for row in result.traffic} == {"role"}
    assert {(row.source, row.target) for row in result.traffic} >= {
        ("validator", "validator"), ("validator", "relay"), ("relay", "validator"),
        ("relay", "observer"),
    }
    killed = [row for row in result.processes if row.killed]
    assert [(row.role, row.starts, row.killed) for row in killed] == [("validator", 2, 1)]
    for row in result.processes:  # each starts, which takes a second, and tells so
        assert row.cpu_s > 0.3
        assert sum(spent_s for _, spent_s in row.kinds) == pytest.approx(row.cpu_s)
    assert "cluster: real processes" in out
    assert re.search(r"part +08:00 to 08:01 of 08:00 to 09:00: 12 users", out)
    assert "run report, cluster" in (folder / "report.html").read_text(encoding="utf-8")
    assert json.loads((folder / "result.json").read_text())["config"]["speed"] == 40
    assert [*tmp_path.iterdir()] == [folder]
    assert not list_processes(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
async def test_whoever_ends_the_driver_leaves_nothing_behind(tmp_path, number):
    folder = tmp_path / "run"
    process = start(folder, "--fault", "pause validators=1 at=+1s")
    with trio.fail_after(60):
        # a node that stands still must not outlive its driver either
        while "T" not in list_states(tmp_path):  # noqa: ASYNC110 - it is not our child
            await trio.sleep_until(trio.current_time() + 0.05)
    process.send_signal(number)
    _, err = await trio.to_thread.run_sync(process.communicate)
    assert process.returncode == (105 if number == signal.SIGINT else -number), err
    assert "Traceback" not in err
    await wait_no_process(tmp_path)
    with trio.fail_after(30):
        while (tmp_path / "run.nodes").exists():  # noqa: ASYNC110 - the janitor's work
            await trio.sleep_until(trio.current_time() + 0.05)


def has_worker(process):
    """Whether it has started the process that makes ballots, which may still be loading."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        with suppress(OSError):  # it has ended meanwhile, as git does
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                return True
    return False


def has_nodes(process):
    """Whether it has started nodes."""
    return len(list_processes(process.args[-1])) > 1


def read_and_press_again(process):
    """What it says until its end; where it says that it is stopping, it is told once more."""
    told = ""
    for line in process.stderr:
        told += line
        if line.startswith("stopping, "):
            os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    return told


@pytest.mark.parametrize("is_up", [has_worker, has_nodes], ids=["at-once", "twice"])
async def test_ctrl_c_is_answered_in_a_sentence(tmp_path, is_up):
    process = start(tmp_path / "run")
    with trio.fail_after(60):
        while not is_up(process):  # noqa: ASYNC110 - it is not our child
            await trio.sleep_until(trio.current_time() + 0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
    told = await trio.to_thread.run_sync(read_and_press_again, process)
    assert process.returncode == 105, told
    assert told.strip().endswith("veche: stopped; nothing was saved")
    assert "Traceback" not in told
    assert [*tmp_path.iterdir()] == []
    await wait_no_process(tmp_path)


async def test_a_node_that_dies_by_itself_ends_the_run_and_its_words_are_kept(tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    node = None
    with trio.fail_after(60):
        while node is None:
            node = find_pid(tmp_path / "run.nodes/observer-0/node.toml")
            await trio.sleep_until(trio.current_time() + 0.05)
    os.kill(node, signal.SIGKILL)
    _, err = await trio.to_thread.run_sync(process.communicate)
    assert process.returncode == 112
    assert "observer-0 ended by itself, exit code -9" in err
    assert "Traceback" not in err
    assert (folder / "nodes/observer-0/stderr.log").is_file()
    await wait_no_process(tmp_path)


def find_pid(config):
    found = [pid for pid, words in list_processes(config.parent) if str(config) in words]
    return found[0] if found else None
