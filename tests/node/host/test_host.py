import pytest
import trio
import trio.testing

from node.block import decode_block
from node.bundle import decode_bundle
from node.consensus.qbft.messages import Proposal, decode_message
from node.effects import Persist, Send
from node.execution import get_nonce
from node.host.errors import DiskFull
from node.host.outbox import Outbox
from node.wire import ConsensusCarried, decode_frame
from tests.node.host.hostnet import CHIEF, HostNet, read_ns

RELAY, OBSERVER = 4, 5


@pytest.fixture
async def net(nursery):
    net = HostNet(nursery)
    await net.start()
    return net


async def run_until_its_disk_is_full(net, index):
    place = net.hosts[index]
    async with net.running(index):
        await net.reach(2)
        place.store.fail = DiskFull("no space", "make some")
        place.wire.frames.clear()
        await trio.sleep_forever()


async def test_six_hosts_are_one_chain(net, autojump_clock):
    with trio.fail_after(60):
        await net.reach(3)
    net.assert_one_chain()


@pytest.mark.parametrize("step_s", [3_600, -3_600])
async def test_a_validators_clock_that_steps_costs_rounds_and_no_block(
    net, autojump_clock, step_s
):
    with trio.fail_after(900):
        await net.reach(2)
        net.hosts[1].step_ns = step_s * 1_000_000_000
        await net.reach(8)
        net.hosts[1].step_ns = 0
        await net.reach(14)
    net.assert_one_chain()
    chain = net.hosts[0].host.chain
    blocks = [
        decode_block(chain.get_encoded(height), net.genesis.params) for height in range(1, 15)
    ]
    assert any(block.round for block in blocks[2:8])
    assert not any(block.round for block in blocks[:2])
    times_ns = [block.header.time_ns for block in blocks]
    assert times_ns == sorted(times_ns)
    # nobody signed a block from the hour in which only one of them was
    assert times_ns[-1] <= read_ns()


async def test_a_transaction_handed_to_a_relay_becomes_final_everywhere(net, autojump_clock):
    relay = net.hosts[RELAY].host
    with trio.fail_after(60):
        assert await relay.submit(net.make_grant(1)) == "accepted"
        verdicts = await relay.submit_many([net.make_grant(2), b"garbage", net.make_grant(3)])
        assert verdicts == ["accepted", "encoding", "accepted"]
        await net.reach(2)
    net.assert_one_chain()
    for place in net.hosts:
        assert get_nonce(place.host.chain.state, CHIEF.public) == 3


async def test_a_host_that_comes_late_catches_up_and_says_when_it_has(nursery, autojump_clock):
    net = HostNet(nursery)
    await net.start(0, 1, 2, 3, RELAY)
    with trio.fail_after(600):
        await net.reach(40, RELAY)
        await net.start(OBSERVER)
        observer = net.hosts[OBSERVER].host
        await observer.wait_synced()
        assert observer.chain.height >= 40
        await net.reach(41)
    net.assert_one_chain()


async def test_a_validator_restarts_from_its_disk_and_the_chain_goes_on(
    nursery, autojump_clock
):
    net = HostNet(nursery)
    await net.start(0, 1, 2, RELAY, OBSERVER)
    with trio.fail_after(600):
        async with net.running(3):
            await net.reach(3)
        assert len(net.hosts[3].store.blocks) >= 3
        await net.reach(6, 0, 1, 2)
        net.hosts[3].events.clear()
        await net.start(3)
        await net.reach(8)
    net.assert_one_chain()


async def test_nothing_that_binds_leaves_after_a_write_that_failed(nursery, autojump_clock):
    net = HostNet(nursery)
    await net.start(1, 2, 3, RELAY, OBSERVER)
    place = net.hosts[0]
    with trio.fail_after(600):
        with pytest.raises(BaseExceptionGroup) as caught:
            await run_until_its_disk_is_full(net, 0)
        assert caught.group_contains(DiskFull)
        height = len(place.store.blocks)
        await net.reach(height + 3, 1, 2, 3)
    messages = [
        decode_message(said.payload, net.chain_id, net.genesis.params)
        for said in (decode_frame(frame, net.genesis.params) for frame in place.wire.frames)
        if isinstance(said, ConsensusCarried)
    ]
    assert not [message for message in messages if not isinstance(message, Proposal)]


