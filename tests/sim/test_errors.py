"""The simulator's errors name the value and the remedy in one line."""

import pytest

from sim.errors import (
    ConfigurationError,
    InvariantBroken,
    ScenarioScriptError,
    SimError,
    require_number,
    require_whole,
    suggest,
)


@pytest.mark.parametrize(("error", "code"), [
    (ConfigurationError("peers", -1, "give more"), 104),
    (ScenarioScriptError("x.py", ValueError("no")), 107),
    (InvariantBroken("one chain", 5, "two blocks"), 110),
])
def test_every_error_has_its_exit_code_and_one_line(error: SimError, code: int):
    assert error.exit_code == code
    assert "\n" not in str(error)


def test_a_configuration_error_keeps_field_value_and_remedy():
    error = ConfigurationError("peers", -1, "give 1 or more")
    assert str(error) == "peers=-1: give 1 or more"
    assert (error.field, error.value, error.remedy) == ("peers", -1, "give 1 or more")


def test_a_script_error_names_the_line_in_the_users_file():
    path = "scenario_of_a_user.py"
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("a = 1\nb = a / 0\n", path, "exec"), {})
    assert str(ScenarioScriptError(path, caught.value)).startswith(f"{path}:2: ZeroDivision")


@pytest.mark.parametrize("value", [0, 5, 2.5, True, "3", None, float("nan")])
def test_a_number_out_of_its_range_or_of_another_kind_is_refused(value):
    with pytest.raises(ConfigurationError, match="whole number from 1 to 4"):
        require_whole("lots", value, 1, 4)
    if value != 2.5:
        with pytest.raises(ConfigurationError, match="a number from 1 to 4"):
            require_number("lots", value, 1, 4)


@pytest.mark.parametrize(("name", "known", "told"), [
    ("smokke", ["smoke", "stall-window"], "did you mean smoke?"),
    ("SMOKE", ["smoke"], "did you mean smoke?"),
    ("factor", ["for", "at"], "known: for, at"),
    ("", ["b", "a"], "known: b, a"),
    ("zzz", map(str, range(12)), "known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
    ("zzz", map(str, range(13)),
     "known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (all 13: the list)"),
])
def test_an_unknown_name_is_told_what_was_meant_or_what_there_is(name, known, told):
    assert suggest(name, known, listed_in="the list") == told
