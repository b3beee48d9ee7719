"""Cities without people, for figures about nodes."""

from collections.abc import Callable
from dataclasses import dataclass

from node.crypto import Identity
from node.params import Genesis, Params
from node.work import Work
from sim.city import City
from sim.clocks import ClockConfig
from sim.costs import load_costs
from sim.identities import derive_identities, derive_identity, make_genesis
from sim.journal import Journal
from sim.kernel import EPOCH_NS, Kernel
from sim.shared import SharedWork
from sim.streams import Streams
from sim.topology import Topology, TopologyConfig

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class IdleCity:
    """A city whose peers are not yet started, and the key of its registrar."""

    city: City
    chief: Identity
    genesis: Genesis

    @property
    def interval_ns(self) -> int:
        """From block to block."""
        return self.genesis.params.block_interval_ns

    def start(self, upon_started: Callable[[int], None] | None = None) -> None:
        """Switch all peers on; ``upon_started`` is told of each, at once."""
        for index in range(len(self.city.peers)):
            self.city.start(index)
            if upon_started is not None:
                upon_started(index)

    def run_blocks(self, blocks: int) -> None:
        """Let the time of so many blocks pass."""
        kernel = self.city.kernel
        kernel.run_until(kernel.now_ns + blocks * self.interval_ns)


def build_city(config: TopologyConfig, seed: int = 1, work: Work | None = None) -> IdleCity:
    """A city that shares its work, with standing clocks and the committed costs."""
    streams = Streams(seed)
    kernel = Kernel(EPOCH_NS + SECOND_NS)
    topology = Topology.build(config, streams)
    identities = derive_identities(seed, topology)
    chief = derive_identity(seed, "registrar")
    genesis = make_genesis(topology, identities, chief, Params(), kernel.now_ns)
    city = City(
        kernel=kernel, topology=topology, genesis=genesis, identities=identities,
        work=SharedWork() if work is None else work, costs=load_costs(), journal=Journal(),
        streams=streams, clocks=ClockConfig(),
    )
    return IdleCity(city, chief, genesis)
