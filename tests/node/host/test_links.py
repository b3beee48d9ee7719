"""The links of several nodes on a network in memory, in virtual time."""

import errno
from collections import defaultdict
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import lockstep_stream_pair, wait_all_tasks_blocked

from node.host.errors import HandshakeFailed, LinkRefused, SettingsError
from node.host.greeting import fetch_genesis, greet
from node.host.handshake import HELLO_BYTES, Refusal, Terms
from node.host.limits import Limits
from node.host.link import FrameCame, LinkDown, LinkUp
from node.host.links import Links, Target
from node.inputs import Role
from tests.node.host.wires import FakeNetwork, make_seed, make_small_genesis
from tests.node.samples import make_identity

# In the order of their keys: the first one's dials win.
V1, V2, V3 = sorted((make_identity(f"v{i}") for i in range(3)), key=lambda one: one.public)
RELAY = make_identity("relay")
GENESIS = make_small_genesis(validators=(V1, V2, V3), relays=(RELAY,))
FILE = b"the genesis as its file has it"
LIMITS = Limits()


class City:
    """Nodes by name on one network; ``said[name]`` is what a node's links told it."""

    def __init__(self, nursery, network, limits):
        self.network = network
        self.said = defaultdict(list)
        self.links = {}
        self.scopes = {}
        self._nursery = nursery
        self._limits = limits
        self._seeds = 0

    def _draw(self, count):
        self._seeds += 1
        return make_seed(self._seeds)[:count]

    async def start(self, name, identity, role, *, dials=(), genesis=GENESIS, limits=None,
                    is_deaf=False):
        """Start a node that listens under its name; ``dials`` are names and identities.

        A deaf one takes nothing of what its links tell it.
        """
        links = Links(
            identity=identity, role=role, genesis=genesis, genesis_file=FILE,
            limits=limits or self._limits, listen=(name, 1), random=lambda: 0.5,
            targets=[Target(host, 1, who and who.public) for host, who in dials],
            entropy=self._draw, network=self.network,
        )
        sender, receiver = trio.open_memory_channel(1)
        self.links[name] = links
        self.scopes[name] = await self._nursery.start(self._run, links, sender)
        if not is_deaf:
            self._nursery.start_soon(self._listen, name, receiver)
        return links

    async def _run(self, links, sender, task_status):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(links.run, sender)
                task_status.started(scope)

    async def _listen(self, name, receiver):
        async for happening in receiver:
            self.said[name].append(happening)

    async def start_validators(self, *identities):
        """Each dials all others, as in a real city."""
        everyone = [(f"v{i}", who) for i, who in enumerate(identities, 1)]
        for name, who in everyone:
            await self.start(name, who, Role.VALIDATOR, dials=everyone)

    def count(self, name, kind):
        return sum(type(happening) is kind for happening in self.said[name])

    def get_peer(self, name, identity):
        """The handle of the newest link to an identity."""
        return next(
            happening.peer for happening in reversed(self.said[name])
            if type(happening) is LinkUp and happening.identity == identity.public
        )


@asynccontextmanager
async def found_city(limits=LIMITS, network=None):
    async with trio.open_nursery() as nursery:
        yield City(nursery, network or FakeNetwork(), limits)
        nursery.cancel_scope.cancel()


async def pass_time(seconds):
    with trio.move_on_after(seconds):
        await trio.sleep_forever()


async def visit(city, name, identity, role=Role.OBSERVER, genesis=GENESIS):
    """A bare peer: its handshake alone. Gives the stream and what was agreed."""
    stream = await city.network.connect(name, 1)
    terms = Terms(identity, role, genesis.compute_chain_id())
    return stream, await greet(stream, terms, make_seed(identity.public), None)


