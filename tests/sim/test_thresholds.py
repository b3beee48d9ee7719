"""Rules over metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigurationError
from sim.thresholds import OPERATORS, Threshold


def test_a_rule_is_read_into_its_parts():
    threshold = Threshold("  latency.final.p99_s<=30 ")
    assert (threshold.metric, threshold.operator, threshold.limit) == (
        "latency.final.p99_s", "<=", 30.0
    )


@pytest.mark.parametrize(("rule", "actual", "passed"), [
    ("lost.count == 0", 0, True), ("lost.count == 0", 1, False),
    ("lost.count != 0", 1, True), ("wall_s < 2", 2, False), ("wall_s <= 2", 2, True),
    ("final.count > 5", 5, False), ("final.count >= 5", 5, True),
])
def test_each_operator_compares_the_actual_value_with_the_limit(rule, actual, passed):
    outcome = Threshold(rule).evaluate({Threshold(rule).metric: actual})
    assert outcome.passed is passed
    assert outcome.actual == actual
    assert outcome.rule == rule


def test_what_was_not_measured_does_not_pass():
    outcome = Threshold("lost.count == 0").evaluate({})
    assert outcome.actual is None
    assert not outcome.passed


def test_a_part_of_a_run_is_measured_and_not_judged():
    for actual in (0, 1, None):
        metrics = {} if actual is None else {"lost.count": actual}
        outcome = Threshold("lost.count == 0").evaluate(metrics, whole=False)
        assert (outcome.actual, outcome.passed) == (actual, None)


def test_an_unknown_metric_suggests_a_name():
    with pytest.raises(ConfigurationError) as caught:
        Threshold("latency.final.p9_s <= 30")
    assert "latency.final.p9_s" in str(caught.value)
    assert "latency.final.p99_s" in caught.value.remedy


@pytest.mark.parametrize("rule", [
    "", "lost.count", "lost.count == ", "lost.count = 0", "lost.count == zero",
    "lost.count == nan", "lost.count <= inf", "lost.count == 0 and wall_s < 1", "== 0",
])
def test_what_is_not_a_rule_is_refused_with_the_rule_shown(rule):
    with pytest.raises(ConfigurationError) as caught:
        Threshold(rule)
    assert caught.value.field == "threshold"
    assert caught.value.exit_code == 104


@given(
    st.sampled_from(sorted(OPERATORS)), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)
)
def test_a_rule_and_its_negation_never_agree(sign, limit, actual):
    opposite = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "!=", "!=": "=="}[sign]
    outcomes = [
        Threshold(f"wall_s {each} {limit!r}").evaluate({"wall_s": actual}).passed
        for each in (sign, opposite)
    ]
    assert sorted(outcomes) == [False, True]
