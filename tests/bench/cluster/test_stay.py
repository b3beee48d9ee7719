"""A cluster that stays up: citizens join real processes, and find that the result agrees."""

import json
import re
import signal
import subprocess
import sys

import pytest
import trio

from tests.bench.cluster.test_cluster import ROOT, list_processes, start

pytestmark = pytest.mark.slow


def run_veche(folder, *words):
    """Exit code, output, errors."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "veche.py"), *words], cwd=folder, capture_output=True,
        text=True, timeout=60, env={"PYTHONPATH": str(ROOT)}, check=False,
    )
    return done.returncode, done.stdout, done.stderr


def wait_line(stream, pattern):
    """The first line of the stream that matches."""
    for line in stream:
        found = re.search(pattern, line)
        if found:
            return found
    raise AssertionError(f"it ended without {pattern}")


def read_commands(stream):
    """What the cluster tells a citizen to type."""
    assert wait_line(stream, "The day is over; its 8 nodes stay up until Ctrl-C.")
    join = wait_line(stream, r"veche (node --join .*)").group(1).split()
    wait_line(stream, r"http://127\.0\.0\.1:\d+/")
    make = wait_line(stream, r"veche (node checkpoint .*)").group(1).split()
    begin = wait_line(stream, r"veche (node --join .* --checkpoint .*)").group(1).split()
    return join, make, begin


async def test_a_citizen_joins_a_cluster_and_finds_that_its_result_agrees(tmp_path):
    process = start(tmp_path / "run", "--stay", "--relays", "2", "--observers", "2")
    with trio.fail_after(120):
        join, make, begin = await trio.to_thread.run_sync(read_commands, process.stderr)
        commands = [join, make, begin, [*begin, "--json"]]
        results = [
            await trio.to_thread.run_sync(run_veche, tmp_path, *words) for words in commands
        ]
    (code, out, err), (made, _, _), (begun, later, _), (_, content, _) = results
    assert (code, made, begun) == (0, 0, 0), (err, results)
    assert "blocks 1 to " in out
    assert "the published result agrees, in every district" in out
    assert "from a checkpoint; its hash is" in later
    assert "the published result agrees, in every district" in later
    (voting,) = json.loads(content)["votings"]
    assert voting["agrees"]
    assert voting["stored"] >= 6
    # it is the stay that Ctrl-C ends: the day was lived, and is judged
    process.send_signal(signal.SIGINT)
    out, err = await trio.to_thread.run_sync(process.communicate)
    assert "Traceback" not in err
    assert process.returncode in (0, 99, 111), err
    assert "  STOPPED" not in out
    assert not list_processes(tmp_path)


async def test_a_stay_of_a_length_ends_by_itself(tmp_path):
    folder = tmp_path / "run"
    process = start(folder, "--stay", "2s")
    with trio.fail_after(120):
        _, err = await trio.to_thread.run_sync(process.communicate)
    assert "stay up for 2s, or until Ctrl-C" in err
    assert process.returncode in (0, 99, 111), err
    assert not list_processes(tmp_path)


async def test_whoever_joins_before_the_result_is_published_is_told_so(tmp_path):
    process = start(tmp_path / "run", "--speed", "10")
    try:
        with trio.fail_after(60):
            config = tmp_path / "run.nodes/relay-0/node.toml"
            code, out = None, ""
            while "voting 1" not in out:  # no event tells a stranger of a cluster's progress
                await trio.sleep_until(trio.current_time() + 0.3)
                if config.exists():
                    place = re.search('listen = "(.*)"', config.read_text()).group(1)
                    code, out, _ = await trio.to_thread.run_sync(
                        run_veche, tmp_path, "node", "--join", place
                    )
        assert (code, "no result is published yet" in out) == (111, True)
    finally:
        process.send_signal(signal.SIGINT)
        await trio.to_thread.run_sync(process.communicate)
