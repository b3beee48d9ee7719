"""The public faces: small, sorted, documented, and whole."""

import importlib
import inspect

import pytest

import sim
from sim.scenario import list_scenarios, load_scenario
from sim.workload import Workload

FACES = ("sim",)
NAMES_MAX = 25


@pytest.mark.parametrize("face", FACES)
def test_a_face_is_sorted_small_and_there(face):
    module = importlib.import_module(face)
    names = module.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names) <= NAMES_MAX
    for name in names:
        assert hasattr(module, name), name
        assert not name.startswith("_")


@pytest.mark.parametrize("face", FACES)
def test_every_public_name_is_documented_by_more_than_its_name(face):
    module = importlib.import_module(face)
    for name in module.__all__:
        document = inspect.getdoc(getattr(module, name))
        assert document, name
        assert not document.startswith(f"{name}("), f"{name}: dataclasses' own is no document"
        assert len(document.split()) >= 5, name


@pytest.mark.parametrize("face", FACES)
def test_public_methods_are_documented(face):
    module = importlib.import_module(face)
    for name in module.__all__:
        thing = getattr(module, name)
        if not inspect.isclass(thing):
            continue
        for method, value in vars(thing).items():
            if inspect.isfunction(value) and not method.startswith("_"):
                assert inspect.getdoc(value), f"{name}.{method}"


def test_the_face_has_all_that_a_scenario_needs():
    for workload in Workload.__args__:
        assert workload.__name__ in sim.__all__
    for name in list_scenarios():
        assert type(load_scenario(name)).__name__ in sim.__all__


def test_modules_that_list_their_names_list_them_sorted():
    for name in ("node", "reports", "bench", "scenarios"):
        names = getattr(importlib.import_module(name), "__all__", [])
        assert list(names) == sorted(names)
        assert len(names) <= NAMES_MAX
