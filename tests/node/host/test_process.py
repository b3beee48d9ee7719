import signal

import pytest
import trio

from node.host.command import main
from tests.node.host.processes import City

pytestmark = pytest.mark.slow


@pytest.fixture
def city(tmp_path, capsys):
    city = City(tmp_path, capsys)
    yield city
    for name in list(city.running):
        city.kill(name)


async def test_real_processes_are_one_chain_also_after_a_kill_and_stop_in_order(
    city, capsys
):
    city.start()
    await city.reach(2)
    city.kill("v3")
    killed_at = max(city.get_finals("v3"))
    await city.reach(killed_at + 3, "v0", "o0")
    city.start("v3")
    await city.reach(killed_at + 6)
    for name in ("r0", "o0"):
        health = await trio.to_thread.run_sync(city.fetch, name, "/health")
        assert health["status"] == "ok"
        assert health["height"] >= killed_at + 6
    assert set(city.stop().values()) == {0}
    chains = [city.get_finals(name) for name in city.names]
    common = set.intersection(*({*chain.items()} for chain in chains))
    assert len(common) >= killed_at + 6
    assert all(len({*chain.items()} - common) <= 3 for chain in chains)
    for name in ("v3", "r0"):
        capsys.readouterr()
        assert main(["--config", str(city.folder / name / "node.toml"), "--verify"]) == 0
        assert "replayed from genesis" in capsys.readouterr().out


async def test_two_processes_cannot_have_one_folder_and_ctrl_c_stops_a_node(city, capsys):
    city.start("v0")
    first = city.running["v0"]
    assert "listens on" in first.stderr.readline()
    assert main(["--config", str(city.folder / "v0" / "node.toml")]) == 112
    assert "another process uses this folder" in capsys.readouterr().err
    assert city.stop(signal.SIGINT) == {"v0": 0}


async def test_many_signals_at_once_are_one_orderly_stop(city):
    city.start("v0")
    first = city.running["v0"]
    assert "listens on" in first.stderr.readline()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        first.send_signal(number)
    assert city.stop() == {"v0": 0}
