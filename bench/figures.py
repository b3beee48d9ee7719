"""A measured figure: the values of its repeats, its unit, and the target it is held to."""

import gc
import os
import platform
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

SCHEMA = 1


class MeasurementFailed(Exception):
    """What was timed did not do what it should have done, so its time says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure should reach."""

    sense: Literal["<=", ">="]
    value: float

    def is_met(self, value: float) -> bool:
        """Whether ``value`` reaches it."""
        return value <= self.value if self.sense == "<=" else value >= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table. ``about`` says what was counted; ``values`` has one per repeat."""

    name: str
    unit: str
    values: tuple[float, ...]
    about: str
    target: Target | None = None

    def __post_init__(self) -> None:
        assert self.values, self.name

    @property
    def median(self) -> float:
        """The figure, in its unit."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        return None if self.target is None else self.target.is_met(self.median)

    def build_json(self) -> dict[str, Json]:
        """The figure as it stands in the JSON file."""
        target: Json = None
        if self.target is not None:
            target = {
                "sense": self.target.sense, "value": self.target.value,
                "met": self.target.is_met(self.median),
            }
        return {
            "unit": self.unit, "median": self.median, "min": min(self.values),
            "max": max(self.values), "repeats": len(self.values), "target": target,
            "about": self.about,
        }


def build_report(figures: list[Figure], settings: dict[str, Json]) -> dict[str, Json]:
    """The whole JSON file: schema, machine, settings, and figures by name."""
    assert len({figure.name for figure in figures}) == len(figures)
    return {
        "schema": SCHEMA, "machine": describe_machine(), "settings": settings,
        "figures": {figure.name: figure.build_json() for figure in figures},
    }


def describe_machine() -> dict[str, Json]:
    """Where the figures come from; ``load`` is the run queue of the last minute."""
    return {
        "cores": len(os.sched_getaffinity(0)), "processor": read_processor(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2),
    }


def read_processor() -> str:
    """The processor's name, if the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


@contextmanager
def collector_off() -> Iterator[None]:
    """Time without garbage collections, as simulations run."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
