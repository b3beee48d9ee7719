import pytest
import trio
import trio.testing

from node.block import decode_block
from node.bundle import make_bundle
from node.chain import Chain
from node.host.inspection import Inspector
from node.host.memory import WorkMemory
from node.host.meter import Meter
from node.host.pool import Checker, Threads
from node.inputs import PeerLeft, Received, Role, Submitted
from node.transaction import make_transaction
from node.wire import frame_block, frame_bundle, frame_given, frame_status
from tests.node.nodenet import NodeNet
from tests.node.samples import make_identity

RELAY = make_identity("relay 0")
PEER, OTHER = 7, 8


class CountingThreads(Threads):
    """Does the work at once, when it is let, and notes whose."""

    def __init__(self):
        super().__init__(0, Meter())
        self.calls = []
        self.gate = trio.Event()
        self.gate.set()

    async def run(self, kind, function, *arguments):
        self.calls.append(function.__name__)
        await self.gate.wait()
        return await super().run(kind, function, *arguments)


class Bench:
    """A checker over the chain of a city that has run for a while."""

    def __init__(self, role):
        self.net = NodeNet(relays=1)
        self.net.submit(4, self.net.make_grant(1))
        self.net.reach(4)
        source = self.net.nodes[0].chain
        self.blocks = [source.get_encoded(number) for number in range(1, 5)]
        genesis = self.net.genesis
        self.chain_id = genesis.compute_chain_id()
        self.work = WorkMemory(Meter())
        self.threads = CountingThreads()
        self.woken = 0
        self.checker = Checker(
            genesis, self.chain_id, Inspector(Chain(genesis), role, self.work), self.work,
            self.threads, self._wake, Meter(),
        )

    def _wake(self):
        self.woken += 1

    def find_full(self):
        """The block that carries the transaction."""
        params = self.net.genesis.params
        return next(item for item in self.blocks if decode_block(item, params).bundles)

    def make_bundle(self, count=3, sequence=0, relay=RELAY, chain_id=None, forge=None):
        items = [
            bytearray(make_transaction(
                make_identity(f"{sequence} {n}"), chain_id or self.chain_id, 3, 0, [n]
            ))
            for n in range(count)
        ]
        if forge is not None:
            items[forge][-1] ^= 1
        return make_bundle(relay, self.chain_id, sequence, [bytes(item) for item in items])


@pytest.fixture
async def bench(nursery):
    bench = Bench(Role.VALIDATOR)
    await nursery.start(bench.checker.run)
    return bench


@pytest.fixture
async def watcher(nursery):
    bench = Bench(Role.OBSERVER)
    await nursery.start(bench.checker.run)
    return bench


async def settle(bench):
    await trio.testing.wait_all_tasks_blocked()
    return bench.checker.take_done()


async def test_a_bundle_waits_until_its_signatures_are_checked_and_then_costs_none(bench):
    encoded = bench.make_bundle()
    received = Received(PEER, frame_bundle(encoded))
    assert not bench.checker.pass_by(received)
    assert await settle(bench) == [received]
    assert bench.checker.checks == 4
    bundle = bench.work.get_bundle(encoded)
    assert bench.work.is_verified(bundle)
    assert bench.checker.pass_by(Received(OTHER, frame_bundle(encoded)))


async def test_one_bundle_of_two_peers_is_checked_once(bench):
    bench.threads.gate = trio.Event()
    frame = frame_bundle(bench.make_bundle())
    both = [Received(PEER, frame), Received(OTHER, frame)]
    assert [bench.checker.pass_by(item) for item in both] == [False, False]
    bench.threads.gate.set()
    assert await settle(bench) == both
    assert bench.checker.checks == 4


async def test_of_a_bundle_with_one_forgery_the_others_are_remembered(bench):
    encoded = bench.make_bundle(forge=1)
    assert not bench.checker.pass_by(Received(PEER, frame_bundle(encoded)))
    assert len(await settle(bench)) == 1
    bundle = bench.work.get_bundle(encoded)
    assert not bench.work.is_verified(bundle)
    remembered = [
        bench.work.is_checked(item.sender, item.id, item.signature)
        for item in bundle.transactions
    ]
    assert remembered == [True, False, True]


