"""How near simulated figures were to a real cluster's, when they were last compared.

``python -m bench fidelity --keep`` runs one load on processes and on virtual peers and writes
what came of it here; every simulated result carries it, so that a figure of a thousand peers
says how far the model was off where it could be held against real ones.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from sim.errors import ConfigurationError
from sim.topology import DATA

KEPT = DATA / "fidelity.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Ratios are simulated over measured: final throughput at saturation, and the median and
    the 99th percentile of the time to final at half of it. ``date`` is year-month-day."""

    date: str
    machine: str
    cores: int
    validators: int
    relays: int
    capacity_ratio: float
    final_p50_ratio: float
    final_p99_ratio: float

    @property
    def label(self) -> str:
        """What a result says of it, in one line."""
        return (
            f"capacity {self.capacity_ratio:.2f}, p50 {self.final_p50_ratio:.2f}, "
            f"p99 {self.final_p99_ratio:.2f} of {self.validators} real validators' "
            f"({self.date})"
        )

    def save(self, path: Path = KEPT) -> None:
        """Write it. Raises ConfigurationError if that is not possible."""
        content = {"schema": SCHEMA} | {name: getattr(self, name) for name in self.__slots__}
        try:
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                "fidelity", str(path), f"it cannot be written: {error.strerror}"
            ) from error


def load_fidelity(path: Path = KEPT) -> Fidelity:
    """The last comparison. Raises ConfigurationError for what is not one."""
    remedy = "python -m bench fidelity --keep makes a new one"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise ConfigurationError("fidelity.schema", str(path), remedy)
        return Fidelity(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError("fidelity", str(path), remedy) from error
