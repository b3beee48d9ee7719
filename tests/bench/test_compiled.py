"""The build of the hot path: what it belongs to, and that it is found before the sources."""

import ast
import subprocess
import sys

import pytest

from bench import compiled
from bench.compiled import PURE, ROOT, Finder, activate, compute_key, get_build, list_modules


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
    assert {"node/node.py", "node/state.py", "sim/network.py"} < set(modules)
    assert not {"node/wire.py", "node/proof.py", "node/services/identity.py"} & set(modules)
    assert all((ROOT / path).is_file() for path in modules)
    assert not any("host" in path for path in modules)


def test_no_pattern_names_what_an_inner_pattern_matched():
    """mypyc leaves ``case [(bytes() | None) as name]`` unbound: write a guard."""
    for path in list_modules():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            is_named = isinstance(node, ast.MatchAs) and node.pattern is not None
            assert not is_named, f"{path}:{node.lineno}"


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
def test_a_build_is_used_unless_told_otherwise():
    code = (
        "from bench.compiled import activate; activate(); import sim.kernel; "
        "print(sim.kernel.__file__)"
    )
    assert run_python(code, {}).endswith(compiled.SUFFIX)
    assert run_python(code, {PURE: "1"}).endswith("kernel.py")
