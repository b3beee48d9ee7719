"""A scenario is data: a question, its answer as thresholds, who takes part, and what fails.

A file defines ``scenario = Scenario(...)``; its docstring asks the question. ``load_scenario``
takes a name in scenarios/ or the path of anyone's own file.
"""

import importlib.util
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from node.errors import InvalidParams
from node.params import ENGINES, Params
from sim.errors import ConfigurationError, ScenarioScriptError, require_whole, suggest
from sim.faults import Fault, parse_fault
from sim.thresholds import Threshold
from sim.times import format_duration, parse_time_ns
from sim.topology import PRESETS, TopologyConfig
from sim.workload import Workload

SCENARIOS = Path(__file__).parent.parent / "scenarios"
PEERS_MIN = 5
PEERS_MAX = 100_000
USERS_MAX = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What ``--set`` changes: its name, its value now, and in which unit that is."""

    name: str
    value: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LateJoin:
    """``observers`` observers start only at ``at`` (local time), from genesis."""

    observers: int
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One question to the city. Raises ConfigurationError with the field and its value.

    Of ``peers``, 2.5 % are validators (at least 4), 7.5 % relays (at least 4) and the others
    observers, unless ``validators`` or ``relays`` say otherwise. ``starts`` leaves time for
    registration before the workload opens.
    """

    name: str
    question: str
    workload: Workload
    users: int = 1_500_000
    peers: int = 1_000
    seed: int = 1
    validators: int | None = None
    relays: int | None = None
    preset: str = "city"
    starts: str = "07:30"
    params: Params = field(default_factory=Params)
    faults: tuple[Fault, ...] = ()
    late: LateJoin | None = None
    thresholds: tuple[Threshold, ...] = ()

    def __post_init__(self) -> None:
        require_whole("users", self.users, 1, USERS_MAX)
        require_whole("peers", self.peers, PEERS_MIN, PEERS_MAX)
        require_whole("seed", self.seed, 0, 2**63 - 1)
        self.build_topology_config()
        if self.late is not None:
            observers = self.build_topology_config().observers
            require_whole("late.observers", self.late.observers, 1, observers)

    def build_topology_config(self) -> TopologyConfig:
        """How the peers are divided among the roles."""
        validators = self.validators
        # fewer than four forgive no fault at all
        if validators is None:
            validators = max(4, round(self.peers * 0.025))
        relays = max(4, round(self.peers * 0.075)) if self.relays is None else self.relays
        if validators + relays > self.peers:
            remedy = f"give more: {validators} validators and {relays} relays are among them"
            raise ConfigurationError("peers", self.peers, remedy)
        return TopologyConfig(
            validators=validators, relays=relays,
            observers=self.peers - validators - relays, preset=self.preset,
        )

    def verify_times(self) -> None:
        """Raises ConfigurationError unless the run starts, opens and closes in this order."""
        workload = self.workload
        starts_ns = parse_time_ns("starts", self.starts)
        opens_ns = parse_time_ns("opens", workload.opens)
        if opens_ns < starts_ns:
            remedy = f"must not be after opens={workload.opens}"
            raise ConfigurationError("starts", self.starts, remedy)
        if parse_time_ns("closes", workload.closes) <= opens_ns:
            remedy = f"must be after opens={workload.opens}"
            raise ConfigurationError("closes", workload.closes, remedy)

    def with_overrides(
        self, *, users: int | None = None, peers: int | None = None, seed: int | None = None,
        engine: str | None = None, settings: dict[str, str] | None = None,
        faults: tuple[str, ...] = (),
    ) -> "Scenario":
        """The same question at another scale; ``settings`` are ``--set name=value``.

        A setting names a field of the scenario, of its workload or of the chain's parameters.
        """
        scenario = self
        if users is not None:
            scenario = replace(scenario, users=users)
        if peers is not None:
            scenario = _scale(scenario, peers)
        if seed is not None:
            scenario = replace(scenario, seed=seed)
        try:
            if engine is not None:
                params = replace(scenario.params, engine=engine)
                scenario = replace(scenario, params=params)
            for name, text in (settings or {}).items():
                scenario = _set(scenario, name, text)
        except InvalidParams as error:
            raise _translate(error) from error
        parsed = tuple(parse_fault(text) for text in faults)
        return replace(scenario, faults=scenario.faults + parsed) if parsed else scenario

    def list_settings(self) -> dict[str, tuple[Setting, ...]]:
        """All that ``--set`` can change, by what it belongs to."""
        counts = self.build_topology_config()
        # None stands for what the number of peers makes it
        whole = replace(self, validators=counts.validators, relays=counts.relays)
        workload = f"its workload, {type(self.workload).__name__}"
        parts = {"the scenario": whole, workload: self.workload, "the chain": self.params}
        return {
            title: tuple(_describe(name, getattr(part, name)) for name in _list_names(part))
            for title, part in parts.items()
        }


