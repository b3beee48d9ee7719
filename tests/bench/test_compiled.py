"""The build of the hot path: what it belongs to, and that it is found before the sources."""

import os
import subprocess
import sys

import pytest

from bench import compiled
from bench.compiled import (
    PURE,
    ROOT,
    Finder,
    activate,
    compute_key,
    get_build,
    is_safe,
    list_modules,
)


def run_python(code, environment=None):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True,
        text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_changed_byte_gives_another_key(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    source = tmp_path / "one.py"
    source.write_text("A = 1\n", encoding="utf-8")
    before = compute_key([source])
    assert compute_key([source]) == before
    source.write_text("A = 2\n", encoding="utf-8")
    assert compute_key([source]) != before


def test_all_modules_to_compile_are_there():
    modules = list_modules()
    assert len(modules) > 60
    assert {"node/node.py", "node/wire.py", "sim/network.py"} < set(modules)
    assert all((ROOT / path).is_file() for path in modules)
    assert [path for path in modules if "host" in path] == ["node/host/memory.py"]


def test_every_module_of_the_pure_node_is_compiled():
    left = [path.name for path in compiled.list_node() if not is_safe(path)]
    assert left == ["compiling.py"]  # it says to the compiler what Python need not know


@pytest.mark.parametrize("source", [
    "match value:\n    case [int(height)]:\n        pass\n",
    "match value:\n    case [bytes() | None as name]:\n        pass\n",
    "match value:\n    case [first, *others]:\n        pass\n",
    "def read():\n    try:\n        pass\n    except OSError as error:\n        raise\n"
    "    except ValueError as error:\n        raise\n",
])
def test_what_mypyc_means_otherwise_is_left_as_a_source(tmp_path, source):
    path = tmp_path / "one.py"
    path.write_text(source, encoding="utf-8")
    assert not is_safe(path)
    path.write_text("match value:\n    case [bytes(name), height]:\n        pass\n",
                    encoding="utf-8")
    assert is_safe(path)


def test_the_node_passes_its_own_tests_compiled():
    if not get_build().is_dir():
        pytest.skip("no build for these sources: veche compile")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/node",
         "tests/vectors", "--ignore", "tests/node/host"],
        cwd=ROOT, env=os.environ | {"VECHE_TEST_BUILD": "1"}, capture_output=True, text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4_000:]


def test_a_process_that_runs_sources_goes_on_with_them():
    assert "node" in sys.modules or __import__("node")
    assert not activate({})


def test_the_finder_knows_only_its_build(tmp_path):
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / f"kernel{compiled.SUFFIX}").touch()
    finder = Finder(tmp_path)
    assert finder.find_spec("sim.kernel").origin.startswith(str(tmp_path))
    assert finder.find_spec("sim.network") is None


@pytest.mark.skipif(not get_build().is_dir(), reason="no build: run veche compile")
def test_what_is_not_compiled_may_inherit_from_what_is():
    code = (
        "from bench.compiled import activate; assert activate();"
        "from node.host.replay import Checked; from node.work import Work;"
        "print(isinstance(Checked(), Work))"
    )
    assert run_python(code) == "True"


@pytest.mark.skipif(not get_build().is_dir(), reason="no build: run veche compile")
def test_a_build_is_used_unless_told_otherwise():
    code = (
        "from bench.compiled import activate; activate(); import sim.kernel; "
        "print(sim.kernel.__file__)"
    )
    assert run_python(code, {}).endswith(compiled.SUFFIX)
    assert run_python(code, {PURE: "1"}).endswith("kernel.py")
