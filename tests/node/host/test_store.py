"""The store of one node: what was acknowledged comes back, and nothing that does not add up."""

import sqlite3

import pytest

from node.block import decode_block
from node.chain import Chain
from node.host import archive
from node.host.errors import DiskFull, StoreBusy, StoreDamaged, StoreError
from node.host.store import DATABASE, WITNESS, Store
from node.params import Genesis
from tests.node.samples import make_identity


def assert_same_chain(chain, city, height):
    assert chain.height == height
    there = city.nodes[0].chain
    for each in range(height + 1):
        assert chain.get_encoded(each) == there.get_encoded(each)
        assert chain.get_header(each) == there.get_header(each)
    assert chain.state.root == there.get_header(height).state_root
    assert chain.authorities == there.authorities


def test_a_new_folder_holds_genesis_and_no_promise(city, opened):
    store = opened()
    loaded = store.load()
    assert (store.height, store.commits) == (0, 0)
    assert_same_chain(loaded.chain, city, 0)
    assert loaded.lock is None
    assert loaded.slots == {}


def test_blocks_and_promises_come_back(city, opened, writer):
    first = writer()
    first.write_to(20)
    first.store.write([("sequence", b"a"), ("lock", b"b"), ("lock", b"c")], first.chain)
    first.store.close()
    loaded = opened().load()
    assert_same_chain(loaded.chain, city, 20)
    assert loaded.lock == b"c"
    assert loaded.slots == {"lock": b"c", "sequence": b"a"}


def test_a_loaded_chain_grows_on(city, opened, writer):
    for height in (3, 7, 8, 19, 33, 40):
        each = writer()
        each.write_to(height)
        each.store.close()
    assert_same_chain(opened().load().chain, city, 40)


def test_several_blocks_are_one_group(city, opened, writer):
    first = writer()
    first.write(blocks=9, lock=b"x")
    assert first.store.commits == 1
    first.write(blocks=2)
    first.store.close()
    assert_same_chain(opened().load().chain, city, 11)


def test_a_chain_that_grows_while_a_copy_of_it_is_stored(city, opened, writer):
    first = writer()
    entry = ("block", first.take())
    copy = first.chain.copy()
    later = ("block", first.take())
    first.store.write([entry], copy)
    first.store.write([later], first.chain)
    first.store.close()
    assert_same_chain(opened().load().chain, city, 2)


def test_a_start_replays_only_what_is_above_the_snapshot(city, opened, writer):
    first = writer(every=8)
    first.write_to(40)
    first.store.close()
    with sqlite3.connect(first.store.folder / DATABASE) as connection:
        # were the first blocks replayed, this would be noticed
        connection.execute("UPDATE block SET encoded = x'00' WHERE height <= 20")
    connection.close()
    loaded = opened(every=8).load()
    assert loaded.chain.height == 40
    assert loaded.chain.state.root == city.nodes[0].chain.get_header(40).state_root
    with pytest.raises(StoreDamaged, match="block 20"):
        loaded.chain.get_encoded(20)


@pytest.mark.parametrize("every", [1, 3, 13, 100])
def test_snapshots_of_any_pace_give_the_same_state(city, opened, writer, every):
    for height in (7, 9, 23, 40):
        each = writer(every=every)
        each.write_to(height)
        each.store.close()
    store = opened(every=every)
    assert_same_chain(store.load().chain, city, 40)
    verified = store.verify()
    assert (verified.height, verified.transactions) == (40, 160)
    assert (verified.snapshot_height == 0) is (every == 100)


def test_many_bytes_make_a_snapshot_too(city, opened, tmp_path):
    store = Store.open(tmp_path / "bytes", city.genesis, snapshot_every_bytes=8_000)
    chain = store.load().chain
    source = city.nodes[0].chain
    for height in range(1, 41):
        step = chain.plan_step(*_get_block(source, height, city), city.nodes[0].work)
        chain.take(step)
        store.write([("block", step.block.encoded)], chain)
    assert 0 < store.verify().snapshot_height < 40
    store.close()


def _get_block(source, height, city):
    encoded = source.get_encoded(height)
    return encoded, decode_block(encoded, city.genesis.params)


def test_old_blocks_are_read_from_disk(city, writer, monkeypatch):
    monkeypatch.setattr(archive, "RECENT_BLOCKS", 4)
    first = writer()
    first.write_to(30)
    encodings = first.chain.trunk.encodings
    assert len(encodings) == 31
    assert len(encodings._items) == len(first.chain.trunk.headers._items) == 4
    assert_same_chain(first.chain, city, 30)
    for _ in range(10):
        first.take()  # not written: they stay
    assert len(encodings._items) == 14
    assert_same_chain(first.chain, city, 40)


def test_few_bytes_of_blocks_stay_in_memory(city, writer, monkeypatch):
    monkeypatch.setattr(archive, "RECENT_BYTES", 10_000)
    first = writer()
    first.write_to(40)
    items = first.chain.trunk.encodings._items
    assert 0 < sum(map(len, items.values())) <= 10_000
    assert 40 in items


def test_a_second_process_finds_the_folder_busy(city, opened):
    store = opened()
    with pytest.raises(StoreBusy, match="another process"):
        opened()
    store.close()
    opened().load()


