"""Thresholds: one rule each over one metric, ``latency.final.p99_s <= 30``.

A rule over a metric that was not measured fails: silence must not pass a gate.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from sim.errors import ConfigurationError
from sim.registry import get_metric

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt,
    "==": operator.eq, "!=": operator.ne,
}

_RULE = re.compile(r"\s*([A-Za-z][\w.]*)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*\Z")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A rule such as ``Threshold("lost.count == 0")``.

    Raises ConfigurationError for an unknown metric (with a suggestion), operator or number.
    """

    rule: str
    metric: str = field(init=False)
    operator: str = field(init=False)
    limit: float = field(init=False)

    def __post_init__(self) -> None:
        match = _RULE.match(self.rule)
        if match is None:
            remedy = 'write "metric operator number", such as "lost.count == 0"'
            raise ConfigurationError("threshold", self.rule, remedy)
        metric, sign, number = match.groups()
        get_metric(metric, "threshold")
        # frozen, and yet read out of its own rule
        object.__setattr__(self, "metric", metric)
        object.__setattr__(self, "operator", sign)
        object.__setattr__(self, "limit", _parse_number(self.rule, number))

    def evaluate(
        self, metrics: Mapping[str, float], *, whole: bool = True
    ) -> "ThresholdOutcome":
        """Whether the rule holds for these metrics; those of a part of a run prove nothing."""
        actual = metrics.get(self.metric)
        passed = actual is not None and OPERATORS[self.operator](actual, self.limit)
        return ThresholdOutcome(
            rule=self.rule, actual=actual, passed=passed if whole else None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdOutcome:
    """A rule, what was measured (None: nothing was), and whether the rule holds.

    ``passed`` is None if it was not judged: the run came to its end before its time.
    """

    rule: str
    actual: float | None
    passed: bool | None

    def __post_init__(self) -> None:
        assert self.actual is not None or not self.passed, "nothing measured cannot pass"


def _parse_number(rule: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ConfigurationError("threshold", rule, f"{text} is not a number") from error
    if not isfinite(number):
        raise ConfigurationError("threshold", rule, f"{text} is not a finite number")
    return number
