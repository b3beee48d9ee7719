"""What a simulation needs of those who use the city: voters, applicants, bidders."""

from dataclasses import dataclass
from typing import Protocol

from sim.floor import FloorCosts
from sim.metrics import Metrics
from sim.result import InvariantOutcome, SlowTransaction, Stage, TheoryRow

SAMPLE_NS = 3_137_000_000
"""Between samples of the backlog: no multiple of a tick, so that all phases of a block count.

Samples at ticks saw a block interval only at its tick's edges and read 8 % too much.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How far the people's transactions are, now."""

    offered: int
    accepted: int
    final: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the people's side of a run says at its end."""

    invariants: tuple[InvariantOutcome, ...]
    stages: tuple[Stage, ...]
    slowest: tuple[SlowTransaction, ...]
    theory: tuple[TheoryRow, ...]
    late_ns: int


class People(Protocol):
    """One workload's users and offices. Instants are virtual nanoseconds."""

    subject: str
    end_ns: int
    goal_ns: int

    def compute_floor_ns(self, floor: FloorCosts) -> float:
        """What the cryptography of the users' transactions costs on one core, bare."""

    @property
    def is_done(self) -> bool:
        """Whether everyone has finished and results are in the chain."""

    @property
    def is_stuck(self) -> bool:
        """Whether they wait for what will not come."""

    @property
    def obstacle(self) -> str:
        """What keeps them from finishing, in a phrase; empty if nothing does."""

    def start(self) -> None:
        """Put the first tick on the kernel."""

    def close(self) -> None:
        """Let go of processes and files, however the run ended."""

    def count(self) -> Counts:
        """For the progress line and the backlog."""

    def upon_reply(
        self, at_ns: int, relay: int, client: int, transaction_id: bytes, verdict: str
    ) -> None:
        """A relay answered a submission."""

    def upon_relay_final(self, at_ns: int, relay: int, height: int) -> None:
        """Relay number ``relay`` holds final block ``height``."""

    def conclude(self, metrics: Metrics) -> Findings:
        """Judge and measure; the run is over."""
