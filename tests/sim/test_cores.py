"""A machine that several peers share."""

import numpy as np
import pytest

from node.effects import Emit, Worked
from node.events import SyncStarted
from node.inputs import Started
from node.work import WorkKind
from sim.clocks import Clock
from sim.cores import Cores, Tenant
from sim.costs import price
from sim.topology import TopologyConfig
from tests.sim.wires import COSTS, Listener, Script, Wires

SERVERS = TopologyConfig(validators=4, relays=2, observers=0)
WORK = Worked(WorkKind.EXECUTE, 1_000)
WORK_NS = 12_000_000


def make_tenants(wires, listener, cores):
    tenants = [
        Tenant(
            spec.index, Clock(), price(COSTS, spec.profile), 1 << 20, wires.kernel,
            wires.network, wires.journal, listener, cores,
        )
        for spec in wires.topology.peers
    ]
    wires.network.attach(tenants)
    for tenant in tenants:
        tenant.restart(Script(lambda now, happened: (WORK, Emit(SyncStarted(1)))))
    return tenants


def run_started(cores):
    wires, listener = Wires(SERVERS), Listener()
    tenants = make_tenants(wires, listener, cores)
    began_ns = wires.kernel.now_ns
    for tenant in tenants:
        tenant.tell(Started())
    wires.run()
    return tenants, [(at_ns - began_ns) / WORK_NS for at_ns, _, _ in listener.events]


def test_work_of_all_tenants_together_takes_as_long_as_the_cores_need():
    _, done = run_started(Cores(2))
    assert done == [1, 1, 2, 2, 3, 3]


def test_with_a_core_for_each_nobody_waits():
    tenants, done = run_started(Cores(6))
    assert done == [1] * 6
    assert sum(tenant.waited_ns for tenant in tenants) == 0


def test_what_the_cores_worked_is_what_the_tenants_did():
    cores = Cores(2)
    tenants, _ = run_started(cores)
    assert cores.busy_ns == sum(tenant.busy_ns for tenant in tenants) == 6 * WORK_NS
    assert sum(tenant.waited_ns for tenant in tenants) == (1 + 1 + 2 + 2) * WORK_NS


def test_a_tenant_does_one_thing_at_a_time_though_a_core_is_free():
    wires, listener = Wires(SERVERS), Listener()
    tenant = make_tenants(wires, listener, Cores(2))[0]
    began_ns = wires.kernel.now_ns
    tenant.tell(Started())
    tenant.tell(Started())
    wires.run()
    assert [(at_ns - began_ns) / WORK_NS for at_ns, _, _ in listener.events] == [1, 2]


def test_work_that_comes_later_begins_when_it_comes():
    cores = Cores(1)
    assert cores.compute_start_ns(7) == 7
    cores.take(7, 3)
    assert cores.compute_start_ns(8) == 10
    assert cores.compute_start_ns(11) == 11


def test_all_cores_at_work_all_the_time_have_the_full_ratio():
    cores = Cores(2, contention_ratio=1.5)
    tenants, done = run_started(cores)
    # who begins first finds the other core idle, and nobody after that
    assert done == [1, 1.5, 2.5, 3, 4, 4.5]
    assert cores.busy_ns == sum(tenant.busy_ns for tenant in tenants) == (1 + 5 * 1.5) * WORK_NS


def test_work_beside_nobody_takes_as_long_as_on_a_core_of_its_own():
    cores = Cores(8, contention_ratio=3)
    wires, listener = Wires(SERVERS), Listener()
    tenants = make_tenants(wires, listener, cores)
    for tenant in tenants:
        began_ns = wires.kernel.now_ns
        tenant.tell(Started())
        wires.run(2 * WORK_NS)
        assert listener.events[-1][0] - began_ns == tenant.busy_ns == WORK_NS
    assert cores.busy_ns == len(tenants) * WORK_NS


def test_beside_some_cores_of_many_work_takes_longer_by_their_share():
    cores = Cores(5, contention_ratio=1.4)
    assert [cores.compute_ratio(others) for others in range(5)] == pytest.approx(
        [1, 1.1, 1.2, 1.3, 1.4]
    )
    assert Cores(1, contention_ratio=1.4).compute_ratio(0) == 1
    _, done = run_started(cores)
    assert done[:5] == pytest.approx([1, 1.1, 1.2, 1.3, 1.4])


def test_a_core_that_is_free_by_then_is_no_neighbour():
    cores = Cores(3, contention_ratio=2)
    cores.take(0, 10)
    cores.take(5, 10)
    assert [cores.count_others(at_ns) for at_ns in (5, 10, 15)] == [2, 1, 0]


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_between_the_limits_work_is_longer_in_the_mean_by_how_busy_the_others_are(load):
    # one neighbour that is busy for this share of the time; work comes whatever it does
    draws = np.random.Generator(np.random.PCG64(1))
    contention_ratio, count, every_ns = 1.6, 4_000, 1_000_000
    cores = Cores(2, contention_ratio)
    expected = 1 + (contention_ratio - 1) * load
    took = []
    for number in range(count):
        began_ns = number * every_ns
        cores.take(began_ns, round(load * every_ns))
        at_ns = began_ns + int(draws.integers(every_ns))
        start_ns = cores.compute_start_ns(at_ns)
        assert start_ns == at_ns, "one of two is always free"
        took.append(cores.compute_ratio(cores.count_others(at_ns)))
    assert np.mean(took) == pytest.approx(expected, rel=0.02)


def test_what_the_host_serves_beside_others_takes_longer_too():
    wires, listener = Wires(SERVERS), Listener()
    cores = Cores(2, contention_ratio=2)
    first, second = make_tenants(wires, listener, cores)[:2]
    first.serve(WorkKind.EXECUTE, 1_000)
    second.serve(WorkKind.EXECUTE, 1_000)
    assert (first.busy_ns, second.busy_ns) == (WORK_NS, 2 * WORK_NS)
    assert cores.busy_ns == 3 * WORK_NS


def test_a_disk_is_as_fast_beside_others():
    prices = price(COSTS, Wires(SERVERS).topology.peers[0].profile)
    beside = prices.stretch(1.5)
    for kind in (WorkKind.DISK_SYNC, WorkKind.DISK_BYTES):
        assert beside.compute_ns(kind, 1_000) == prices.compute_ns(kind, 1_000)
    execute_ns = [each.compute_ns(WorkKind.EXECUTE, 2) for each in (prices, beside)]
    assert execute_ns[1] == 1.5 * execute_ns[0]
    assert beside.over == prices.over


def test_work_that_is_repriced_keeps_its_contention():
    wires, listener = Wires(SERVERS), Listener()
    cores = Cores(2, contention_ratio=2)
    first, second = make_tenants(wires, listener, cores)[:2]
    second.price(price(COSTS, wires.topology.peers[1].profile, 3.0))
    first.tell(Started())
    second.tell(Started())
    assert (first.busy_ns, second.busy_ns) == (WORK_NS, 6 * WORK_NS)


def test_cores_that_help_one_another_are_our_own_error():
    with pytest.raises(AssertionError, match="do not help"):
        Cores(2, contention_ratio=0.9)