@pytest.mark.parametrize("make", [
    lambda bench: bench.make_bundle(relay=make_identity("stranger")),
    lambda bench: bench.make_bundle(chain_id=b"elsewher"),
    lambda bench: bench.make_bundle()[:-1] + b"\0",
])
async def test_what_nobody_answers_for_costs_at_most_one_check(bench, make):
    received = Received(PEER, frame_bundle(make(bench)))
    assert not bench.checker.pass_by(received)
    assert await settle(bench) == [received]
    assert bench.checker.checks <= 1


@pytest.mark.parametrize("frame", [
    b"", b"\x92", b"\x92\x02", b"\x92\x02\xc4\x05abc", b"\x92\x03\xc4\x01a", b"\x93\x06\0\0",
    b"\x92\x05\x91\x01", b"\x92\x06\xc5\x02\x58" + bytes(600), frame_status(3, bytes(32)),
])
async def test_what_carries_no_bundle_passes_by(bench, frame):
    assert bench.checker.pass_by(Received(PEER, frame))


async def test_final_blocks_keep_their_order(watcher):
    watcher.threads.gate = trio.Event()
    given = [Received(PEER, frame_block(encoded)) for encoded in watcher.blocks]
    full = watcher.blocks.index(watcher.find_full())
    assert full < len(given) - 1
    assert not watcher.checker.pass_by(given[full])
    assert [watcher.checker.pass_by(item) for item in given[full + 1:]] == [
        False for _ in given[full + 1:]
    ]
    assert watcher.checker.take_done() == []
    watcher.threads.gate.set()
    assert await settle(watcher) == given[full:]
    assert watcher.checker.pass_by(Received(PEER, frame_given([])))


async def test_a_block_without_a_quorum_of_seals_is_not_worth_a_check(watcher):
    full = watcher.find_full()
    forged = bytearray(full)
    at = full.find(b"\xc4\x40") + 2
    forged[at] ^= 1
    assert watcher.checker.pass_by(Received(PEER, frame_block(bytes(forged))))
    assert not watcher.checker.pass_by(Received(PEER, frame_block(full)))


async def test_a_peer_leaves_behind_all_that_it_sent(bench):
    bench.threads.gate = trio.Event()
    received = Received(PEER, frame_bundle(bench.make_bundle()))
    assert not bench.checker.pass_by(received)
    assert bench.checker.leave(PeerLeft(OTHER))
    assert not bench.checker.leave(PeerLeft(PEER))
    bench.threads.gate.set()
    assert await settle(bench) == [received, PeerLeft(PEER)]
    assert bench.checker.leave(PeerLeft(PEER))


async def test_clients_transactions_are_checked_together_and_keep_their_order(bench):
    items = [
        make_transaction(make_identity(n), bench.chain_id, 3, 0, [n]) for n in range(5)
    ]
    items[2] = b"garbage"
    submitted = [Submitted(n, item) for n, item in enumerate(items)]
    bench.checker.put_submitted(submitted[:2])
    bench.checker.put_submitted(submitted[2:])
    assert await settle(bench) == submitted
    assert bench.threads.calls == ["decode_submitted", "check_signatures"]
    assert bench.checker.checks == 4


async def test_checks_in_threads_give_the_same(nursery):
    bench = Bench(Role.VALIDATOR)
    bench.checker._threads = Threads(2, Meter())
    await nursery.start(bench.checker.run)
    done = trio.Event()
    bench.checker._wake = done.set
    assert not bench.checker.pass_by(Received(PEER, frame_bundle(bench.make_bundle(300))))
    await done.wait()
    assert bench.checker.checks == 301
    assert len(bench.checker.take_done()) == 1


async def test_a_bundle_that_is_final_is_forgotten_and_not_checked_again(bench):
    encoded = bench.make_bundle()
    received = Received(PEER, frame_bundle(encoded))
    assert not bench.checker.pass_by(received)
    assert await settle(bench) == [received]
    bench.work.forget_final(encoded)
    assert bench.work.get_bundle(encoded) is None
    assert bench.checker.pass_by(received)
    assert bench.checker.checks == 4
