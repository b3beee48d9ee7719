"""What a host tells of one load, in one form for both, and the figures that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.fidelity.load import SECOND_NS, Load
from bench.speedometer import Look
from node.block import decode_block
from node.bundle import decode_bundle
from node.chain import Chain
from node.transaction import decode_transaction

Column: TypeAlias = NDArray[np.float64]

PERCENTILES = (50, 99)


@dataclass(frozen=True, slots=True)
class SeenBlock:
    """A block that all relays hold: when it was proposed, first final, and held by each."""

    height: int
    proposed_ns: int
    final_ns: int
    relay_ns: tuple[int, ...]
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds up to a moment, by who spent them.

    ``machine_s`` is what the whole machine did, whoever asked for it; 0 if it is not known.
    """

    validators_s: float
    relays_s: float
    driver_s: float = 0.0
    machine_s: float = 0.0

    def since(self, other: "Spent") -> "Spent":
        """What was spent after ``other``."""
        return Spent(
            self.validators_s - other.validators_s, self.relays_s - other.relays_s,
            self.driver_s - other.driver_s, self.machine_s - other.machine_s,
        )

    @property
    def total_s(self) -> float:
        """All together."""
        return self.validators_s + self.relays_s + self.driver_s

    @property
    def strangers_s(self) -> float:
        """What others had of the machine: those whom nobody here has started."""
        return max(0.0, self.machine_s - self.total_s)


@dataclass(slots=True, kw_only=True)
class Trace:
    """One load on one host. Instants are the host's own, in nanoseconds.

    ``ids``, ``intended_ns``, ``accepted_ns`` (0: never) and ``relay_of`` are by ballot.
    ``spent`` is that of the steady part, ``sent_bytes`` and ``sent_frames`` of the whole run,
    in which ``transactions`` became final. ``granted_root`` is the state after the
    registrar's grants, ``head_root`` that at the end; ``is_replayed`` says that a replay of all
    blocks leads there. ``killed_height`` was the head as the next proposer was killed.
    ``looks`` tell how fast the machine was in a real run.
    """

    host: str
    load: Load
    begin_ns: int
    ids: list[bytes]
    intended_ns: list[int]
    accepted_ns: list[int]
    relay_of: list[int]
    blocks: list[SeenBlock]
    spent: Spent
    spent_over_s: float
    sent_bytes: int
    sent_frames: int
    transactions: int
    granted_root: bytes
    head_root: bytes
    is_replayed: bool
    killed_ns: int = 0
    killed_height: int = 0
    looks: Sequence[Look] = ()

    @property
    def strangers(self) -> float:
        """How many cores others had in the steady part of a real run; 0 in a simulated one."""
        return self.spent.strangers_s / self.spent_over_s

    @property
    def steady_ns(self) -> tuple[int, int]:
        """Where the steady part begins and ends."""
        load = self.load
        return (self.begin_ns + round(load.warm_s * SECOND_NS),
                self.begin_ns + round((load.seconds - load.cool_s) * SECOND_NS))


def compute_throughput(trace: Trace) -> float:
    """Final transactions per second between the first and the last block of the steady part."""
    since_ns, until_ns = trace.steady_ns
    steady = [block for block in trace.blocks if since_ns <= block.final_ns < until_ns]
    if len(steady) < 2:
        return 0.0
    count = sum(len(block.ids) for block in steady[1:])
    return count * SECOND_NS / (steady[-1].final_ns - steady[0].final_ns)


def compute_waits(trace: Trace) -> dict[str, Column]:
    """Seconds until accepted, included, final, of the ballots intended in the steady part.

    Raises AssertionError if one of those is not final or was not accepted: waits of survivors
    would flatter.
    """
    since_ns, until_ns = trace.steady_ns
    place = {item: block for block in trace.blocks for item in block.ids}
    rows = []
    for number, intended_ns in enumerate(trace.intended_ns):
        if since_ns <= intended_ns < until_ns:
            block = place.get(trace.ids[number])
            assert block is not None, f"{trace.host}: ballot {number} is not final"
            assert trace.accepted_ns[number], f"{trace.host}: ballot {number} has no verdict"
            final_ns = block.relay_ns[trace.relay_of[number]]
            rows.append((
                trace.accepted_ns[number] - intended_ns, block.proposed_ns - intended_ns,
                final_ns - intended_ns,
            ))
    assert rows, "nothing was intended in the steady part"
    columns = np.array(rows, dtype=np.float64).T / SECOND_NS
    return dict(zip(("accepted", "included", "final"), columns, strict=True))


def compute_intervals(trace: Trace) -> Column:
    """Seconds from final block to final block in the steady part."""
    since_ns, until_ns = trace.steady_ns
    moments = np.array([
        block.final_ns for block in trace.blocks if since_ns <= block.final_ns < until_ns
    ])
    return np.diff(moments) / SECOND_NS


def compute_consensus(trace: Trace) -> Column:
    """Seconds from a proposal until the block is final somewhere, in the steady part."""
    since_ns, until_ns = trace.steady_ns
    return np.array([
        (block.final_ns - block.proposed_ns) / SECOND_NS for block in trace.blocks
        if since_ns <= block.final_ns < until_ns
    ])


def compute_recovery_s(trace: Trace) -> float:
    """From the kill until the block that the dead one was to propose is final anywhere."""
    assert trace.killed_ns
    wanted = trace.killed_height + 1
    after = [block.final_ns for block in trace.blocks if block.height == wanted]
    assert after, f"{trace.host}: no block after the kill"
    return (after[0] - trace.killed_ns) / SECOND_NS


def describe_saturation(trace: Trace) -> dict[str, float]:
    """The figures of a load that saturates."""
    rate_per_s = compute_throughput(trace)
    return {"capacity_per_s": rate_per_s, **describe_work(trace, rate_per_s)}


def describe_steady(trace: Trace) -> dict[str, float]:
    """The figures of a load below the capacity."""
    rate_per_s = compute_throughput(trace)
    waits = {
        f"{name}_p{percentile}_s": float(np.percentile(column, percentile))
        for name, column in compute_waits(trace).items() for percentile in PERCENTILES
    }
    return {"throughput_per_s": rate_per_s, **waits, **describe_work(trace, rate_per_s)}


def describe_work(trace: Trace, rate_per_s: float) -> dict[str, float]:
    """The figures of either: how blocks went, and what a final transaction cost."""
    final = rate_per_s * trace.spent_over_s
    assert final > 0, f"{trace.host}: nothing was final"
    return {
        "block_s": float(np.mean(compute_intervals(trace))),
        "consensus_s": float(np.mean(compute_consensus(trace))),
        "validators_us": trace.spent.validators_s / final * 1e6,
        "relays_us": trace.spent.relays_s / final * 1e6,
        "driver_us": trace.spent.driver_s / final * 1e6,
        "cores_busy": trace.spent.total_s / trace.spent_over_s,
        "bytes": trace.sent_bytes / trace.transactions,
        "frames": trace.sent_frames / trace.transactions,
    }


def read_blocks(chain: Chain) -> dict[int, tuple[bytes, ...]]:
    """The ids of each final block's transactions, in order, by height."""
    params = chain.genesis.params
    return {
        height: tuple(
            transaction.id
            for encoded in decode_block(chain.get_encoded(height), params).bundles
            for transaction in decode_bundle(encoded, params).transactions
        )
        for height in range(1, chain.height + 1)
    }


def list_ids(encodings: list[bytes]) -> list[bytes]:
    """The ids of encoded transactions."""
    return [decode_transaction(encoded, len(encoded)).id for encoded in encodings]