async def test_two_nodes_meet_and_talk(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        await city.start("r", RELAY, Role.RELAY, dials=[("v1", V1)])
        await pass_time(1)
        assert city.said["v1"] == [LinkUp(1, RELAY.public, Role.RELAY)]
        assert city.said["r"] == [LinkUp(1, V1.public, Role.VALIDATOR)]
        city.links["r"].send_many([1, 7], b"a bundle")
        city.links["v1"].send(1, b"a block")
        await pass_time(1)
        assert city.said["v1"][1:] == [FrameCame(1, b"a bundle")]
        assert city.said["r"][1:] == [FrameCame(1, b"a block")]
        assert city.links["r"].list_peers() == [(V1.public, Role.VALIDATOR)]
        stats = city.links["r"].stats.flatten()
        assert stats["frames_out"] == stats["frames_in"] == 1
        assert stats["frame_bytes_out"] == 8
        assert stats["frames_unsent"] == 1  # nobody is peer 7


@pytest.mark.parametrize("count", [2, 3])
async def test_nodes_that_dial_each_other_at_once_keep_one_link(autojump_clock, count):
    async with found_city() as city:
        validators = (V1, V2, V3)[:count]
        await city.start_validators(*validators)
        await pass_time(300)
        for name in city.links:
            assert city.count(name, LinkUp) == count - 1
            assert city.count(name, LinkDown) == 0


@pytest.mark.parametrize(("node", "visitor", "is_welcome"), [(V1, V2, False), (V2, V1, True)])
async def test_of_two_dials_that_cross_the_smaller_keys_stays(
    autojump_clock, node, visitor, is_welcome,
):
    async with found_city() as city:
        await city.network.listen("other", 1)  # where the node's own dial waits for a reply
        links = await city.start("node", node, Role.VALIDATOR, dials=[("other", visitor)])
        await wait_all_tasks_blocked()
        if is_welcome:
            await visit(city, "node", visitor, Role.VALIDATOR)
        else:
            with pytest.raises(LinkRefused, match="already linked"):
                await visit(city, "node", visitor, Role.VALIDATOR)
        assert links._is_linked(visitor.public) == is_welcome


async def test_a_dial_is_given_up_if_the_other_came_while_it_connected(autojump_clock):
    slow = FakeNetwork()
    connected = trio.Event()

    async def connect_late(host, port, connect=slow.connect):
        if host == "v1":
            await connected.wait()
        return await connect(host, port)

    slow.connect = connect_late
    async with found_city(network=slow) as city:
        await slow.listen("v1", 1)
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await visit(city, "v2", V1, Role.VALIDATOR)
        connected.set()
        await wait_all_tasks_blocked()
        _, theirs = slow.streams[-1]
        assert await theirs.receive_some() == b""
        assert city.count("v2", LinkUp) == 1


async def test_an_idle_link_stays_up_by_pings(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await pass_time(900)
        assert city.count("v1", LinkUp) == city.count("v2", LinkUp) == 1
        assert city.count("v1", LinkDown) == 0


async def test_a_peer_that_returns_is_dialled_again(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR, dials=[("v2", V2)])
        for turn in range(1, 4):
            await city.start("v2", V2, Role.VALIDATOR)
            await pass_time(60)
            assert city.count("v1", LinkUp) == turn
            city.scopes["v2"].cancel()
            await pass_time(60)
            assert city.said["v1"][-1].reason == "closed by peer"
        handles = [item.peer for item in city.said["v1"] if type(item) is LinkUp]
        assert handles == [1, 2, 3]


async def test_waits_between_attempts_grow_and_end_with_a_lasting_link(autojump_clock):
    async with found_city() as city:
        links = await city.start("v1", V1, Role.VALIDATOR, dials=[("v2", V2)])
        await pass_time(1000)
        # 0.1875 s, doubling to 22.5 s (jitter of a half takes a quarter off), then steady
        assert 45 <= links.stats.dials <= 55
        assert links.stats.dials_failed == {"unreachable": links.stats.dials}
        await city.start("v2", V2, Role.VALIDATOR)
        await pass_time(60)
        assert city.count("v1", LinkUp) == 1
        city.scopes["v2"].cancel()
        await wait_all_tasks_blocked()
        await city.start("v2", V2, Role.VALIDATOR)
        await pass_time(0.2)
        assert city.count("v1", LinkUp) == 2


async def test_who_is_not_the_expected_one_gets_no_link(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        links = await city.start("r", RELAY, Role.RELAY, dials=[("v1", V2)])
        await pass_time(1)
        assert not city.said["r"]
        assert not city.said["v1"]
        assert set(links.stats.dials_failed) == {"other identity"}


async def test_the_right_key_and_the_wrong_chain_get_no_link(autojump_clock):
    other = replace(GENESIS, time_ns=1)
    async with found_city() as city:
        v1 = await city.start("v1", V1, Role.VALIDATOR)
        v2 = await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)], genesis=other)
        await pass_time(1)
        assert set(v1.stats.visitors_refused) == {"other chain"}
        assert set(v2.stats.dials_failed) == {"other chain"}


