"""anvil beside the cluster: found, started, pushed, watched, judged and ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from bench.__main__ import find_anvil, main
from bench.anvil.installed import FOLDER, NotInstalled, describe_platform, find_installed
from bench.anvil.keeper import __file__ as keeper
from bench.anvil.measure import Anvil
from bench.cluster.saturated import Load
from bench.table import WIDTH, format_table

ROOT = Path(__file__).parents[3]
FAKE = Path(__file__).with_name("fake_anvil.py")
LOAD = Load(ballots=300, warm_up_s=0.02, backlog_max=10, batch=5, connections=2)
SIGNER = (
    "import sys\n"
    "first, count, senders = map(int, sys.argv[1:])\n"
    "for number in range(first, first + count): print(hex(number))\n"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """As npm leaves it, with a fake anvil; and a node on the PATH, that nobody runs."""
    modules = tmp_path / "node_modules"
    package = modules / "@foundry-rs" / f"anvil-{describe_platform()}"
    (package / "bin").mkdir(parents=True)
    (modules / "ethers").mkdir()
    (modules / "ethers" / "package.json").write_text("{}")
    (package / "package.json").write_text(json.dumps({"version": "1.2.3"}))
    for path, text in ((package / "bin" / "anvil", FAKE.read_text(encoding="utf-8")),
                       (tmp_path / "bin" / "node", "")):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def make_anvil(folder, *ways, signer=SIGNER):
    found = find_installed(folder)
    for way in ways:
        (found.binary.parent / way).touch()
    return Anvil(
        installed=replace(found, signer=(sys.executable, "-c", signer)), load=LOAD, times=1
    )


def list_running(folder):
    """Command lines that name something in ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if str(folder).encode() in words:
            found.append(words)
    return found


def test_its_transfers_a_second_stand_beside_the_clusters(folder):
    anvil = make_anvil(folder)
    anvil.sign()
    anvil.run()
    anvil.run()
    assert anvil.failure == ""
    figures = anvil.list_figures([100.0, 100.0])
    by_name = {figure.name: figure for figure in figures}
    rate = by_name["anvil.transfers_per_s"]
    assert [100 / value for value in rate.values] == pytest.approx(
        by_name["anvil.ratio"].values
    )
    assert len(by_name["anvil.window_per_s"].values) == 8
    assert all(value > 0 for value in rate.values)
    assert anvil.describe(figures).startswith("anvil 1.2.3: ")
    assert all(len(line) <= WIDTH for line in format_table(figures).splitlines())
    assert list_running(folder) == []


@pytest.mark.parametrize(("ways", "signer", "why"), [
    (["lazy"], SIGNER, "0 of 300 transfers were executed"),
    (["dead"], SIGNER, "ended by itself, exit code 1; last it said: the port is taken"),
    ([], SIGNER.replace("hex(number)", "'0xbad'"), "refused: {'nonce too low'"),
    ([], "raise SystemExit('no ethers')", "signing: no ethers"),
    ([], "", "0 of 300 transfers were signed"),
])
def test_what_it_does_not_carry_is_no_figure_and_told_in_a_line(folder, ways, signer, why):
    anvil = make_anvil(folder, *ways, signer=signer)
    anvil.sign()
    anvil.run()
    assert why in anvil.failure
    assert anvil.list_figures([1.0]) == []
    assert anvil.describe([]).startswith("anvil 1.2.3: not measured, ")
    assert list_running(folder) == []


def start_driver(folder):
    code = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from bench.anvil.installed import find_installed\n"
        "from bench.anvil.measure import Anvil\n"
        "from bench.cluster.saturated import Load\n"
        "found = find_installed(Path(sys.argv[1]))\n"
        "found = replace(found, signer=(sys.executable, '-c', sys.argv[2]))\n"
        "anvil = Anvil(installed=found, load=Load(ballots=300))\n"
        "anvil.sign()\n"
        "anvil.run()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), SIGNER], cwd=ROOT, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def test_ctrl_c_leaves_no_anvil(folder):
    make_anvil(folder, "still")
    driver = start_driver(folder)
    with trio.fail_after(60):
        while not any(b"--port" in words for words in list_running(folder)):  # noqa: ASYNC110
            await trio.sleep_until(trio.current_time() + 0.02)
    driver.send_signal(signal.SIGINT)
    _, told = await trio.to_thread.run_sync(driver.communicate)
    assert told.decode().rstrip().endswith("KeyboardInterrupt")
    assert list_running(folder) == []


@pytest.mark.parametrize("limit", ["60", "0"], ids=["its-starter-is-gone", "too-long"])
def test_a_keeper_ends_what_it_holds(limit):
    held = subprocess.Popen(
        [sys.executable, "-I", keeper, limit, sys.executable, "-c", "input(); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    pid = int(held.stdout.readline())
    if limit == "60":
        assert Path(f"/proc/{pid}").exists()
        held.stdin.close()
    assert held.wait(20) == 128 + signal.SIGKILL
    assert not Path(f"/proc/{pid}").exists()
    held.stdin.close()
    held.stdout.close()


@pytest.mark.parametrize("missing", ["ethers", "@foundry-rs"])
def test_a_folder_without_it_is_told_before_anything_is_measured(folder, missing):
    shutil.rmtree(folder / "node_modules" / missing)
    answer = CliRunner().invoke(main, ["cluster", "--anvil", str(folder)])
    assert answer.exit_code == 2
    assert f"--anvil {folder}: " in answer.output
    assert missing in answer.output
    assert "is not there" in answer.output


def test_without_node_nothing_is_found_and_a_line_tells_what_to_do(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotInstalled, match="no node"):
        find_installed(folder)
    anvil, told = find_anvil(None, LOAD)
    assert anvil is None
    assert told == (
        "anvil: not installed, so not measured; with Node.js: npm install --prefix bench/anvil"
    )


def test_a_run_that_fails_after_others_is_told_beside_them(folder):
    anvil = make_anvil(folder)
    anvil.sign()
    anvil.run()
    (anvil.installed.binary.parent / "dead").touch()
    anvil.run()
    anvil.run()
    figures = anvil.list_figures([100.0, 100.0, 100.0])
    assert len(figures[0].values) == 1
    told = anvil.describe(figures)
    assert "transfers/s" in told
    assert "then it failed: anvil ended by itself" in told


def test_a_folder_and_none_is_a_contradiction(folder):
    answer = CliRunner().invoke(main, ["cluster", "--no-anvil", "--anvil", str(folder)])
    assert answer.exit_code == 2
    assert "not both" in answer.output


def is_installed():
    try:
        return bool(find_installed(FOLDER))
    except NotInstalled:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not is_installed(), reason="make anvil installs it")
def test_the_real_one_executes_what_ethers_signed():
    load = replace(LOAD, ballots=240, backlog_max=20, warm_up_s=1.0)
    anvil = Anvil(installed=find_installed(FOLDER), load=load, times=1)
    anvil.sign()
    anvil.run()
    assert anvil.failure == ""
    (carried,) = anvil.runs
    assert carried.steady.compute_block_rate() == pytest.approx(1, rel=0.2)
