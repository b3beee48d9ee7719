"""The table: each figure on both hosts, their ratio, and whether it is near enough."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import SCHEMA, Json, MeasurementFailed, describe_machine
from bench.table import format_number
from sim.costs import CostTable

NEAR = 0.1
"""How far a ratio may be from 1 where there is a target."""

WIDTH = 72
ROW = "{:<37}{:<6}{:>10}{:>10}  {:<7}"
MS, US = 1_000.0, 1.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table: which figure of which load, and how it is shown."""

    load: str
    figure: str
    label: str
    unit: str
    scale: float = 1.0
    has_target: bool = False


SATURATED, HALF, KILLED = "saturated", "half", "killed"
KINDS = (
    Kind(SATURATED, "capacity_per_s", "capacity, final", "tx/s", has_target=True),
    Kind(SATURATED, "block_s", "  block to block", "ms", MS),
    Kind(SATURATED, "consensus_s", "  proposal to final", "ms", MS),
    Kind(SATURATED, "validators_us", "  processor, validators, per tx", "us"),
    Kind(SATURATED, "relays_us", "  processor, relays, per tx", "us"),
    Kind(SATURATED, "driver_us", "  processor, load generator, per tx", "us"),
    Kind(SATURATED, "cores_busy", "  cores busy", ""),
    Kind(SATURATED, "bytes", "  bytes on links per tx", "B"),
    Kind(SATURATED, "frames", "  messages on links per tx", ""),
    Kind(HALF, "throughput_per_s", "half load, final", "tx/s"),
    Kind(HALF, "accepted_p50_s", "  accepted p50", "ms", MS),
    Kind(HALF, "accepted_p99_s", "  accepted p99", "ms", MS),
    Kind(HALF, "included_p50_s", "  included p50", "ms", MS),
    Kind(HALF, "included_p99_s", "  included p99", "ms", MS),
    Kind(HALF, "final_p50_s", "  final p50", "ms", MS, has_target=True),
    Kind(HALF, "final_p99_s", "  final p99", "ms", MS, has_target=True),
    Kind(HALF, "block_s", "  block to block", "ms", MS),
    Kind(HALF, "consensus_s", "  proposal to final", "ms", MS),
    Kind(HALF, "validators_us", "  processor, validators, per tx", "us"),
    Kind(HALF, "relays_us", "  processor, relays, per tx", "us"),
    Kind(KILLED, "recovery_s", "proposer killed, until a block", "ms", MS),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure on both hosts, each a value per repeat.

    Value by value they are of one load, with the machine as fast as it was for that one.
    """

    kind: Kind
    simulated: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Simulated over measured, median of the repeats; infinite if one measured nothing."""
        if not all(self.measured):
            return float("inf")
        return statistics.median(
            simulated / measured
            for simulated, measured in zip(self.simulated, self.measured, strict=True)
        )

    @property
    def is_near(self) -> bool | None:
        """Whether the ratio is within ``NEAR`` of 1; None without a target."""
        return abs(self.ratio - 1) <= NEAR if self.kind.has_target else None


Figures = Mapping[str, Sequence[Mapping[str, float]]]
"""By load, the figures of each repeat."""


def compare(simulated: Figures, measured: Figures) -> list[Row]:
    """Rows of all that both hosts have."""
    return [
        Row(kind, _take(simulated, kind), _take(measured, kind)) for kind in KINDS
        if simulated.get(kind.load) and measured.get(kind.load)
    ]


def _take(figures: Figures, kind: Kind) -> tuple[float, ...]:
    return tuple(one[kind.figure] for one in figures[kind.load])


def require_equal(what: str, roots: Sequence[bytes]) -> bytes:
    """The one root that all have. Raises MeasurementFailed if they differ."""
    if len(set(roots)) != 1:
        raise MeasurementFailed(f"{what}: {', '.join(root.hex()[:16] for root in roots)}")
    return roots[0]


def describe(row: Row) -> tuple[str, ...]:
    """Its cells."""
    kind = row.kind
    mark = {None: "", True: " ok", False: " no"}[row.is_near]
    return (
        kind.label, kind.unit,
        format_number(statistics.median(row.simulated) * kind.scale),
        format_number(statistics.median(row.measured) * kind.scale),
        f"{row.ratio:.2f}{mark}",
    )


def format_rows(rows: Sequence[Row]) -> str:
    """For a terminal, at most 80 columns."""
    head = ROW.format("figure", "unit", "simulated", "measured", "ratio").rstrip()
    lines = [head, "-" * WIDTH, *(ROW.format(*describe(row)).rstrip() for row in rows)]
    return "\n".join(lines)


def format_markdown(rows: Sequence[Row]) -> str:
    """For the README."""
    lines = ["| load | figure | unit | simulated | measured | ratio |",
             "|---|---|---|---:|---:|---:|"]
    for row in rows:
        label, *cells = describe(row)
        lines.append(f"| {row.kind.load} | {label.strip()} | {' | '.join(cells)} |")
    return "\n".join(lines)


def build_json(
    rows: Sequence[Row], settings: dict[str, Json], costs: CostTable, root: bytes,
    speeds: dict[str, Json], strangers: Sequence[float],
) -> dict[str, Json]:
    """The whole file: as ``bench.figures.build_report``, with both hosts' values.

    ``speeds`` tell, by load, run and second, how fast the machine was against its own cost
    table, and ``strangers`` how many cores others had of it.
    """
    return {
        "schema": SCHEMA, "machine": describe_machine(), "settings": settings,
        "costs": {
            "name": costs.name, "digest": costs.digest,
            "contention_ratio": costs.contention.ratio,
        },
        "granted_root": root.hex(),
        "figures": {
            f"{row.kind.load}.{row.kind.figure}": {
                "label": row.kind.label.strip(),
                "simulated": list(row.simulated), "measured": list(row.measured),
                "ratio": row.ratio, "near": row.is_near,
            } for row in rows
        },
        "strangers_cores": list(strangers),
        "speeds": speeds,
    }
