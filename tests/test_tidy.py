"""The shape of the code: who imports whom, what nobody may import, and how long things are.

The arrows are those of the design: each row of ``ARROWS`` names a part of the tree and all that
it may import. A part is looked up by its longest name.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("node", "sim", "scenarios", "bench", "reports")
FILE_LINES_MAX, TEST_FILE_LINES_MAX = 500, 600
FUNCTION_LINES_MAX = 70
LINE_MAX = 96

PURE = {
    "abc", "array", "bisect", "collections", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "itertools", "math", "operator", "struct", "typing",
}
READING = {"csv", "difflib", "importlib", "io", "json", "pathlib", "re", "types", "zipfile",
           "zlib"}
ANY_STDLIB = set(sys.stdlib_module_names)

ARROWS = {
    "node": PURE | {"node", "msgpack", "nacl"},
    "node.consensus": PURE | {"node"},
    "node.services": PURE | {"node"},
    "node.host": ANY_STDLIB | {"node", "nacl", "trio", "click", "starlette", "hypercorn"},
    "sim": PURE | READING | {"node", "sim", "numpy", "librt", "mypy_extensions"},
    "scenarios": {"dataclasses", "sim", "scenarios"},
    "reports": ANY_STDLIB | {"sim", "reports", "numpy", "matplotlib", "rich", "click"},
    "bench": ANY_STDLIB | {"node", "sim", "bench", "reports", "numpy", "nacl", "click", "rich"},
    "bench.anvil": ANY_STDLIB | {"node", "bench", "trio"},
    "bench.cluster": ANY_STDLIB | {"node", "sim", "bench", "reports", "numpy", "trio", "h11"},
    "bench.hosting": ANY_STDLIB | {"node", "sim", "bench", "trio"},
    "bench.fidelity": ANY_STDLIB | {"node", "sim", "bench", "numpy", "trio", "click"},
    "veche": ANY_STDLIB | {"node", "sim", "reports", "scenarios", "bench", "click", "rich"},
}

ALLOWED = {
    # Modules of ``sim`` that do more than compute, and why.
    ("sim.simulation", "time"): "measures how long the run takes by the wall",
    ("sim.simulation", "gc"): "a frozen heap is not searched again and again",
    ("sim.simulation", "os"): "counts the processor cores",
    ("sim.simulation", "resource"): "measures memory",
    ("bench.linking", "trio"): "drives two real links, as a node does",
    ("sim.workers", "multiprocessing"): "makes ballots in processes, ahead of virtual time",
    ("sim.notary", "multiprocessing"): "signs and checks in a process of its own",
    ("sim.notary", "os"): "reads and writes that process's pipe without waiting",
    ("sim.notary", "select"): "waits for that process at the end, but not for ever",
    ("sim.notary", "signal"): "it leaves Ctrl-C to the parent",
    ("sim.workers", "atexit"): "lets go of those processes, whatever happened",
    ("sim.workers", "contextlib"): "holds Ctrl-C back while they start",
    ("sim.workers", "os"): "they give way to whoever is waited for",
    ("sim.workers", "select"): "waits for those processes",
    ("sim.workers", "signal"): "they leave Ctrl-C to the parent",
    ("sim.ballots", "nacl"): "makes users' keys, boxes and signatures flat out",
    ("sim.floor", "nacl"): "times bare cryptography",
    ("sim.signing", "nacl"): "makes users' keys and signatures flat out",
    ("node.compiling", "mypy_extensions"): "read by the compiler, never imported",
}

BANNED = {
    "asyncio", "concurrent", "ctypes", "datetime", "logging", "mock", "os", "random", "sched",
    "secrets", "select", "selectors", "signal", "socket", "ssl", "subprocess", "tempfile",
    "threading", "time", "trio", "uuid",
}


BANNED_CALLS = {"eval", "exec", "hash", "id", "input", "open", "print"}


def list_files(*packages):
    for package in packages:
        yield from sorted((ROOT / package).rglob("*.py"))


PRODUCT = [*list_files(*PACKAGES), ROOT / "veche.py"]
TESTS = list(list_files("tests"))


def get_name(path):
    """``node/codec.py`` as ``node.codec``; a package's ``__init__`` as the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def get_label(path):
    return str(path.relative_to(ROOT))


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def list_imports(path, *, typing_too=True):
    """(module, line) of each import in a file, in functions too."""
    skipped = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(parse(path)):
        if not typing_too and id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno


def find_row(name):
    """The row of ``ARROWS`` with the longest name that holds this module."""
    while name not in ARROWS:
        name = name.rpartition(".")[0]
    return ARROWS[name]


