"""What a unit of work costs in virtual time, from a table that was measured on real code.

The reference table is committed, so that results do not depend on the machine that simulates;
``veche calibrate`` makes one of another machine. Every result names its table and its prices.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from node.work import WorkKind
from sim.errors import ConfigurationError
from sim.topology import DATA, HardwareProfile

REFERENCE = DATA / "costs_reference.json"
NS_MAX = 60_000_000_000
CONTENTION_MAX = 10.0

PARALLEL = (WorkKind.CHECK_SIGNATURE, WorkKind.OPEN_BOX)
"""Kinds whose units within one piece of work are spread over the cores; nothing else is."""

CRYPTO = (WorkKind.CHECK_SIGNATURE, WorkKind.SIGN, WorkKind.OPEN_BOX)
"""Kinds that are one library's arithmetic and nothing else."""

FROM_PROFILE = (WorkKind.DISK_SYNC,)
"""Kinds that the hardware profile prices and the table leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contention:
    """How many times as long work takes on a core while all others do the like of it.

    ``spread_ratio`` is how far repeats differed. 1.0, which is also what a table means that is
    silent, says that cores take nothing from one another. It counts only where several peers
    share one machine (``sim.cores``); in an ordinary city each has its own.
    """

    ratio: float = 1.0
    spread_ratio: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.ratio <= CONTENTION_MAX:
            raise ConfigurationError(
                "contention.ratio", self.ratio, f"give 1 to {CONTENTION_MAX:g}"
            )
        if not 0 <= self.spread_ratio <= CONTENTION_MAX:
            raise ConfigurationError(
                "contention.spread_ratio", self.spread_ratio, f"give 0 to {CONTENTION_MAX:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """Nanoseconds per unit, by ``WorkKind``; ``spread_ratio`` is how far repeats differed.

    ``machine`` is the processor and ``cores`` what it had when it was measured.
    ``disk_sync_ns`` was measured there too, 0 if it was not, and is charged to nobody: the
    hardware profile says what disk a peer has. ``ns`` are those of a core that works alone,
    ``contention`` tells what all of them at work take from one another.
    """

    name: str
    machine: str
    cores: int
    spread_ratio: float
    ns: tuple[float, ...]
    disk_sync_ns: float = 0.0
    contention: Contention = Contention()

    def __post_init__(self) -> None:
        assert len(self.ns) == len(WorkKind), "each kind has a cost"
        for kind in WorkKind:
            if not 0 <= self.ns[kind] <= NS_MAX:
                raise ConfigurationError(
                    f"costs.{kind.name.lower()}", self.ns[kind], f"give 0 to {NS_MAX} ns"
                )

    @property
    def digest(self) -> str:
        """The first 16 hex digits of SHA-256 over the prices, whatever the table's name is.

        Contention is not in it: it touches no run of a city. Who puts peers on one machine
        names it beside (bench.fidelity).
        """
        prices = {kind.name.lower(): float(self.ns[kind]) for kind in WorkKind}
        return sha256(json.dumps(prices, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How many times as fast as by its prices a processor is, at cryptography and all else.

    A shared machine may be slow at one and not at the other.
    """

    crypto_ratio: float = 1.0
    other_ratio: float = 1.0

    def __post_init__(self) -> None:
        assert self.crypto_ratio > 0
        assert self.other_ratio > 0


@dataclass(frozen=True, slots=True)
class Prices:
    """A table made ready for one sort of machine: integer picoseconds per unit, by kind.

    ``units`` of a kind cost ``ps[kind] * ceil(units / over[kind])``, where ``over`` is the
    number of cores for parallel kinds and 1 for the others. Peers of a profile share one.
    """

    ps: tuple[int, ...]
    over: tuple[int, ...]

    def compute_ns(self, kind: WorkKind, units: int) -> int:
        """The time that this much work takes."""
        assert units >= 0
        return self.ps[kind] * -(-units // self.over[kind]) // 1_000

    def at(self, speed: Speed) -> "Prices":
        """Those of a processor that is so fast; one waits as long for its disk.

        To hand bytes to it is work here, as on a shared machine (``sim.tenant``).
        """
        ps = [
            each if kind is WorkKind.DISK_SYNC
            else round(each / (speed.crypto_ratio if kind in CRYPTO else speed.other_ratio))
            for kind, each in zip(WorkKind, self.ps, strict=True)
        ]
        return Prices(tuple(ps), self.over)


def price(table: CostTable, profile: HardwareProfile, factor: float = 1.0) -> Prices:
    """Prices on a machine; ``factor`` slows its processor down, its disk stays as it is."""
    assert factor > 0
    # Picoseconds: a byte hashed costs less than a nanosecond, and floats would add up
    # differently from one order of work to another.
    scale = 1_000 * factor / profile.speed_ratio
    ps = [round(ns * scale) for ns in table.ns]
    ps[WorkKind.DISK_SYNC] = profile.disk_sync_ns * 1_000
    ps[WorkKind.DISK_BYTES] = round(table.ns[WorkKind.DISK_BYTES] * 1_000)
    over = [profile.cores if kind in PARALLEL else 1 for kind in WorkKind]
    return Prices(tuple(ps), tuple(over))


def load_costs(path: Path = REFERENCE) -> CostTable:
    """Read a table. Raises ConfigurationError for missing, unknown or absurd entries."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        costs: dict[str, object] = dict(table["ns"])
        name, spread = str(table["name"]), float(table["spread_ratio"])
        machine, cores = str(table["machine"]["processor"]), int(table["machine"]["cores"])
        sync_ns = float(table.get("disk_sync_ns", 0))
        contention = _take_contention(table.get("contention", {}))
    except KeyError as error:
        remedy = f"it is no table of costs: {error} is missing"
        raise ConfigurationError("costs", str(path), remedy) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError("costs", str(path), f"it cannot be read: {error}") from error
    return CostTable(
        name=name, machine=machine, cores=cores, spread_ratio=spread, ns=_take_prices(costs),
        disk_sync_ns=sync_ns, contention=contention,
    )


def _take_contention(written: object) -> Contention:
    if not isinstance(written, dict):
        raise ConfigurationError("contention", written, "give ratio and spread_ratio")
    known = ("ratio", "spread_ratio")
    for key, value in written.items():
        if key not in known and key != "about":
            remedy = f"known entries: {', '.join(known)}"
            raise ConfigurationError(f"contention.{key}", value, remedy)
        if key in known and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigurationError(f"contention.{key}", value, "give a number")
    return Contention(**{key: float(written[key]) for key in known if key in written})


def _take_prices(costs: dict[str, object]) -> tuple[float, ...]:
    wanted = [kind.name.lower() for kind in WorkKind if kind not in FROM_PROFILE]
    for key in sorted(set(wanted) ^ set(costs)):
        remedy = "add it" if key in wanted else f"known kinds: {', '.join(wanted)}"
        raise ConfigurationError(f"costs.{key}", costs.get(key), remedy)
    prices: dict[str, float] = {}
    for key, ns in costs.items():
        # JSON's true is a number to Python
        if isinstance(ns, bool) or not isinstance(ns, int | float):
            raise ConfigurationError(f"costs.{key}", ns, "give nanoseconds as a number")
        prices[key] = ns
    return tuple(prices.get(kind.name.lower(), 0) for kind in WorkKind)
