"""Processor, inbox, disk, timers, crashes and pauses of one machine."""

from node.effects import (
    Disconnect,
    Effect,
    Emit,
    Persist,
    Reply,
    Send,
    SetTimer,
    Spread,
    Worked,
)
from node.events import SyncStarted
from node.inputs import Input, Received, Started, Submitted, TimerFired
from node.types import Now
from node.work import WorkKind
from sim.clocks import Clock
from sim.costs import price
from sim.kernel import EPOCH_NS
from sim.topology import SERVER, TopologyConfig
from tests.sim.wires import COSTS, Listener, Script, Wires, make_peers

SERVERS = TopologyConfig(validators=4, relays=2, observers=0)
MS = 1_000_000
EXECUTE_NS = 12_000


def make_city(**options: object):
    wires, listener = Wires(SERVERS), Listener()
    return wires, listener, make_peers(wires, listener, **options)  # type: ignore[arg-type]


def start(peer, *effects: Effect) -> Script:
    script = Script(lambda now, happened: effects)
    peer.restart(script)
    return script


def times(script: Script) -> list[int]:
    return [now.monotonic_ns - EPOCH_NS for now, _ in script.told]


def test_an_idle_city_schedules_nothing():
    wires, _, peers = make_city()
    for peer in peers:
        start(peer)
    assert len(wires.kernel) == 0
    wires.run()
    assert wires.kernel.events == 0


def test_the_second_of_two_messages_waits_for_the_processor():
    wires, _, peers = make_city()
    script = start(peers[0], Worked(WorkKind.EXECUTE, 1_000))
    assert peers[0].receive(1, b"one")
    assert peers[0].receive(2, b"two")
    assert peers[0].receive(3, b"three")
    assert len(wires.kernel) == 1, "one event serves the whole inbox"
    wires.run()
    took_ns = 1_000 * EXECUTE_NS
    assert times(script) == [0, took_ns, 2 * took_ns]
    assert script.frames == [b"one", b"two", b"three"]
    assert peers[0].busy_ns == 3 * took_ns
    assert peers[0].waited_ns == took_ns + 2 * took_ns
    assert peers[0].handled == 3


def test_a_frame_leaves_when_the_work_before_it_is_done():
    wires, _, peers = make_city()
    sent = Send(1, b"x")
    before = start(peers[0], Worked(WorkKind.EXECUTE, 1_000), sent)
    after = start(peers[2], sent, Worked(WorkKind.EXECUTE, 1_000))
    receiver = start(peers[1])
    peers[0].tell(Started())
    peers[2].tell(Started())
    wires.run()
    assert before.told
    assert after.told
    assert [happened.peer for _, happened in receiver.told] == [2, 0]
    assert times(receiver)[1] - times(receiver)[0] > 10 * MS


def test_checks_are_spread_over_the_cores():
    _, _, peers = make_city()
    start(peers[0], Worked(WorkKind.CHECK_SIGNATURE, 16))
    peers[0].tell(Started())
    assert peers[0].busy_ns == 2 * 51_000


def test_what_is_persisted_is_on_disk_and_waited_for():
    _, listener, peers = make_city()
    old, new = Persist("lock", (b"old",)), Persist("lock", (b"n", b"ew"))
    start(peers[0], old, new, Emit(SyncStarted(1)))
    peers[0].tell(Started())
    assert peers[0].disk == {"lock": (b"n", b"ew")}
    assert listener.events == [
        (EPOCH_NS + 2 * (SERVER.disk_sync_ns + 3), 0, SyncStarted(1))
    ]


def test_replies_and_disconnects_reach_the_observer():
    _, listener, peers = make_city()
    reply, disconnect = Reply(9, b"id", "accepted"), Disconnect(3, "rude")
    start(peers[0], Worked(WorkKind.EXECUTE, 1), reply, disconnect)
    assert peers[0].submit(9, b"transaction")
    assert listener.replies == [(EPOCH_NS + EXECUTE_NS, 0, reply)]
    assert listener.disconnects == [(EPOCH_NS + EXECUTE_NS, 0, disconnect)]


def test_a_spread_without_content_spares_nobody():
    wires, _, peers = make_city()
    start(peers[0], Spread((1, 2), b"vote", b""))
    scripts = [start(peers[1]), start(peers[2])]
    for _ in range(2):
        peers[0].tell(Started())
        wires.run(MS * 100)
    assert [script.frames for script in scripts] == [[b"vote", b"vote"]] * 2


def test_a_timer_fires_at_its_instant_on_the_monotonic_clock():
    wires, _, peers = make_city(clock=Clock(drift_ppm=100_000))
    timer = ("round", 3, 1)

    def answer(now: Now, happened: Input) -> tuple[Effect, ...]:
        if isinstance(happened, Started):
            return (SetTimer(timer, now.monotonic_ns + 11 * MS), SetTimer(timer, 0))
        return ()

    script = Script(answer)
    peers[0].restart(script)
    peers[0].tell(Started())
    wires.run()
    assert [happened for _, happened in script.told[1:]] == [TimerFired(timer)] * 2
    assert times(script)[1:] == [0, 11 * MS], "a time that has passed fires at once"
    assert wires.journal.records == 2


