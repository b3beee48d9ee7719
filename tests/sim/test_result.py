"""A result, its folder, its verdict."""

import json
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from sim.errors import ConfigurationError
from sim.result import (
    ExitCode,
    InvariantOutcome,
    RunResult,
    Verdict,
    create_folder,
    decide_verdict,
    describe_config,
)
from sim.thresholds import Threshold, ThresholdOutcome
from tests.synthetic import build_election, build_fairs

TOP_LEVEL = [
    "schema", "verdict", "exit_code", "digest", "scenario", "host", "seed", "config",
    "config_hash", "commit", "versions", "costs", "costs_hash", "fidelity", "thresholds",
    "metrics",
]


@pytest.fixture(scope="module")
def election():
    return build_election(2_000)


def require_equal(left, right):
    for item in fields(RunResult):
        one, other = getattr(left, item.name), getattr(right, item.name)
        if item.name in ("series", "blocks"):
            assert sorted(one) == sorted(other)
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
        else:
            assert one == other, item.name


@pytest.mark.parametrize("build", [lambda: build_election(2_000), build_fairs])
def test_a_saved_result_is_loaded_as_it_was(tmp_path, build):
    result = build()
    result.save(tmp_path / "run")
    require_equal(result, RunResult.load(tmp_path / "run"))


def test_a_result_from_before_tables_had_digests_is_read(tmp_path, election):
    election.save(tmp_path / "run")
    path = tmp_path / "run/result.json"
    content = json.loads(path.read_text())
    del content["costs_hash"], content["fidelity"]
    path.write_text(json.dumps(content))
    loaded = RunResult.load(tmp_path / "run")
    assert (loaded.costs_hash, loaded.fidelity) == ("", "")


def test_result_json_has_exactly_the_documented_top_level(tmp_path, election):
    election.save(tmp_path / "run")
    content = json.loads((tmp_path / "run/result.json").read_text())
    assert list(content) == TOP_LEVEL
    assert content["schema"] == 1
    assert content["exit_code"] == 99
    assert content["verdict"] == "failed"
    assert content["metrics"]["lost.count"] == 0
    assert content["thresholds"][0] == {"rule": "lost.count == 0", "actual": 0, "passed": True}
    assert list(content["metrics"]) == sorted(content["metrics"])


def test_two_saves_of_one_result_have_the_same_bytes(tmp_path, election):
    for name in ("one", "two"):
        election.save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["details.json", "histograms.npz", "result.json", "series.npz"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_result_never_writes_over_another(tmp_path, election):
    election.save(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="it exists"):
        election.save(tmp_path / "run")


def test_a_folder_that_cannot_be_written_is_named(tmp_path, election):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"--out=.*cannot be written"):
        election.save(tmp_path / "file" / "run")
    with pytest.raises(ConfigurationError, match=r"--out=.*cannot be written"):
        create_folder(tmp_path / "file" / "run")
    with pytest.raises(ConfigurationError, match="it exists"):
        create_folder(tmp_path)


def test_a_missing_or_damaged_folder_is_a_clear_error(tmp_path, election):
    with pytest.raises(ConfigurationError, match=r"no result\.json"):
        RunResult.load(tmp_path)
    for name in ("result.json", "details.json", "series.npz", "histograms.npz"):
        folder = tmp_path / name.partition(".")[0]
        election.save(folder)
        (folder / name).write_bytes(b"{}")
        with pytest.raises(ConfigurationError, match="damaged"):
            RunResult.load(folder)


def test_another_schema_is_refused(tmp_path, election):
    election.save(tmp_path / "run")
    path = tmp_path / "run/result.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2', 1))
    with pytest.raises(ConfigurationError, match="schema=2"):
        RunResult.load(tmp_path / "run")


def test_a_metric_must_be_registered_and_finite():
    with pytest.raises(ConfigurationError, match="did you mean final"):
        replace(build_fairs(), metrics={"fun.count": 1})
    with pytest.raises(AssertionError, match="wall_s is nan"):
        replace(build_fairs(), metrics={"wall_s": float("nan")})


def test_the_config_s_hash_depends_on_content_and_not_on_order():
    one = replace(build_fairs(), config={"a": 1, "b": [2]})
    other = replace(build_fairs(), config={"b": [2], "a": 1})
    assert one.config_hash == other.config_hash
    assert one.config_hash != build_fairs().config_hash


@pytest.mark.parametrize(("broken", "invalid", "stopped", "failed", "verdict"), [
    (False, False, False, False, Verdict.PASSED),
    (False, False, False, True, Verdict.FAILED),
    (False, False, True, False, Verdict.STOPPED),
    (False, False, True, True, Verdict.STOPPED),
    (False, True, True, True, Verdict.INVALID),
    (True, True, True, True, Verdict.BROKEN),
])
def test_the_gravest_thing_decides_the_verdict(broken, invalid, stopped, failed, verdict):
    found = decide_verdict(
        thresholds=[ThresholdOutcome(rule="lost.count == 0", actual=1, passed=not failed)],
        invariants=[InvariantOutcome(name="one chain", passed=not broken, detail="")],
        stopped=stopped, invalid=invalid,
    )
    assert found is verdict


def test_exit_codes_are_those_of_the_design():
    assert {verdict: int(verdict.exit_code) for verdict in Verdict} == {
        Verdict.PASSED: 0, Verdict.FAILED: 99, Verdict.STOPPED: 105, Verdict.BROKEN: 110,
        Verdict.INVALID: 111,
    }
    assert sorted(ExitCode) == [0, 99, 104, 105, 107, 110, 111]


def test_anything_of_a_scenario_has_a_plain_form():
    class Colour(Enum):
        RED = "red"

    @dataclass(frozen=True)
    class Inner:
        key: bytes
        rule: Threshold

    value = {"z": (1, 2.5, None, True), "a": Inner(b"\x0f", Threshold("lost.count == 0")),
             "c": Colour.RED, "p": Path("x/y")}
    assert describe_config(value) == {
        "a": {"key": "0f", "rule": "lost.count == 0"}, "c": "red", "p": "x/y",
        "z": [1, 2.5, None, True],
    }
    with pytest.raises(TypeError, match="no plain form"):
        describe_config(object())
