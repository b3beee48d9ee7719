import functools

import pytest
import trio

from node.host.command import main
from node.host.errors import HandshakeFailed, SettingsError
from node.host.genesis import save_genesis
from node.host.greeting import fetch_genesis
from node.host.joining import find_genesis, join
from node.host.outcome import describe
from node.host.process import open_parts
from node.host.settings import Address, Settings
from node.host.signals import Stop
from node.host.store import Store
from node.inputs import Role
from tests.node.host.elections import make_election_chain, store_chain
from tests.node.samples import make_identity


@pytest.fixture(scope="module")
def chain():
    return make_election_chain()


@pytest.fixture
def settings(chain, tmp_path):
    """Of an observer whose folder holds the chain."""
    folder = tmp_path / "served"
    store_chain(chain, folder)
    return Settings(
        role=Role.OBSERVER, genesis=folder, key=folder, data=folder,
        listen=Address("127.0.0.1", 0),
    )


async def serve(settings, genesis, task):
    """``task(address)`` in a thread, while a node with those settings runs here."""
    observer = make_identity("observer")
    with trio.fail_after(60), open_parts(settings, genesis, observer, []) as parts:
        async with trio.open_nursery() as nursery:
            await nursery.start(parts.host.run)
            given = await trio.to_thread.run_sync(task, Address(*parts.links.bound_address))
            nursery.cancel_scope.cancel()
    return given


@pytest.mark.slow
async def test_a_citizen_joins_recounts_and_finds_that_the_result_agrees(chain, settings):
    said = []

    def task(place):
        genesis = find_genesis(place, None, chain.chain_id.hex())
        return join(place, genesis, None, said.append)

    joined = await serve(settings, chain.genesis, task)
    assert (joined.height, joined.base) == (chain.height, None)
    (recounted,) = joined.recounts
    assert recounted.agrees
    assert any(f"height {chain.height:,}" in line for line in said)
    lines = describe(recounted)
    assert lines[0].startswith("voting 1: ")
    assert lines[-1] == "  the published result agrees, in every district"


@pytest.mark.slow
async def test_the_command_says_it_too_and_keeps_the_chain_if_asked(
    chain, settings, tmp_path, capsys
):
    file, data = tmp_path / "genesis.json", tmp_path / "kept"
    save_genesis(chain.genesis, file)

    def task(place):
        return [
            main(["--join", str(place), "--genesis", str(file), "--data", str(data), *more])
            for more in ([], ["--json"], ["--chain-id", "0" * 16])
        ]

    assert await serve(settings, chain.genesis, task) == [0, 0, 104]
    captured = capsys.readouterr()
    assert "the published result agrees" in captured.out
    assert '"agrees": true' in captured.out
    assert "genesis.json is of chain" in captured.err
    store = Store.open(data, chain.genesis)
    assert store.load().chain.height == chain.height
    store.close()


async def test_whoever_asks_a_node_of_another_chain_is_told_so(chain, settings):
    def task(place):
        with pytest.raises(SettingsError, match=chain.chain_id.hex()):
            find_genesis(place, None, "0" * 16)
        with pytest.raises(SettingsError, match="16 hex digits"):
            find_genesis(place, None, "abc")

    await serve(settings, chain.genesis, task)


async def test_whoever_asks_an_http_port_is_told_which_port_to_give():
    async def answer(stream):
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    async with trio.open_nursery() as nursery:
        (listener, *_) = await nursery.start(
            functools.partial(trio.serve_tcp, host="127.0.0.1"), answer, 0
        )
        _, port, *_ = listener.socket.getsockname()
        with pytest.raises(HandshakeFailed, match=r"not veche: give the port.*\(http\)"):
            await fetch_genesis("127.0.0.1", port)
        nursery.cancel_scope.cancel()


def test_where_nobody_answers_the_reason_is_said():
    with pytest.raises(HandshakeFailed, match=r"127\.0\.0\.1:1"):
        find_genesis(Address("127.0.0.1", 1), None, None)


async def test_whoever_is_asked_to_stop_while_it_syncs_leaves_no_folder(chain, tmp_path):
    stop, met = Stop(), trio.Event()

    async def say_nothing(_):
        met.set()
        await trio.sleep_forever()

    def task(port):
        with pytest.raises(KeyboardInterrupt):
            join(Address("127.0.0.1", port), chain.genesis, tmp_path / "data",
                 lambda _: None, stop=stop)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            (listener, *_) = await nursery.start(
                functools.partial(trio.serve_tcp, host="127.0.0.1"), say_nothing, 0
            )
            _, port, *_ = listener.socket.getsockname()
            async with trio.open_nursery() as joining:
                joining.start_soon(trio.to_thread.run_sync, task, port)
                await met.wait()
                stop.ask(2, None)
            nursery.cancel_scope.cancel()
    assert not (tmp_path / "data").exists()
