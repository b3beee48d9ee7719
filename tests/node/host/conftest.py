"""A real chain to store: blocks with transactions, made once."""

import pytest

from node.block import decode_block
from node.host.replay import Checked
from node.host.store import Store
from tests.node.nodenet import NodeNet

HEIGHT = 40


@pytest.fixture(scope="session")
def city():
    """Four validators and a relay, 40 blocks of four transactions each."""
    net = NodeNet(observers=0, relays=1)
    nonce = 0
    while net.nodes[0].chain.height < HEIGHT:
        for _ in range(4):
            nonce += 1
            assert net.submit(4, net.make_grant(nonce)) == "accepted"
        net.run(5)
    return net


@pytest.fixture
def opened(city, tmp_path):
    """A function that opens stores in the test's folder; they are closed at its end."""
    stores = []

    def open_store(folder=tmp_path / "data", every=6):
        store = Store.open(folder, city.genesis, snapshot_every_blocks=every)
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


class Writer:
    """Puts the city's blocks upon a store's chain, with a promise before each."""

    def __init__(self, city, store):
        self.city = city
        self.store = store
        self.loaded = store.load()
        self.chain = self.loaded.chain

    def take(self):
        """The next block, in memory only; its encoding."""
        height = self.chain.height + 1
        encoded = self.city.nodes[0].chain.get_encoded(height)
        block = decode_block(encoded, self.city.genesis.params)
        self.chain.take(self.chain.plan_step(encoded, block, Checked()))
        return block.encoded

    def write(self, blocks=1, lock=None):
        """The next blocks and a lock, in one group."""
        entries = [("block", self.take()) for _ in range(blocks)]
        if lock is not None:
            entries.insert(0, ("lock", lock))
        self.store.write(entries, self.chain)

    def write_to(self, height):
        while self.chain.height < height:
            self.write(lock=b"lock %d" % (self.chain.height + 1))


@pytest.fixture
def writer(city, opened):
    """Opens a store and makes its Writer."""
    return lambda *args, **named: Writer(city, opened(*args, **named))
