"""The label that simulated results carry."""

import json

import pytest

from sim.errors import ConfigurationError
from sim.fidelity import Fidelity, load_fidelity

ONE = Fidelity(
    date="2026-11-21", machine="a processor", cores=2, validators=4, relays=1,
    capacity_ratio=0.987, final_p50_ratio=1.03, final_p99_ratio=1.1,
)


def test_what_was_compared_is_kept_and_read_again(tmp_path):
    ONE.save(tmp_path / "fidelity.json")
    assert load_fidelity(tmp_path / "fidelity.json") == ONE
    assert ONE.label == (
        "capacity 0.99, p50 1.03, p99 1.10 of 4 real validators' (2026-11-21)"
    )


def test_the_committed_comparison_is_read():
    assert load_fidelity().validators >= 4


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "x": 1}'])
def test_what_is_no_comparison_is_refused(tmp_path, content):
    path = tmp_path / "fidelity.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="python -m bench fidelity --keep"):
        load_fidelity(path)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        ONE.save(tmp_path / "none" / "fidelity.json")


def test_the_file_says_in_which_schema_it_is(tmp_path):
    ONE.save(tmp_path / "fidelity.json")
    assert json.loads((tmp_path / "fidelity.json").read_text())["schema"] == 1
