"""A machine that several peers share."""

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