def test_a_folder_of_another_chain_is_refused(city, writer, tmp_path):
    writer().store.close()
    other = Genesis(
        params=city.genesis.params, validators=city.genesis.validators,
        relays=city.genesis.relays, registrar=make_identity("other").public,
        time_ns=city.genesis.time_ns,
    )
    with pytest.raises(StoreError, match="holds chain"):
        Store.open(tmp_path / "data", other)
    (tmp_path / "data" / WITNESS).write_bytes(b"")
    with pytest.raises(StoreError, match="holds chain"):
        Store.open(tmp_path / "data", other)


def test_a_database_that_forgot_commits_is_refused(city, opened, writer, tmp_path):
    folder = tmp_path / "data"
    first = writer()
    first.write_to(3)
    first.store.close()
    old = (folder / DATABASE).read_bytes()
    second = writer()
    second.write(lock=b"promise")
    second.store.close()
    (folder / DATABASE).write_bytes(old)
    with pytest.raises(StoreDamaged, match="3 commits of 4"):
        opened()
    (folder / DATABASE).unlink()
    with pytest.raises(StoreDamaged, match="is gone"):
        opened()


def test_a_witness_that_is_gone_or_garbled_is_missed(opened, writer, tmp_path):
    first = writer()
    first.write_to(3)
    first.store.close()
    witness = tmp_path / "data" / WITNESS
    content = witness.read_bytes()
    for wrong in (b"", bytes(len(content)), b"garbage" * 100):
        witness.write_bytes(wrong)
        with pytest.raises(StoreDamaged):
            opened()
    for sector in (0, 4096):  # one of two sectors is enough
        torn = bytearray(content)
        torn[sector : sector + 32] = b"?" * 32
        witness.write_bytes(torn)
        store = opened()
        assert store.commits == 3
        store.close()


def test_an_interrupted_creation_is_begun_again(city, opened, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / WITNESS).write_bytes(b"")
    (folder / DATABASE).write_bytes(b"")
    store = opened()
    assert_same_chain(store.load().chain, city, 0)


def test_slots_of_another_commit_are_refused(opened, writer, tmp_path):
    first = writer()
    first.write_to(3)
    first.store.close()
    for statement in (
        "UPDATE slot SET data = x'00' WHERE name = 'lock'", "DELETE FROM slot",
        "UPDATE head SET record = x'00'", "DELETE FROM head", "DROP TABLE slot",
        "DELETE FROM block WHERE height = 3", "UPDATE block SET height = 9 WHERE height = 2",
        "UPDATE block SET checksum = NULL",
    ):
        path = tmp_path / "data" / DATABASE
        content = path.read_bytes()
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(statement)
            connection.commit()
        except sqlite3.IntegrityError:
            continue  # the column holds that off
        finally:
            connection.close()
        with pytest.raises(StoreDamaged):
            load_and_close(opened)
        path.write_bytes(content)


def load_and_close(opened):
    store = opened()
    try:
        store.load()
    finally:
        store.close()


def test_verify_names_what_is_wrong_with_an_old_block(city, opened, writer, tmp_path):
    first = writer()
    first.write_to(40)
    heights = []
    assert first.store.verify(on_block=heights.append).height == 40
    assert heights == list(range(1, 41))
    first.store.close()
    other = archive.compute_block_checksum(5, b"no block")
    with sqlite3.connect(tmp_path / "data" / DATABASE) as connection:
        connection.execute(
            "UPDATE block SET encoded = ?, checksum = ? WHERE height = 5", (b"no block", other)
        )
    connection.close()
    store = opened()
    store.load()
    with pytest.raises(StoreDamaged, match="block 5: block encoding"):
        store.verify()


def test_verify_finds_a_snapshot_that_is_not_the_chains(opened, writer, tmp_path):
    first = writer()
    first.write_to(40)
    first.store.close()
    path = tmp_path / "data" / DATABASE
    content = path.read_bytes()
    for statement in (
        "DELETE FROM bucket WHERE key >> 40 = (SELECT min(key) >> 40 FROM bucket)",
        "UPDATE bucket SET records = x'90'", "UPDATE bucket SET key = key + (1 << 40)",
        "UPDATE bucket SET records = x'ff'", "UPDATE bucket SET records = 'text'",
    ):
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        for check in (Store.load, Store.verify):
            store = opened()
            with pytest.raises(StoreDamaged, match="snapshot"):
                check(store)
            store.close()
        path.write_bytes(content)


def test_a_full_database_says_so_and_stays_shut(city, opened, writer):
    first = writer()
    first.write_to(10)
    pages = first.store._connection.execute("PRAGMA page_count").fetchone()[0]
    first.store._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(DiskFull):
        first.write_to(40)
    acknowledged = first.store.height
    assert 10 <= acknowledged < 40
    with pytest.raises(StoreError, match="an earlier write failed"):
        first.store.write([("lock", b"small")], first.chain)
    first.store.close()
    loaded = opened().load()
    assert_same_chain(loaded.chain, city, acknowledged)
    assert loaded.lock == b"lock %d" % acknowledged


def test_a_wrong_block_is_never_stored(city, writer):
    first = writer()
    first.take()
    with pytest.raises(AssertionError, match="order"):
        first.store.write([("block", b"another")], first.chain)
    with pytest.raises(AssertionError, match="own slot"):
        first.store.write([("snapshot", b"")], first.chain)
    first.store.write([], first.chain)
    assert first.store.commits == 0


def test_a_chain_resumes_only_at_its_own_state(city):
    chain = city.nodes[0].chain
    with pytest.raises(AssertionError):
        Chain.resume(city.genesis, chain.trunk, Chain(city.genesis).state, chain.authorities)
