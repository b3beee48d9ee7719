"""What people and judges see of a whole city, whoever hosts it: virtual peers or processes.

``sim.cityface.City`` is what users use; this is what tells afterwards how it went. The
simulated city has more, and nobody outside of the simulation may look at that.
"""

from collections.abc import Sequence
from typing import Protocol

from node.block import Header
from node.execution import BlockOutput
from node.mempool import Mempool
from node.params import Genesis
from node.state import State
from node.work import Work
from sim import cityface
from sim.blocks import BlockTable
from sim.costs import CostTable
from sim.journal import Journal
from sim.kernel import Kernel
from sim.topology import Topology
from sim.traffic import Traffic


class HeldChain(Protocol):
    """The final chain as one peer holds it."""

    @property
    def height(self) -> int:
        """The head's height."""

    @property
    def head(self) -> Header:
        """The header of the last block."""

    @property
    def state(self) -> State:
        """The state after it."""

    @property
    def output(self) -> BlockOutput | None:
        """What its execution gave; None if the peer has not executed it itself."""

    def get_encoded(self, height: int) -> bytes:
        """The encoded final block at ``height`` <= head."""


class Member(Protocol):
    """One peer that is up."""

    @property
    def chain(self) -> HeldChain:
        """What it holds."""

    @property
    def mempool(self) -> Mempool | None:
        """A validator's pool, if it can be looked into from here."""


class HostedCity(cityface.City, Protocol):
    """The whole city; instants are those of ``kernel``, midnight began the local day.

    ``work`` computes for judges, ``costs`` is what virtual processors charge, and
    ``round_changes`` counts those of all validators together.
    """

    kernel: Kernel
    midnight_ns: int
    topology: Topology
    genesis: Genesis
    work: Work
    blocks: BlockTable
    journal: Journal
    costs: CostTable
    traffic: Traffic
    round_changes: int

    def get_node(self, index: int, /) -> Member | None:
        """The peer at ``index``, None while it is down."""

    def get_nodes(self) -> Sequence[Member]:
        """All peers that are up."""

    def find_longest_chain(self) -> HeldChain:
        """The longest in the city, for judges, who may ask anyone and open any disk."""

    def read_final_state(self) -> State:
        """The state after the longest chain."""