@pytest.mark.parametrize(("identity", "role"), [
    (RELAY, Role.VALIDATOR), (V2, Role.RELAY), (make_identity("nobody"), Role.VALIDATOR),
])
async def test_a_role_is_for_those_whom_the_chain_names(autojump_clock, identity, role):
    async with found_city() as city:
        v1 = await city.start("v1", V1, Role.VALIDATOR)
        other = await city.start("x", identity, role, dials=[("v1", V1)])
        await pass_time(0.1)
        assert v1.stats.visitors_refused == {Refusal.ROLE.reason: 1}
        assert other.stats.dials_failed == {Refusal.ROLE.reason: 1}
        v1.entitle(role, [identity.public])
        await pass_time(1)
        assert city.said["v1"] == [LinkUp(1, identity.public, role)]


async def test_a_role_is_asked_of_whom_one_dials_too(autojump_clock):
    nobody = make_identity("nobody")
    async with found_city() as city:
        await city.start("x", nobody, Role.RELAY)
        v1 = await city.start("v1", V1, Role.VALIDATOR, dials=[("x", nobody)])
        await pass_time(1)
        assert set(v1.stats.dials_failed) == {Refusal.ROLE.reason}
        assert not city.said["v1"]


async def test_a_clone_of_a_key_never_drives_the_real_one_out(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await pass_time(1)
        clone = await city.start("clone", V2, Role.VALIDATOR, dials=[("v1", V1), ("v2", V2)])
        await pass_time(900)
        assert city.count("v1", LinkUp) == 1
        assert city.count("v1", LinkDown) == 0
        assert not city.said["clone"]
        assert set(clone.stats.dials_failed) == {"already linked"}


async def test_two_processes_with_one_key_never_link_to_each_other(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        clone = await city.start("clone", V1, Role.VALIDATOR, dials=[("v1", None)])
        await pass_time(1)
        assert set(clone.stats.dials_failed) == {"own identity"}
        assert not city.said["v1"]


async def test_a_peer_that_lost_its_power_is_back_before_its_old_link_is_idle(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        _dead, _ = await visit(city, "v1", V2, Role.VALIDATOR)  # and never a word again
        await wait_all_tasks_blocked()
        back = await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await pass_time(14)
        assert set(back.stats.dials_failed) == {"already linked"}
        assert city.count("v1", LinkDown) == 0
        await pass_time(20)
        assert city.said["v1"] == [
            LinkUp(1, V2.public, Role.VALIDATOR), LinkDown(1, "replaced"),
            LinkUp(2, V2.public, Role.VALIDATOR),
        ]
        with pytest.raises(LinkRefused, match="already linked"):
            await visit(city, "v1", V2, Role.VALIDATOR)


async def test_a_half_open_link_ends_as_idle(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        began_s = trio.current_time()
        _dead, _ = await visit(city, "v1", make_identity("citizen"))
        while not city.count("v1", LinkDown):
            await pass_time(1)
        assert city.said["v1"][-1] == LinkDown(1, "idle")
        assert trio.current_time() - began_s <= LIMITS.idle_timeout_s + 1


async def test_a_slow_loris_is_sent_away(autojump_clock):
    async with found_city() as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        stream = await city.network.connect("v1", 1)
        began_s = trio.current_time()
        for _ in range(HELLO_BYTES):
            await pass_time(1)
            try:
                await stream.send_all(b"v")
            except trio.BrokenResourceError:
                break
        assert trio.current_time() - began_s <= LIMITS.handshake_timeout_s + 1
        assert links.stats.visitors_refused == {"too slow": 1}


async def test_garbage_before_the_handshake_is_hung_up_on(autojump_clock):
    async with found_city() as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        stream = await city.network.connect("v1", 1)
        await stream.send_all(b"GET / HTTP/1.1\r\n" + bytes(1000))
        assert await stream.receive_some() == b""
        assert links.stats.visitors_refused == {"not veche": 1}


async def test_a_flood_of_connections_drives_out_itself(autojump_clock):
    async with found_city() as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        flood = []
        for _ in range(500):
            flood.append(await city.network.connect("v1", 1))
            await wait_all_tasks_blocked()
            assert len(links._pending) <= LIMITS.pending_max
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await pass_time(1)
        assert city.count("v1", LinkUp) == 1
        await pass_time(10)
        assert not links._pending
        assert links.stats.visitors_refused["crowded out"] == 500 + 1 - LIMITS.pending_max
        assert links.stats.visitors_refused["too slow"] == LIMITS.pending_max - 1


async def test_each_who_comes_while_all_wait_crowds_another_out(autojump_clock):
    async with found_city(replace(LIMITS, pending_max=2)) as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        with ExitStack() as stack:
            scopes = [stack.enter_context(links._wait_in_line("")) for _ in range(4)]
            assert [scope.cancel_called for scope in scopes] == [True, True, False, False]


async def test_who_is_on_its_way_out_takes_no_slot_and_is_not_linked(autojump_clock):
    citizen = make_identity("citizen")
    async with found_city(replace(LIMITS, inbound_max=1)) as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        _guest, _ = await visit(city, "v1", citizen)
        await wait_all_tasks_blocked()
        assert links._is_linked(citizen.public)
        assert not links._make_room("")
        links.disconnect(1, "a reason")
        assert not links._is_linked(citizen.public)
        assert links._make_room("")


async def test_observers_share_their_slots_and_others_have_their_own(autojump_clock):
    limits = replace(LIMITS, inbound_max=2, evictable_after_s=60)
    async with found_city(limits) as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        citizens = [make_identity(f"citizen {i}") for i in range(4)]
        for citizen in citizens[:2]:
            await city.start(citizen.public, citizen, Role.OBSERVER, dials=[("v1", V1)])
        await pass_time(1)
        late = await city.start("late", citizens[2], Role.OBSERVER, dials=[("v1", V1)])
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await city.start("r", RELAY, Role.RELAY, dials=[("v1", V1)])
        await pass_time(1)
        assert len(links.list_peers()) == 4
        assert set(late.stats.dials_failed) == {"no free slot"}
        for _ in range(3):  # the first one says nothing, so it goes when the late one comes
            city.links[citizens[1].public].send(1, b"I take part")
            await pass_time(28)
        assert city.count("late", LinkUp) == 1
        assert links.stats.links_ended == {"evicted": 1}
        assert LinkDown(city.get_peer("v1", citizens[0]), "evicted") in city.said["v1"]
        assert city.count("late", LinkDown) == 0


async def test_a_slow_consumer_loses_its_link_and_a_lone_large_frame_passes(autojump_clock):
    limits = replace(LIMITS, outbound_bytes_max=1000)
    network = FakeNetwork(lockstep_stream_pair)
    async with found_city(limits, network) as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        stream, _ = await visit(city, "v1", make_identity("citizen"))
        await wait_all_tasks_blocked()
        links.send(1, bytes(5000))
        await wait_all_tasks_blocked()
        assert city.said["v1"] == [LinkUp(1, make_identity("citizen").public, Role.OBSERVER)]
        links.send(1, b"one more")
        await pass_time(1)
        assert city.said["v1"][-1] == LinkDown(1, "slow consumer")
        links.send(1, b"nobody hears")
        assert links.stats.frames_unsent == 2
        await stream.aclose()


async def test_what_was_sent_no_longer_counts_as_waiting(autojump_clock):
    async with found_city(replace(LIMITS, outbound_bytes_max=1000)) as city:
        await city.start("v1", V1, Role.VALIDATOR)
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await pass_time(1)
        for _ in range(10):
            city.links["v1"].send(1, bytes(600))
            await wait_all_tasks_blocked()
        assert city.count("v2", FrameCame) == 10


async def test_a_slow_node_slows_its_peers_down(autojump_clock):
    network = FakeNetwork(lockstep_stream_pair)
    async with found_city(network=network) as city:
        await city.start("v1", V1, Role.VALIDATOR, is_deaf=True)
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await pass_time(1)
        for _ in range(10):
            city.links["v2"].send(1, bytes(100_000))
        await pass_time(LIMITS.silent_after_s + 5)
        assert city.links["v2"].stats.frames_out < 10
        assert city.links["v1"].stats.frames_in == 0
        assert city.links["v1"]._is_linked(V2.public)  # that is not the peer's silence


async def test_disconnect_tells_the_node_why_and_the_peer_that_it_was_meant(autojump_clock):
    async with found_city() as city:
        await city.start("v1", V1, Role.VALIDATOR)
        await city.start("v2", V2, Role.VALIDATOR, dials=[("v1", V1)])
        await pass_time(1)
        city.links["v1"].disconnect(1, "frame encoding")
        city.links["v1"].disconnect(1, "the first reason stays")
        city.links["v1"].disconnect(9, "nobody")
        await wait_all_tasks_blocked()
        assert city.said["v1"][-1] == LinkDown(1, "frame encoding")
        assert city.said["v2"][-1] == LinkDown(1, "closed by peer")


async def test_out_of_descriptors_is_a_pause(autojump_clock):
    async with found_city() as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        city.network.listeners["v1", 1].failures = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS]
        for number in range(2):  # the first finds the listener waiting already
            await visit(city, "v1", make_identity(number))
        await wait_all_tasks_blocked()
        assert links.stats.accept_pauses == 3
        assert city.count("v1", LinkUp) == 2


async def test_a_listener_that_breaks_otherwise_is_not_hidden(autojump_clock):
    async def break_it():
        async with found_city() as city:
            await city.start("v1", V1, Role.VALIDATOR)
            await wait_all_tasks_blocked()
            city.network.listeners["v1", 1].failures = [errno.EBADF]
            await city.network.connect("v1", 1)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await break_it()
    assert caught.group_contains(OSError, match="made up")


async def test_an_address_in_use_is_a_setting_to_change():
    async def refuse(host, port):
        await trio.lowlevel.checkpoint()
        raise OSError(errno.EADDRINUSE, "Address already in use")

    network = FakeNetwork()
    network.listen = refuse
    links = Links(
        identity=V1, role=Role.VALIDATOR, genesis=GENESIS, genesis_file=FILE, limits=LIMITS,
        listen=("127.0.0.1", 80), targets=[], random=lambda: 0.5, network=network,
    )
    with pytest.raises(SettingsError, match=r"listen='127.0.0.1:80': .*already in use"):
        await links.run(trio.open_memory_channel(0)[0])


async def test_cancelling_leaves_nothing_behind(autojump_clock):
    async with found_city() as city:
        await city.start_validators(V1, V2, V3)
        await pass_time(10)
    for pair in city.network.streams:
        for stream in pair:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()
    assert not any(links.list_peers() for links in city.links.values())


async def test_whoever_asks_is_given_the_genesis(autojump_clock):
    async with found_city() as city:
        links = await city.start("v1", V1, Role.VALIDATOR)
        assert await fetch_genesis("v1", 1, network=city.network) == FILE
        assert links.stats.genesis_given == 1
        assert not links.stats.visitors_refused


async def test_a_question_for_the_genesis_names_where_it_failed(autojump_clock):
    async with found_city() as city:
        with pytest.raises(HandshakeFailed, match=r"^v9:1: Connection refused"):
            await fetch_genesis("v9", 1, network=city.network)
        await city.network.listen("mute", 1)
        with pytest.raises(HandshakeFailed, match=r"^mute:1: no answer within 5 s"):
            await fetch_genesis("mute", 1, network=city.network)