@pytest.mark.parametrize("path", PRODUCT, ids=get_label)
def test_a_file_imports_only_what_its_part_may(path):
    name = get_name(path)
    row = find_row(name)
    for module, line in list_imports(path):
        top = module.partition(".")[0]
        assert top in row or (name, top) in ALLOWED, f"{path}:{line}: {module}"


@pytest.mark.parametrize("path", list(list_files("node", "sim")), ids=get_label)
def test_no_clock_chance_io_or_log_in_node_and_sim(path):
    name = get_name(path)
    if name.startswith("node.host"):
        return
    for module, line in list_imports(path):
        top = module.partition(".")[0]
        assert top not in BANNED or (name, top) in ALLOWED, f"{path}:{line}: {module}"
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in BANNED_CALLS, f"{path}:{node.lineno}: {node.func.id}()"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            dotted = f"{node.value.attr}.{node.attr}"
            assert dotted not in ("random.default_rng", "random.seed"), f"{path}:{node.lineno}"


def test_every_exception_to_the_rules_is_still_needed():
    for (name, top), reason in ALLOWED.items():
        path = ROOT / (name.replace(".", "/") + ".py")
        assert path.is_file(), name
        assert top in {module.partition(".")[0] for module, _ in list_imports(path)}, name
        assert reason


def test_only_codec_knows_msgpack_and_only_crypto_knows_nacl_in_the_node():
    users = {"msgpack": set(), "nacl": set()}
    for path in list_files("node"):
        for module, _ in list_imports(path):
            top = module.partition(".")[0]
            if top in users:
                users[top].add(get_name(path))
    ciphers = {"node.crypto", "node.host.cipher"}  # the second draws entropy, as a host may
    assert users == {"msgpack": {"node.codec"}, "nacl": ciphers}


def test_scenarios_import_the_public_face_only():
    for path in list_files("scenarios"):
        for module, line in list_imports(path):
            inner = module.startswith("sim.")
            assert not inner, f"{path}:{line}: import it from sim"


def test_nobody_imports_tests():
    for path in PRODUCT:
        tops = {module.partition(".")[0] for module, _ in list_imports(path)}
        assert "tests" not in tops, path


@pytest.mark.parametrize("package", PACKAGES)
def test_within_a_package_arrows_point_one_way(package):
    files = {get_name(path): path for path in list_files(package)}
    arrows = {
        name: {
            module for module, _ in list_imports(path, typing_too=False)
            if module in files and module != name
        }
        for name, path in files.items()
    }
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, " -> ".join([*open_[open_.index(name):], name])
        if name in done:
            return
        open_.append(name)
        for other in sorted(arrows[name]):
            visit(other)
        open_.pop()
        done.add(name)

    for name in sorted(arrows):
        visit(name)


@pytest.mark.parametrize("path", PRODUCT + TESTS, ids=get_label)
def test_a_file_says_what_it_is_and_imports_by_full_names(path):
    tree = parse(path)
    if path.name == "__init__.py" and not tree.body:
        return
    docstring = ast.get_docstring(tree)
    mirrors = path in TESTS and path.name.startswith("test_")  # its name says what it tests
    assert docstring or mirrors, "a module begins with what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert all(alias.name != "*" for alias in node.names), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", PRODUCT + TESTS, ids=get_label)
def test_files_functions_and_lines_are_short(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    limit = TEST_FILE_LINES_MAX if path in TESTS else FILE_LINES_MAX
    assert len(lines) <= limit
    for number, line in enumerate(lines, 1):
        code = line.partition("  # noqa")[0]  # ruff does not count its own pragmas
        assert len(code) <= LINE_MAX, f"{path}:{number}"
        assert line == line.rstrip(), f"{path}:{number}: blanks at the end"
        assert "\t" not in line, f"{path}:{number}: a tab"
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{path}:{node.lineno}: {node.name} {length}"


@pytest.mark.parametrize("path", PRODUCT, ids=get_label)
def test_public_things_are_documented(path):
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            private = path.parts[-2] in ("services", "election", "fairs", "auctions")
            private &= isinstance(node, ast.FunctionDef)  # a service's own records and helpers
            assert ast.get_docstring(node) or private, f"{path}:{node.lineno}: {node.name}"


@pytest.mark.parametrize("path", TESTS, ids=get_label)
def test_tests_neither_mock_nor_sleep(path):
    for module, line in list_imports(path):
        assert not module.startswith("unittest"), f"{path}:{line}"
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Attribute) and node.attr == "sleep":
            raise AssertionError(f"{path}:{node.lineno}: a test that sleeps")


def test_there_are_asserts_in_the_product():
    for package in ("node", "sim"):
        functions = asserts = 0
        for path in list_files(package):
            for node in ast.walk(parse(path)):
                functions += isinstance(node, ast.FunctionDef)
                asserts += isinstance(node, ast.Assert)
        assert asserts >= 0.25 * functions, (package, asserts, functions)
