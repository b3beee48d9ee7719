"""The simulator's errors name the value and the remedy in one line."""

import pytest

from sim.errors import (
    ConfigurationError,
    InvalidRun,
    InvariantBroken,
    ScenarioScriptError,
    SimError,
)


@pytest.mark.parametrize(("error", "code"), [
    (ConfigurationError("peers", -1, "give more"), 104),
    (ScenarioScriptError("x.py", ValueError("no")), 107),
    (InvariantBroken("one chain", 5, "two blocks"), 110),
    (InvalidRun("too short", "run 60 s"), 111),
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
