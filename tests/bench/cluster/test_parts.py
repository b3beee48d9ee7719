"""The cluster's parts alone: files of events, ports, the proxy, the clearing up."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import h11
import pytest
import trio
import trio.testing
from librt.vecs import vec
from mypy_extensions import i32

from bench.cluster.archive import Archive
from bench.cluster.city import ClusterCity
from bench.cluster.door import READS_WAITING_MAX, Door
from bench.cluster.follower import Follower, decode_event
from bench.cluster.janitor import Janitor, clear
from bench.cluster.places import find_ports, plan_places
from bench.cluster.proxy import RTO_NS, Proxies, Way
from bench.cluster.session import claim_nodes, keep
from node.events import BlockFinal, RoundChanged
from node.params import Params
from sim.costs import load_costs
from sim.identities import derive_identities, derive_identity, make_genesis
from sim.kernel import Kernel
from sim.last_miles import LastMiles
from sim.links import TABLE
from sim.rules import Loss, Partition, RuleSet, SlowLink
from sim.shared import SharedWork
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

SPEED = 20.0


def write(path, *lines):
    with path.open("ab") as file:
        for line in lines:
            file.write(line)


def make_line(event, **fields):
    return json.dumps(
        {"at_ns": 7, "monotonic_ns": 1, "event": event} | fields
    ).encode() + b"\n"


def test_a_follower_reads_whole_lines_once_and_waits_for_a_file(tmp_path):
    path = tmp_path / "events"
    follower = Follower(path)
    assert follower.read() == []
    line = make_line("BlockFinal", height=3, digest="ab" * 32)
    write(path, line, line[:20])
    (told,) = follower.read()
    assert decode_event(told) == BlockFinal(3, b"\xab" * 32)
    assert follower.read() == []
    write(path, line[20:], make_line("RoundChanged", height=4, round=1, cause="timeout"))
    assert [decode_event(told) for told in follower.read()] == [
        BlockFinal(3, b"\xab" * 32), RoundChanged(4, 1, "timeout"),
    ]
    write(path, make_line("Listening", address="x"))
    assert [decode_event(told) for told in follower.read()] == [None]


def make_city(folder):
    """A city of processes that are not run, who all are up but the last."""
    streams, work = Streams(1), SharedWork()
    topology = Topology.build(
        TopologyConfig(validators=4, relays=1, observers=0, validators_per_relay=2), streams
    )
    identities = derive_identities(1, topology)
    chief = derive_identity(1, "registrar")
    genesis = make_genesis(topology, identities, chief, Params(), 10**18)
    places = plan_places(folder, topology, genesis, [each.public for each in identities])
    for place in places:
        place.folder.mkdir()
    return ClusterCity(
        kernel=Kernel(), midnight_ns=0, topology=topology, genesis=genesis, costs=load_costs(),
        rules=RuleSet(vec[i32](range(TABLE))), miles=LastMiles(streams), work=work,
        processes=[SimpleNamespace(place=place, is_up=place is not places[-1])
                   for place in places],
        archive=Archive(genesis, work, lambda *_: None), read_now_ns=lambda: 0, speed=1.0,
    )


def test_what_nodes_tell_in_a_stay_does_not_count(tmp_path):
    city = make_city(tmp_path)
    files = [process.place.events for process in city.processes]
    for file in files:
        write(file, make_line("Counted", counters={"process.cpu_s": 3.0}))
    city.stop_following()
    for file in files:
        write(file, make_line("Stopped", counters={"process.cpu_s": 9.0}))
    city.read_endings()
    assert city.counters == [{"process.cpu_s": 3.0}] * 5
    assert city.killed == [0, 0, 0, 0, 1]


def test_ports_are_different_and_those_in_use_are_left_out():
    first = find_ports(3)
    with socket.create_server(("127.0.0.1", first[1])):
        again = find_ports(3)
    assert len({*first}) == 3
    assert first[1] not in again


class Echo:
    """Rules, proxies with one way from 0 to 1, and a server that says everything back."""

    def __init__(self):
        self.rules = RuleSet(vec[i32](range(TABLE)))
        self.proxies = Proxies(self.rules, lambda: round(trio.current_time() * 1e9 * SPEED),
                               SPEED)

    async def open(self, nursery):
        listeners = await nursery.start(trio.serve_tcp, self.answer, 0)
        port = await self.proxies.open(Way(0, 1, listeners[0].socket.getsockname()[1]))
        nursery.start_soon(self.proxies.run)
        return await trio.open_tcp_stream("127.0.0.1", port)

    async def answer(self, stream):
        while data := await stream.receive_some():
            await stream.send_all(data)

    async def time(self, stream):
        """Virtual seconds that a word takes there and back."""
        began_s = trio.current_time()
        await stream.send_all(b"word")
        assert await stream.receive_some() == b"word"
        return (trio.current_time() - began_s) * SPEED


async def test_a_proxy_carries_and_delays_as_the_rules_say(nursery):
    echo = Echo()
    async with await echo.open(nursery) as stream:
        assert await echo.time(stream) < 5
        slow = SlowLink(2, (1,), extra_ns=1_000_000_000)
        echo.rules.add(slow)
        assert await echo.time(stream) >= 2
        echo.rules.remove(slow)
        echo.rules.add(Loss(2, (0,), 0.0))
        assert await echo.time(stream) < 5
    nursery.cancel_scope.cancel()


async def test_what_is_lost_or_cut_off_comes_later_and_in_order(nursery):
    echo = Echo()
    async with await echo.open(nursery) as stream:
        cut = Partition(2, ((0,),))
        echo.rules.add(cut)
        await stream.send_all(b"one ")
        with trio.move_on_after(5 * RTO_NS / 1e9 / SPEED) as waited:
            await stream.receive_some()
        assert waited.cancelled_caught
        await stream.send_all(b"two")
        echo.rules.remove(cut)
        with trio.fail_after(10):
            got = b""
            while len(got) < 7:
                got += await stream.receive_some()
        assert got == b"one two"
    nursery.cancel_scope.cancel()


async def test_a_proxy_ends_with_either_side_and_refuses_for_who_is_down(nursery):
    echo = Echo()
    async with await echo.open(nursery) as stream:
        await stream.send_eof()
        with trio.fail_after(10):
            assert await stream.receive_some() == b""
            (port,) = find_ports(1)
            other = Proxies(echo.rules, lambda: 0, SPEED)
            there = await other.open(Way(0, 1, port))
            nursery.start_soon(other.run)
            async with await trio.open_tcp_stream("127.0.0.1", there) as near:
                assert await near.receive_some() == b""
    nursery.cancel_scope.cancel()


def make_run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def fail_within(folder):
    with claim_nodes(folder) as nodes:
        (nodes / "relay-0").mkdir()
        raise ValueError("broken")


def test_nodes_folders_are_gone_afterwards_and_stay_after_an_error(tmp_path):
    folder = make_run(tmp_path)
    with claim_nodes(folder) as nodes:
        (nodes / "relay-0").mkdir()
    assert [*tmp_path.iterdir()] == [folder]
    assert not any(folder.iterdir())
    with pytest.raises(ValueError, match="broken") as caught:
        fail_within(folder)
    assert "stderr.log" in caught.value.__notes__[0]
    assert (folder / "nodes" / "relay-0").is_dir()
    assert [*tmp_path.iterdir()] == [folder]
    assert not keep(tmp_path / "none", folder)


@pytest.mark.slow
async def test_a_janitor_clears_up_when_its_driver_is_killed(tmp_path):
    folder = make_run(tmp_path)
    nodes = tmp_path / "run.nodes"
    (nodes / "relay-0").mkdir(parents=True)
    driver = (
        "import sys; from pathlib import Path; from bench.cluster.janitor import Janitor\n"
        "janitor = Janitor(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-c", driver, str(nodes), str(folder)], cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    with trio.fail_after(30):
        # the janitor is nobody's child any more: only the files tell
        while folder.exists():  # noqa: ASYNC110
            await trio.sleep_until(trio.current_time() + 0.05)
    assert not nodes.exists()


def test_a_janitor_that_is_told_to_go_leaves_all_as_it_is(tmp_path):
    folder = make_run(tmp_path)
    nodes = tmp_path / "run.nodes"
    nodes.mkdir()
    with Janitor(nodes, folder):
        pass
    assert nodes.is_dir()
    clear(nodes, folder)
    assert not nodes.exists()
    assert not folder.exists()


class Desk:
    """A relay's HTTP that answers every GET, when it is let."""

    def __init__(self):
        self.paths = []

    async def serve(self, stream):
        http = h11.Connection(h11.SERVER)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                self.paths.append(event.target)
            elif isinstance(event, h11.EndOfMessage):
                answer = (h11.Response(status_code=200, headers=[("content-length", "2")]),
                          h11.Data(data=b"{}"), h11.EndOfMessage())
                await stream.send_all(b"".join(map(http.send, answer)))
                http.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return


async def test_readers_ask_for_real_and_what_is_too_much_is_left_out():
    desk = Desk()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, desk.serve, 0)
        door = Door(listeners[0].socket.getsockname()[1], lambda *_: None)
        nursery.start_soon(door.run)
        door.read(3)
        with trio.fail_after(5):
            while door.reads < 3:
                await trio.testing.wait_all_tasks_blocked(0.002)
        assert desk.paths == [b"/v1/head"] * 3
        assert door.left_out == 0
        door.read(1_000_000)
        assert door.left_out == 1_000_000 - READS_WAITING_MAX
        nursery.cancel_scope.cancel()


async def test_who_asks_a_relay_that_is_down_is_left_out():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:
            door = Door(unused.getsockname()[1], lambda *_: None)
            nursery.start_soon(door.run)
            door.read(2)
            with trio.fail_after(5):
                while door.left_out < 2:
                    await trio.testing.wait_all_tasks_blocked(0.002)
            assert door.reads == 0
            nursery.cancel_scope.cancel()
