"""A machine that several peers share: cores, threads, and peers as its tenants."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.effects import Emit, Persist, Worked
from node.events import SyncStarted
from node.inputs import Started
from node.work import WorkKind
from sim.clocks import Clock
from sim.cores import Cores, Thread
from sim.costs import Speed, price
from sim.kernel import Kernel
from sim.tenant import Tenant
from sim.topology import TopologyConfig
from tests.sim.wires import COSTS, Listener, Script, Wires

SERVERS = TopologyConfig(validators=4, relays=2, observers=0)
WORK = Worked(WorkKind.EXECUTE, 1_000)
WORK_NS = 12_000_000


def answer(now, happened):
    return WORK, Emit(SyncStarted(1))


class House:
    """Tenants of one machine, and when they said something."""

    def __init__(self, count=2, contention_ratio=1.0, answer=answer):
        self.wires, self.listener = Wires(SERVERS), Listener()
        self.kernel = self.wires.kernel
        self.cores = Cores(self.kernel, count, contention_ratio)
        self.tenants = [
            Tenant(
                spec.index, Clock(), price(COSTS, spec.profile), 1 << 20, self.kernel,
                self.wires.network, self.wires.journal, self.listener, self.cores,
            )
            for spec in self.wires.topology.peers
        ]
        self.wires.network.attach(self.tenants)
        self.script = Script(answer)
        for tenant in self.tenants:
            tenant.restart(self.script)
        self.began_ns = self.kernel.now_ns

    def tell(self, tenants):
        for tenant in tenants:
            tenant.tell(Started())

    def run(self, for_ns=10**12):
        self.wires.run(for_ns)
        return self

    @property
    def done(self):
        """In units of the work that each does."""
        return [(at_ns - self.began_ns) / WORK_NS for at_ns, _, _ in self.listener.events]


def start(house, count=6):
    house.tell(house.tenants[:count])
    return house.run()


def test_more_threads_than_cores_share_them_evenly():
    assert start(House(2), 3).done == [1.5] * 3
    assert start(House(2), 6).done == [3] * 6


def test_with_a_core_for_each_nobody_waits():
    house = start(House(6))
    assert house.done == [1] * 6
    assert sum(tenant.waited_ns for tenant in house.tenants) == 0


def test_what_the_cores_worked_is_what_the_tenants_did():
    house = start(House(2))
    assert house.cores.busy_ns == sum(tenant.busy_ns for tenant in house.tenants) == 6 * WORK_NS


def test_who_comes_later_takes_a_share_from_then_on():
    house = House(1)
    house.tell(house.tenants[:1])
    house.run(WORK_NS // 2)
    house.tell(house.tenants[1:2])
    # half a unit is left of the first, which now takes a whole; then the other is alone
    assert house.run().done == [1.5, 2]


def test_a_tenant_does_one_thing_at_a_time_though_a_core_is_free():
    house = House(2)
    house.tell([house.tenants[0]] * 2)
    assert house.run().done == [1, 2]
    assert house.tenants[0].waited_ns == WORK_NS


def test_work_beside_nobody_takes_as_long_as_on_a_core_of_its_own():
    house = House(8, contention_ratio=3)
    for tenant in house.tenants:
        before_ns = house.kernel.now_ns
        tenant.tell(Started())
        house.run(2 * WORK_NS)
        assert house.listener.events[-1][0] - before_ns == tenant.busy_ns == WORK_NS


def test_all_cores_at_work_have_the_full_ratio_and_some_of_many_their_share():
    assert start(House(2, contention_ratio=1.5), 2).done == [1.5] * 2
    house = start(House(2, contention_ratio=1.5), 6)
    assert house.done == [4.5] * 6
    assert house.cores.busy_ns == sum(tenant.busy_ns for tenant in house.tenants)
    assert start(House(5, contention_ratio=1.4), 3).done == pytest.approx([1.2] * 3)
    cores = House(5, contention_ratio=1.4).cores
    assert [cores.compute_ratio(others) for others in range(5)] == pytest.approx(
        [1, 1.1, 1.2, 1.3, 1.4]
    )
    assert House(1, contention_ratio=1.4).cores.compute_ratio(0) == 1


def test_who_waits_for_a_disk_leaves_its_core_to_others():
    promise = Persist("lock", (b"x",))
    house = House(1, answer=lambda now, happened: (promise, Emit(SyncStarted(1))))
    house.tell(house.tenants[:1])
    worked = Thread(house.kernel, house.cores)
    done_ns = []
    worked.work(5_000, done_ns.append, 1)
    worked.work(5_000, lambda _: done_ns.append(house.kernel.now_ns - house.began_ns), None)
    house.run()
    assert done_ns[0] == 1
    assert done_ns[1] - 10_000 in (0, 1, 2), "a byte was handed over beside it"
    waited_ns = house.listener.events[0][0] - house.began_ns
    prices = price(COSTS, house.wires.topology.peers[0].profile)
    byte_ns = prices.compute_ns(WorkKind.DISK_BYTES, 1)
    assert waited_ns == pytest.approx(prices.compute_ns(WorkKind.DISK_SYNC, 1) + byte_ns, abs=2)
    assert house.tenants[0].busy_ns == pytest.approx(byte_ns, abs=1)
    assert house.tenants[0].disk == {"lock": (b"x",)}


def test_a_disk_is_as_fast_on_a_slow_machine_and_cryptography_has_a_speed_of_its_own():
    prices = price(COSTS, Wires(SERVERS).topology.peers[0].profile)
    slow = prices.at(Speed(crypto_ratio=0.5, other_ratio=0.1))
    for kind in WorkKind:
        factor = {WorkKind.DISK_SYNC: 1, WorkKind.SIGN: 2}.get(kind)
        if factor is not None:
            assert slow.compute_ns(kind, 1_000) == factor * prices.compute_ns(kind, 1_000)
    assert slow.compute_ns(WorkKind.EXECUTE, 3) == 10 * prices.compute_ns(WorkKind.EXECUTE, 3)
    assert slow.over == prices.over


def test_what_the_host_serves_is_work_like_any_other():
    house = House(2, contention_ratio=2)
    first, second = house.tenants[:2]
    first.serve(WorkKind.EXECUTE, 1_000)
    second.serve(WorkKind.EXECUTE, 1_000)
    second.tell(Started())  # waits for it
    house.run()
    assert house.done == [2 + 1]
    assert (first.busy_ns, second.busy_ns) == (2 * WORK_NS, 3 * WORK_NS)


def test_whoever_is_killed_sends_no_more_and_starts_again_when_its_core_is_free():
    house = House(1)
    house.tell(house.tenants[:1])
    house.tell(house.tenants[:1])
    house.run(WORK_NS // 2)
    house.tenants[0].crash(keep_disk=True)
    house.run(WORK_NS // 4)
    house.tenants[0].restart(house.script)
    house.tell(house.tenants[:1])
    assert house.run().done == [2]
    house.tenants[0].serve(WorkKind.EXECUTE, 1_000)
    house.tenants[0].crash(keep_disk=True)
    house.tenants[0].serve(WorkKind.EXECUTE, 1_000)
    house.run()
    assert house.tenants[0].busy_ns == 3 * WORK_NS, "who is off serves nobody"


def test_whoever_stands_still_ends_what_it_has_in_hand_and_nothing_else():
    house = House(1)
    tenant = house.tenants[0]
    house.tell([tenant, tenant, tenant])
    tenant.pause()
    house.run(5 * WORK_NS)
    assert house.done == [1]
    tenant.resume()
    house.run(WORK_NS // 2)
    tenant.pause()
    tenant.resume()  # while it works
    assert house.run().done == [1, 6, 7]


def test_a_frame_costs_its_way_over_the_link_and_what_a_client_or_a_timer_brings_does_not():
    ns = list(COSTS.ns)
    ns[WorkKind.LINK_BYTES] = 4
    house = House(2, answer=lambda now, happened: (Emit(SyncStarted(1)),))
    for tenant in house.tenants[:2]:
        tenant.price(price(replace(COSTS, ns=tuple(ns)), house.wires.topology.peers[0].profile))
    house.tenants[0].receive(1, bytes(1_000))
    house.tenants[0].receive(1, bytes(500))  # from the inbox
    house.tenants[1].submit(1, bytes(1_000))
    house.tenants[1].tell(Started())
    house.run()
    assert [tenant.busy_ns for tenant in house.tenants[:2]] == [6_000, 0]


def test_reading_what_was_worked_changes_nothing():
    runs = []
    for reads in (0, 7):
        house = House(2, contention_ratio=1.3)
        for number, tenant in enumerate(house.tenants):
            tenant.price(price(COSTS, house.wires.topology.peers[0].profile, 1 + number / 7))
            house.tell([tenant])
            for _ in range(reads):
                house.run(1_111)
                assert house.cores.busy_ns >= house.tenants[0].thread.busy_ns > 0
            house.run(7_777 - reads * 1_111)
        house.run()
        runs.append(house.done)
    assert runs[0] == runs[1]


def test_work_that_is_repriced_costs_the_new_price():
    house = House(1)
    house.tenants[0].price(price(COSTS, house.wires.topology.peers[0].profile, 3.0))
    assert start(house, 1).done == [3]


def test_cores_that_help_one_another_are_our_own_error():
    with pytest.raises(AssertionError, match="do not help"):
        Cores(Kernel(), 2, contention_ratio=0.9)


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 5_000)), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_no_work_is_lost_none_made_and_nobody_is_faster_than_a_core(jobs, count):
    kernel = Kernel()
    cores = Cores(kernel, count)
    began_ns = kernel.now_ns
    done = []
    for at_ns, cost_ns in jobs:
        thread = Thread(kernel, cores)

        def begin(_, thread=thread, cost_ns=cost_ns):
            since_ns = kernel.now_ns
            thread.work(cost_ns, lambda _: done.append(
                (kernel.now_ns - since_ns, cost_ns, thread)), None)

        kernel.at(began_ns + at_ns, begin, None)
    kernel.run_until(began_ns + 10**9)
    assert len(done) == len(jobs)
    for took_ns, cost_ns, _ in done:
        assert took_ns + 1 >= cost_ns
        if len(jobs) <= count:
            assert took_ns == pytest.approx(cost_ns, abs=2)
    total_ns = sum(cost_ns for _, cost_ns in jobs)
    assert cores.busy_ns == pytest.approx(total_ns, abs=2 * len(jobs) * count)
    assert sum(thread.busy_ns for *_, thread in done) == pytest.approx(cores.busy_ns, abs=20)
