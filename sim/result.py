"""What a run leaves behind: ``RunResult``, saved in a folder and loaded from it.

``result.json`` has the top level that gates and people read; ``details.json``, ``series.npz``
and ``histograms.npz`` have what the page draws. reports/README.md documents all four. Positions
in time end in ``_s`` and are seconds of the local day on which the run began.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from math import isfinite
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import numpy as np

from sim.errors import ConfigurationError
from sim.histogram import (
    FloatArray,
    Histogram,
    IntArray,
    StrArray,
    pack_histograms,
    unpack_histograms,
)
from sim.journal import Journal
from sim.registry import get_metric
from sim.thresholds import Threshold, ThresholdOutcome

SCHEMA = 1

SIMULATED = "simulated"
"""A run's host: virtual peers in virtual time. Any other names real processes."""

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


class ExitCode(IntEnum):
    """What the process answers, after k6's numbers."""

    PASSED = 0
    THRESHOLD_FAILED = 99
    BAD_CONFIGURATION = 104
    STOPPED = 105
    SCRIPT_ERROR = 107
    INVARIANT_BROKEN = 110
    INVALID_RUN = 111


class Verdict(Enum):
    """The word for how a run ended. Runs that never began have an exit code only."""

    PASSED = "passed"
    FAILED = "failed"
    STOPPED = "stopped"
    BROKEN = "broken"
    INVALID = "invalid"

    @property
    def exit_code(self) -> ExitCode:
        """The process's answer for this verdict."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.PASSED: ExitCode.PASSED,
    Verdict.FAILED: ExitCode.THRESHOLD_FAILED,
    Verdict.STOPPED: ExitCode.STOPPED,
    Verdict.BROKEN: ExitCode.INVARIANT_BROKEN,
    Verdict.INVALID: ExitCode.INVALID_RUN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InvariantOutcome:
    """A property that must hold whatever happens, and whether it held; ``detail`` says how."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpan:
    """A fault that was in force between two moments of the local day."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a transaction's way, by itself: how long it takes, and what it is."""

    name: str
    about: str
    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowTransaction:
    """One of the slowest transactions; ``stages`` holds (name, seconds) in order."""

    identity: str
    intended_s: float
    total_s: float
    region: str
    tries: int
    stages: tuple[tuple[str, float], ...]
    block: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficRow:
    """What one kind of link carried: ``kind`` is "role" or "region"; names of both ends."""

    kind: str
    source: str
    target: str
    frames: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """What one real process cost: seconds of processor time in all, and (kind, seconds).

    ``killed`` times it could not tell its last counters: the last seconds are missing.
    """

    name: str
    role: str
    starts: int
    killed: int
    cpu_s: float
    peak_mb: float
    kinds: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TheoryRow:
    """A law, what it predicts, what was measured, and how far apart they may be."""

    law: str
    predicted: float
    measured: float
    unit: str
    slack_ratio: float

    @property
    def ratio(self) -> float:
        """Measured over predicted; 1 if both are 0."""
        if self.predicted == 0:
            return 1.0 if self.measured == 0 else float("inf")
        return self.measured / self.predicted

    @property
    def agrees(self) -> bool:
        """Whether the ratio is within the slack."""
        return abs(self.ratio - 1) <= self.slack_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Everything known about a finished or stopped run.

    ``config`` is plain JSON (``describe_config`` makes it), ``costs`` the name of the cost
    table and ``costs_hash`` that of its prices, ``fidelity`` how near such figures were to real
    peers' when they were last compared ("" for real ones), ``host`` what ran the peers,
    ``note`` one sentence about the verdict where there is one ("stopped at 12:40"),
    ``subject`` what the city's users send (ballot, application, bid). ``series`` are arrays of
    one length with ``t_s``; ``blocks`` are columns of one length (height, at_s, interval_s,
    round, transactions, bytes, propagation_p50_s, propagation_p95_s). Metrics must be
    registered and finite.
    """

    verdict: Verdict
    digest: str
    scenario: str
    seed: int
    config: Json
    costs: str
    thresholds: tuple[ThresholdOutcome, ...]
    metrics: Mapping[str, float]
    costs_hash: str = ""
    fidelity: str = ""
    commit: str = "unknown"
    versions: Mapping[str, str] = field(default_factory=dict)
    host: str = SIMULATED
    question: str = ""
    note: str = ""
    subject: str = "transaction"
    reproduce: str = ""
    series: Mapping[str, FloatArray] = field(default_factory=dict)
    blocks: Mapping[str, FloatArray] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    faults: tuple[FaultSpan, ...] = ()
    stages: tuple[Stage, ...] = ()
    slowest: tuple[SlowTransaction, ...] = ()
    traffic: tuple[TrafficRow, ...] = ()
    processes: tuple[ProcessRow, ...] = ()
    theory: tuple[TheoryRow, ...] = ()
    invariants: tuple[InvariantOutcome, ...] = ()
    journal: Journal | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name, value in self.metrics.items():
            get_metric(name)
            assert isfinite(value), f"{name} is {value}"
        # ragged columns would draw a figure that lies
        for columns in (self.series, self.blocks):
            lengths = {len(column) for column in columns.values()}
            assert len(lengths) <= 1, f"columns of different lengths: {sorted(lengths)}"

    @property
    def exit_code(self) -> ExitCode:
        """The process's answer."""
        return self.verdict.exit_code

    @property
    def config_hash(self) -> str:
        """The first 16 hex digits of SHA-256 over the configuration's sorted JSON."""
        # of the sorted and unspaced text, or a field's place in its class would change the hash
        text = json.dumps(self.config, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def build_json(self) -> dict[str, Json]:
        """The content of ``result.json``, in the order in which it is written."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.value,
            "exit_code": int(self.exit_code),
            "digest": self.digest,
            "scenario": self.scenario,
            "host": self.host,
            "seed": self.seed,
            "config": self.config,
            "config_hash": self.config_hash,
            "commit": self.commit,
            "versions": describe_config(self.versions),
            "costs": self.costs,
            "costs_hash": self.costs_hash,
            "fidelity": self.fidelity,
            "thresholds": [describe_config(outcome) for outcome in self.thresholds],
            "metrics": describe_config(self.metrics),
        }

    def save(self, folder: Path) -> None:
        """Write the four files, and the journal if it is there, into a new or empty folder.

        Raises ConfigurationError if the folder already holds something or cannot be written.
        """
        require_empty(folder)
        details = {name: describe_config(getattr(self, name)) for name in _DETAILS}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_json(folder / "result.json", self.build_json())
            _write_json(folder / "details.json", details)
            blocks = {f"blocks.{name}": column for name, column in self.blocks.items()}
            _write_arrays(folder / "series.npz", {**self.series, **blocks})
            _write_arrays(folder / "histograms.npz", pack_histograms(self.histograms))
            if self.journal is not None:
                self.journal.save(folder / "journal.npz")
        except OSError as error:
            raise _unwritable(folder, error) from error

    @classmethod
    def load(cls, folder: Path) -> "RunResult":
        """Read a run folder; ConfigurationError if it is missing, damaged or too new."""
        if not (folder / "result.json").is_file():
            raise ConfigurationError("folder", str(folder), "there is no result.json in it")
        try:
            return _load(folder)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            remedy = f"it is damaged: {error}"
            raise ConfigurationError("folder", str(folder), remedy) from error


# What only the page needs, so that result.json stays small enough to read and to compare
_DETAILS = (
    "question", "note", "subject", "reproduce", "faults", "stages", "slowest", "traffic",
    "processes", "theory", "invariants",
)


def decide_verdict(
    *, thresholds: Sequence[ThresholdOutcome], invariants: Sequence[InvariantOutcome],
    stopped: bool = False, invalid: bool = False,
) -> Verdict:
    """The gravest thing that happened: broken, invalid, stopped, failed, or else passed.

    A stopped run can neither pass nor fail: its thresholds are not judged.
    """
    if not all(outcome.passed for outcome in invariants):
        return Verdict.BROKEN
    if invalid:
        return Verdict.INVALID
    if stopped:
        return Verdict.STOPPED
    passed = all(outcome.passed for outcome in thresholds)
    return Verdict.PASSED if passed else Verdict.FAILED


def describe_config(value: object) -> Json:
    """Dataclasses, sequences, mappings, enums, bytes and thresholds as plain JSON."""
    if isinstance(value, Enum):
        return describe_config(value.value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Threshold):
        return value.rule
    if dataclasses.is_dataclass(value):
        names = [item.name for item in dataclasses.fields(value)]
        return {name: describe_config(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): describe_config(item) for name, item in sorted(value.items())}
    if isinstance(value, Sequence):
        return [describe_config(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no plain form")


def require_empty(folder: Path) -> None:
    """ConfigurationError if the folder exists with something in it, or is not a folder."""
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise _unwritable(folder, error) from error
    if taken:
        raise _taken(folder)


def create_folder(folder: Path) -> None:
    """Claim a run's folder; ConfigurationError if it exists or cannot be made."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise _taken(folder) from error
    except OSError as error:
        raise _unwritable(folder, error) from error


def _taken(folder: Path) -> ConfigurationError:
    return ConfigurationError("--out", str(folder), "it exists; name a new folder")


def _unwritable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError("--out", str(folder), f"it cannot be written: {error.strerror}")


def _write_json(path: Path, content: dict[str, Json]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_arrays(path: Path, arrays: Mapping[str, FloatArray | IntArray | StrArray]) -> None:
    # numpy's stubs take the mapping's values for its flag allow_pickle
    np.savez_compressed(path, **dict(sorted(arrays.items())))  # type: ignore[arg-type]


def _load(folder: Path) -> RunResult:
    main = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if main["schema"] != SCHEMA:
        raise ConfigurationError("schema", main["schema"], f"this Veche reads schema {SCHEMA}")
    details = json.loads((folder / "details.json").read_text(encoding="utf-8"))
    with np.load(folder / "series.npz", allow_pickle=False) as arrays:
        columns: dict[str, FloatArray] = {name: arrays[name] for name in arrays.files}
    with np.load(folder / "histograms.npz", allow_pickle=False) as arrays:
        histograms = unpack_histograms({name: arrays[name] for name in arrays.files})
    same = ("digest", "scenario", "seed", "config", "costs", "metrics", "commit", "versions")
    words = ("question", "note", "subject", "reproduce")
    return RunResult(
        verdict=Verdict(main["verdict"]),
        costs_hash=main.get("costs_hash", ""),  # older results have none
        fidelity=main.get("fidelity", ""),
        host=main.get("host", SIMULATED),
        thresholds=tuple(ThresholdOutcome(**row) for row in main["thresholds"]),
        series={name: col for name, col in columns.items() if not name.startswith("blocks.")},
        blocks={name[7:]: col for name, col in columns.items() if name.startswith("blocks.")},
        histograms=histograms,
        faults=tuple(FaultSpan(**row) for row in details["faults"]),
        stages=tuple(Stage(**row) for row in details["stages"]),
        slowest=tuple(
            SlowTransaction(**row | {"stages": tuple((name, s) for name, s in row["stages"])})
            for row in details["slowest"]
        ),
        traffic=tuple(TrafficRow(**row) for row in details["traffic"]),
        processes=tuple(
            ProcessRow(**row | {"kinds": tuple((name, s) for name, s in row["kinds"])})
            for row in details.get("processes", ())  # older results have none
        ),
        theory=tuple(TheoryRow(**row) for row in details["theory"]),
        invariants=tuple(InvariantOutcome(**row) for row in details["invariants"]),
        **{name: main[name] for name in same},
        **{name: details[name] for name in words},
    )