def test_a_full_inbox_drops_by_reason_but_never_a_timer():
    wires, _, peers = make_city(inbox_bytes_max=300)

    def answer(now: Now, happened: Input) -> tuple[Effect, ...]:
        due = SetTimer(("t", 0, 0), now.monotonic_ns + MS)
        first = (due,) if isinstance(happened, Started) else ()
        return (*first, Worked(WorkKind.EXECUTE, 1_000))

    script = Script(answer)
    peers[0].restart(script)
    peers[0].tell(Started())
    taken = [peers[0].receive(1, bytes(100)) for _ in range(3)]
    assert taken == [True, False, False]
    assert wires.network.traffic.dropped == {"inbox full": 2}
    assert not peers[0].submit(1, bytes(100))
    wires.run()
    kinds = [type(happened) for _, happened in script.told]
    assert kinds == [Started, Received, TimerFired]


def test_a_crash_loses_inbox_timers_and_what_is_in_flight():
    wires, _, peers = make_city()
    script = start(
        peers[0], Worked(WorkKind.EXECUTE, 1_000), SetTimer(("t", 0, 0), EPOCH_NS + 50 * MS)
    )
    peers[0].disk["lock"] = (b"kept",)
    peers[0].tell(Started())
    peers[0].receive(1, b"waits")
    wires.network.send(1, 0, b"flies", EPOCH_NS)
    peers[0].crash(keep_disk=True)
    assert not peers[0].is_up
    assert not peers[0].receive(1, b"off")
    wires.run(20 * MS)
    again = start(peers[0])
    wires.run()
    assert len(script.told) == 1
    assert again.told == []
    assert peers[0].disk == {"lock": (b"kept",)}
    assert wires.network.traffic.dropped == {"peer off": 1, "connection ended": 1}


def test_a_crash_may_lose_the_disk():
    _, _, peers = make_city()
    start(peers[0], Persist("lock", (b"x",)))
    peers[0].tell(Started())
    peers[0].crash(keep_disk=False)
    assert peers[0].disk == {}


def test_what_was_sent_while_a_peer_was_off_does_not_reach_it_after_the_start():
    wires, _, peers = make_city()
    start(peers[0])
    peers[0].crash(keep_disk=True)
    wires.network.send(1, 0, b"too early", EPOCH_NS)
    again = start(peers[0])
    wires.run()
    assert again.frames == []


def test_a_pause_keeps_the_order_of_what_came():
    wires, _, peers = make_city()
    script = start(
        peers[0], Worked(WorkKind.EXECUTE, 100), SetTimer(("t", 0, 0), EPOCH_NS + 7 * MS)
    )
    peers[0].tell(Started())
    peers[0].receive(1, b"before")
    peers[0].pause()
    assert peers[0].is_paused
    for number, frame in enumerate((b"0", b"1", b"2")):
        at_ns = EPOCH_NS + (5 + 3 * number) * MS
        wires.kernel.at(at_ns, lambda frame: peers[0].receive(1, frame), frame)
    wires.run(90 * MS)
    assert len(script.told) == 1
    peers[0].resume()
    wires.run(90 * MS)
    names = [
        happened.frame if isinstance(happened, Received) else type(happened).__name__
        for _, happened in script.told
    ]
    assert names[:6] == ["Started", b"before", b"0", "TimerFired", b"1", b"2"]
    assert times(script)[1] == 90 * MS


def test_a_pause_and_resume_within_the_work_change_nothing():
    wires, _, peers = make_city()
    script = start(peers[0], Worked(WorkKind.EXECUTE, 1_000))
    peers[0].receive(1, b"a")
    peers[0].receive(1, b"b")
    peers[0].pause()
    peers[0].resume()
    wires.run()
    assert times(script) == [0, 12 * MS]


def test_an_observer_may_crash_or_pause_the_peer_that_speaks():
    wires, listener, peers = make_city()
    fact = Emit(SyncStarted(1))
    start(peers[0], fact)
    paused = start(peers[1], fact)
    listener.on_event = lambda at_ns, peer, event: (  # type: ignore[method-assign]
        peers[0].crash(keep_disk=True) if peer == 0 else peers[1].pause()
    )
    peers[0].tell(Started())
    peers[1].tell(Started())
    assert not peers[0].is_up
    peers[1].receive(0, b"x")
    wires.run()
    assert paused.frames == []
    listener.on_event = lambda at_ns, peer, event: None  # type: ignore[method-assign]
    peers[1].resume()
    wires.run()
    assert paused.frames == [b"x"]


def test_an_observer_may_submit_while_the_peer_handles():
    wires, listener, peers = make_city()
    script = start(peers[0], Emit(SyncStarted(1)), Worked(WorkKind.EXECUTE, 10))
    left = [2]

    def submit(at_ns: int, peer: int, event: object) -> None:
        if left[0]:
            left[0] -= 1
            peers[0].submit(1, b"more")

    listener.on_event = submit  # type: ignore[method-assign]
    peers[0].tell(Started())
    wires.run()
    assert [type(happened) for _, happened in script.told] == [Started, Submitted, Submitted]
    assert times(script) == [0, 10 * EXECUTE_NS, 20 * EXECUTE_NS]


def test_reads_take_the_processor_before_what_waits():
    wires, _, peers = make_city()
    script = start(peers[0], Worked(WorkKind.EXECUTE, 1_000))
    peers[0].receive(1, b"a")
    peers[0].receive(1, b"b")
    peers[0].serve(WorkKind.SERVE_READ, 500)
    wires.run()
    assert times(script) == [0, 12 * MS + 500 * 20_000]


def test_a_slowed_peer_takes_its_factor_longer():
    _, _, peers = make_city()
    start(peers[0], Worked(WorkKind.EXECUTE, 1))
    peers[0].price(price(COSTS, SERVER, 4.0))
    peers[0].tell(Started())
    assert peers[0].busy_ns == 4 * EXECUTE_NS