async def test_one_write_serves_all_that_came_while_the_last_was_under_way(nursery):
    written, performed, gate = [], [], trio.Semaphore(0)

    async def write(entries):
        written.append([slot for slot, _ in entries])
        await gate.acquire()

    outbox = Outbox(performed.append, write)
    nursery.start_soon(outbox.run)
    outbox.put((Send(1, b"before"), Persist("lock", (b"1",)), Send(1, b"after 1")))
    await trio.testing.wait_all_tasks_blocked()
    for number in (2, 3):
        outbox.put((Persist("lock", ()), Send(1, b"after %d" % number)))
    outbox.put((Send(1, b"needs nothing"),))
    assert written == [["lock"]]
    assert performed == [Send(1, b"before")]
    gate.release()
    await trio.testing.wait_all_tasks_blocked()
    assert written == [["lock"], ["lock", "lock"]]
    assert performed[1:] == [Send(1, b"after 1")]
    gate.release()
    await trio.testing.wait_all_tasks_blocked()
    assert [effect.frame for effect in performed[2:]] == [
        b"after 2", b"after 3", b"needs nothing",
    ]
    outbox.put((Send(1, b"at once"),))
    assert performed[-1].frame == b"at once"


async def test_what_waits_for_the_disk_when_a_host_is_stopped_is_written_first():
    written, performed = [], []

    async def write(entries):
        await trio.lowlevel.checkpoint()  # as a thread: it may not begin, but then it ends
        written.extend(slot for slot, _ in entries)

    outbox = Outbox(performed.append, write)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        await trio.testing.wait_all_tasks_blocked()
        outbox.put((Persist("lock", ()), Send(1, b"")))
        outbox.put((Persist("block", ()), Send(1, b"")))
        nursery.cancel_scope.cancel()
    assert written == ["lock", "block"]
    assert performed == []


async def test_each_start_of_a_relay_numbers_its_bundles_in_a_range_of_its_own(
    nursery, autojump_clock
):
    net = HostNet(nursery)
    await net.start(0, 1, 2, 3)
    sequences = []
    for nonce in (1, 2, 3):
        async with net.running(RELAY) as relay:
            assert await relay.submit(net.make_grant(nonce)) == "accepted"
            net.hosts[RELAY].events.clear()
            await net.reach(3 * nonce, RELAY)
        bundles = [
            decode_bundle(encoded, net.genesis.params).sequence
            for height in range(1, net.hosts[0].host.chain.height + 1)
            for encoded in decode_block(
                net.hosts[0].host.chain.get_encoded(height), net.genesis.params
            ).bundles
        ]
        sequences = bundles
    assert sequences == [1 << 32, 2 << 32, 3 << 32]


async def test_a_client_of_another_than_a_relay_is_told_so(net, autojump_clock):
    verdicts = [await net.hosts[n].host.submit(net.make_grant(1)) for n in (0, OBSERVER)]
    assert verdicts == ["not a relay"] * 2


async def test_counters_tell_what_was_done_and_refused(net, autojump_clock):
    relay = net.hosts[RELAY].host
    with trio.fail_after(60):
        forged = bytearray(net.make_grant(1))
        forged[-1] ^= 1
        assert await relay.submit(bytes(forged)) == "signature"
        await net.reach(2)
    counters = relay.counters()
    assert counters["chain.height"] >= 2
    assert counters["refused.reject: signature"] == 1
    assert counters["worked.check_signature"] > 1
    assert counters["disk.writes"] >= 2
    assert counters["peers.count"] == 5
    assert relay.has_fault is None
    assert len(relay.peers()) == 5