_FIXED = {"name", "question", "workload", "params", "faults", "late", "thresholds", "engine"}
_UNITS = (
    ("_bytes_max", "bytes"), ("_ratio", "share from 0 to 1"), ("_s", "s"),
    ("opens", "local time"), ("closes", "local time"), ("starts", "local time"),
    ("curve", "file in scenarios/data or path"), ("preset", ", ".join(PRESETS)),
)


def _describe(name: str, now: int | float | str) -> Setting:
    if isinstance(now, int) and name.endswith("_ns"):
        return Setting(name=name, value=str(now), unit=f"ns ({format_duration(now)})")
    unit = next((unit for ending, unit in _UNITS if name.endswith(ending)), "")
    return Setting(name=name, value=str(now), unit=unit)


def _scale(scenario: Scenario, peers: int) -> Scenario:
    late = scenario.late
    # as many of them: "100 of 1,000 join late" is another question with 100 of 200
    if late is not None:
        share = late.observers / scenario.peers
        late = replace(late, observers=max(1, round(peers * share)))
    return replace(scenario, peers=peers, late=late)


def _translate(error: InvalidParams) -> ConfigurationError:
    remedy = error.remedy
    if error.field == "engine":
        remedy = suggest(str(error.value), ENGINES)
    return ConfigurationError(error.field, error.value, remedy)


def _set(scenario: Scenario, name: str, text: str) -> Scenario:
    workload, params = scenario.workload, scenario.params
    if name == "peers":
        return _scale(scenario, int(_parse(name, text, scenario.peers)))
    if name in _list_names(scenario):
        return _replace(scenario, name, text)
    if name in _list_names(workload):
        return replace(scenario, workload=_replace(workload, name, text))
    if name in _list_names(params):
        return replace(scenario, params=_replace(params, name, text))
    known = [name for part in (scenario, workload, params) for name in _list_names(part)]
    remedy = suggest(name, known, listed_in="veche run SCENARIO --help-settings")
    raise ConfigurationError("--set", name, remedy)


def _list_names(part: Scenario | Workload | Params) -> list[str]:
    return [item.name for item in fields(part) if item.name not in _FIXED]


Part = TypeVar("Part", Scenario, Workload, Params)


def _replace(part: Part, name: str, text: str) -> Part:
    now: object = getattr(part, name)
    changed: dict[str, int | float | str] = {name: _parse(name, text, now)}
    return replace(part, **changed)  # type: ignore[arg-type]  # the field's own type


def _parse(name: str, text: str, now: object) -> int | float | str:
    if isinstance(now, str):
        return text
    try:
        return float(text) if isinstance(now, float) else int(text)
    except ValueError as error:
        kind = "number" if isinstance(now, float) else "whole number"
        raise ConfigurationError(name, text, f"give a {kind}") from error


def list_scenarios() -> list[str]:
    """The names of the scenarios that come with Veche."""
    files = SCENARIOS.glob("*.py")
    return sorted(file.stem.replace("_", "-") for file in files if file.stem != "__init__")


def load_scenario(name_or_path: str) -> Scenario:
    """The scenario of that name, or in that file.

    Raises ConfigurationError for an unknown name or a file without ``scenario``, and
    ScenarioScriptError, with the line, for a file that raises.
    """
    path = Path(name_or_path)
    if path.suffix != ".py":
        path = SCENARIOS / f"{name_or_path.replace('-', '_')}.py"
        if not path.is_file() or path.stem == "__init__":
            raise ConfigurationError("scenario", name_or_path, _suggest(name_or_path))
    elif not path.is_file():
        raise ConfigurationError("scenario", name_or_path, "there is no such file")
    scenario = getattr(_execute(path), "scenario", None)
    if not isinstance(scenario, Scenario):
        raise ConfigurationError("scenario", str(path), "define scenario = Scenario(...) in it")
    return scenario


def _suggest(name: str) -> str:
    for own in (Path(f"{name}.py"), Path(f"{name.replace('-', '_')}.py")):
        if own.is_file():
            return f"did you mean {own}?"
    return suggest(name, list_scenarios())


def _execute(path: Path) -> ModuleType:
    # not put into sys.modules: two files of the same name must not be taken for one
    spec = importlib.util.spec_from_file_location(f"scenario_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ScenarioScriptError(str(path.absolute()), error) from error
    return module
