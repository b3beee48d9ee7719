import sqlite3

import pytest
import trio

from node.block import decode_block
from node.chain import Chain
from node.host.index import CHUNK_BLOCKS, Index, Place
from node.merkle import MerkleTree
from node.receipt import decode_receipt
from node.work import Work
from tests.node.host.desks import FakeDesk


@pytest.fixture
def desk():
    return FakeDesk()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index.sqlite"


def restart(desk):
    """The desk after a restart whose chain came from a snapshot: no output of its head."""
    chain = Chain(desk.genesis)
    for height in range(1, desk.chain.height + 1):
        block = desk.net.nodes[0].chain.get_encoded(height)
        take(chain, block)
    chain.output = None
    desk.chain = chain


def take(chain, encoded):
    block = decode_block(encoded, chain.genesis.params)
    chain.take(chain.plan_step(encoded, block, Work()))


async def follow(nursery, index, desk):
    nursery.start_soon(index.follow, desk)
    await index.wait(desk.chain.height)


async def test_a_transaction_is_found_as_soon_as_its_block_is_indexed(desk, path):
    index = Index.open(path, desk.genesis)
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        first, second = desk.grant(), desk.grant()
        await index.wait(desk.chain.height)
        assert await index.find(bytes(32)) is None
        places = [await index.find(name) for name in (first, second)]
        assert places == [Place(desk.chain.height - 1, 0), Place(desk.chain.height, 0)]
        page = await index.read_page(desk.chain.height)
        assert page.tree.root == desk.chain.head.receipts_root
        assert decode_receipt(page.receipts[0]).transaction_id == second
        nursery.cancel_scope.cancel()


async def test_blocks_that_came_several_at_a_time_are_executed_again(desk, path):
    ids = [desk.grant() for _ in range(CHUNK_BLOCKS + 3)]
    index = Index.open(path, desk.genesis)
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        assert [(await index.find(name)).height for name in ids] == list(
            range(1, desk.chain.height + 1)
        )
        for height in range(1, desk.chain.height + 1):
            page = await index.read_page(height)
            assert page.tree.root == desk.chain.get_header(height).receipts_root
        desk.net.reach(desk.chain.height + 2)
        late = desk.grant()
        await index.wait(desk.chain.height)
        assert (await index.find(late)).height == desk.chain.height
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("missed", [0, 1, 3])
async def test_a_restart_goes_on_where_the_file_ends(desk, path, missed):
    index = Index.open(path, desk.genesis)
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        ids = [desk.grant() for _ in range(3)]
        await index.wait(3)
        nursery.cancel_scope.cancel()
    index.close()
    ids += [desk.grant() for _ in range(missed)]
    restart(desk)
    index = Index.open(path, desk.genesis)
    assert index.height == 3
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        assert index.height == 3 + missed
        assert [(await index.find(name)).height for name in ids] == list(range(1, 4 + missed))
        nursery.cancel_scope.cancel()


async def test_a_file_that_is_ahead_of_the_chain_waits_for_it(desk, path):
    index = Index.open(path, desk.genesis)
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        ids = [desk.grant() for _ in range(3)]
        await index.wait(3)
        nursery.cancel_scope.cancel()
    full, desk.chain = desk.chain, Chain(desk.genesis)
    take(desk.chain, full.get_encoded(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.follow, desk)
        await trio.testing.wait_all_tasks_blocked()
        for height in (2, 3):
            take(desk.chain, full.get_encoded(height))
        desk.tell()
        await trio.testing.wait_all_tasks_blocked()
        assert index.height == 3
        desk.net.nodes[-1].chain = desk.chain
        ids.append(desk.grant())
        await index.wait(4)
        assert [(await index.find(name)).height for name in ids] == [1, 2, 3, 4]
        nursery.cancel_scope.cancel()


async def test_another_history_of_the_same_chain_is_forgotten(desk, path):
    index = Index.open(path, desk.genesis)
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        old = desk.grant()
        await index.wait(1)
        await index.read_page(1)
        nursery.cancel_scope.cancel()
    again = FakeDesk()
    again.net.reach(2)
    new = again.grant()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.follow, again)
        await trio.testing.wait_all_tasks_blocked()
        await index.wait(3)
        assert await index.find(old) == await index.find(new) == Place(3, 0)
        assert (await index.read_page(1)).receipts == ()
        nursery.cancel_scope.cancel()


async def test_the_receipt_that_counts_is_the_one_with_ok(desk, path):
    index = Index.open(path, desk.genesis)
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        first = desk.net.make_grant(1)
        second = desk.net.make_grant(2)
        for relay, transaction in zip(desk.net.relays, (second, first), strict=True):
            desk.net.submit(relay, transaction)
            desk.grow()
        desk.net.submit(desk.net.relays[0], second)  # now its nonce comes next
        desk.grow()
        desk.net.submit(desk.net.relays[1], second)
        desk.grow()
        await index.wait(desk.chain.height)
        receipts = [(await index.read_page(height)).receipts for height in range(1, 5)]
        statuses = [decode_receipt(receipt).status for (receipt,) in receipts]
        assert statuses == ["nonce gap", "ok", "ok", "duplicate"]
        name = decode_receipt(receipts[0][0]).transaction_id
        assert await index.find(name) == Place(3, 0)
        nursery.cancel_scope.cancel()


async def test_pages_in_memory_are_few(desk, path):
    for _ in range(12):
        desk.grow()
    index = Index.open(path, desk.genesis)
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        for height in range(1, 13):
            page = await index.read_page(height)
            assert await index.read_page(height) is page
            assert page.tree.root == MerkleTree(()).root
        assert len(index._pages) == 8
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, "other chain", "other version"])
async def test_a_file_that_is_no_index_of_this_chain_is_begun_anew(desk, path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        genesis = FakeDesk(validators=7).genesis if content == "other chain" else desk.genesis
        Index.open(path, genesis).close()
        if content == "other version":
            with sqlite3.connect(path) as connection:
                connection.execute("PRAGMA user_version = 99")
            connection.close()
    name = desk.grant()
    index = Index.open(path, desk.genesis)
    assert index.height == 0
    async with trio.open_nursery() as nursery:
        await follow(nursery, index, desk)
        assert await index.find(name) == Place(1, 0)
        nursery.cancel_scope.cancel()


async def test_a_disk_that_refuses_stops_the_index_and_nothing_else(desk, path):
    index = Index.open(path, desk.genesis)
    desk.grant()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE found")
    connection.close()
    await index.follow(desk)
    assert index.fault == "the index stopped at block 0: no such table: found"
    await index.wait(100)


def test_a_folder_that_is_not_there_is_an_error_of_the_caller(desk, tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        Index.open(tmp_path / "none" / "index.sqlite", desk.genesis)
