"""The hot path as machine code: mypyc translates the same sources, Python loads the outcome.

Nothing is written twice: the modules below are compiled as they stand, and a run has the same
digest with and without. A build belongs to one Python and to the sources from which it was
made; when either differs it is left alone and the sources run, so that an edit always counts.
"""

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

ROOT = Path(__file__).parent.parent
BUILDS = ROOT / "build" / "compiled"
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
PURE = "VECHE_PURE"
"""The environment variable that keeps the sources running, to compare or to debug."""

SIM = (
    "ballots", "blocks", "city", "cityface", "clients", "clocks", "cores", "crowd", "desk",
    "door", "election_day", "histogram", "journal", "kernel", "latencies", "links", "network",
    "office", "outcomes", "peer", "people", "prover", "registrar", "rules", "shared",
    "tenant", "traffic", "voter_columns", "voters",
)
"""The modules of ``sim`` that a profile of the main job asks for; of ``node`` all that may."""

HOST = ("memory",)
"""The modules of ``node.host`` in which a busy node spends its time: it waits in the others."""

SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
out, *paths = sys.argv[1:]
# two units for two cores: within one, modules call each other directly
groups = [
    ([path for path in paths if path.startswith(part + "/")], "veche_" + part)
    for part in ("node", "sim")
]
assert sum(len(group) for group, _ in groups) == len(paths)
setup(
    name="compiled", packages=[], py_modules=[],
    ext_modules=mypycify(
        paths, opt_level="2", debug_level="0", separate=groups, target_dir=out + "/c"
    ),
    script_args=[
        "--quiet", "build_ext", "--parallel", "2",
        "--build-lib", out + "/lib", "--build-temp", out + "/o",
    ],
)
"""


FAULTS = tuple(
    word
    for fault in (
        "crash validators=1 at=08:05 for=5m", "pause validators=2 at=08:15 for=3m",
        "crash validators=1 at=08:20 for=5m disk=lost",
        "loss validators=all ratio=0.2 at=08:30",
        "partition region=south at=08:35 for=2m",
    )
    for word in ("--fault", fault)
)
"""What the small run of the check meets: later rounds, locks, sync from nothing."""


class CompilationFailed(Exception):
    """The hot path could not be compiled here; the sources still run."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"cannot compile: {reason}; {remedy}")


class Finder(MetaPathFinder):
    """Finds the compiled modules of one build before their sources."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            ".".join(path.relative_to(folder).parts).removesuffix(SUFFIX): path
            for path in sorted(folder.rglob(f"*{SUFFIX}"))
        }

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks: None for what is not in the build."""
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)


def activate(environment: Mapping[str, str] = os.environ) -> bool:
    """Use the build that fits the sources, if there is one; whether it is used.

    Once a module of ``node`` or ``sim`` is loaded nothing changes any more: one process runs
    one or the other.
    """
    if is_active():
        return True
    is_late = any(name in sys.modules for name in ("node", "sim"))
    if is_late or environment.get(PURE):
        return False
    folder = get_build()
    if not folder.is_dir():
        return False
    sys.meta_path.insert(0, Finder(folder))
    return True


def is_active() -> bool:
    """Whether this process runs a build."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)


def get_build() -> Path:
    """Where the build for today's sources and this Python is, or would be."""
    return BUILDS / compute_key(list_sources())


def compute_key(sources: Iterable[Path]) -> str:
    """Names sources and Python: one changed byte gives another key."""
    hashed = sha256(f"{sys.version} {SUFFIX}".encode())
    for path in sources:
        content = path.read_bytes()
        hashed.update(f"\0{path.relative_to(ROOT)} {len(content)}\0".encode() + content)
    return hashed.hexdigest()[:16]


def list_sources() -> list[Path]:
    """All that the build may depend on: constants of other modules are compiled in."""
    return [Path(__file__), *list_node(), *list_host(), *sorted((ROOT / "sim").glob("*.py"))]


def list_modules() -> list[str]:
    """The sources to compile, relative to the root."""
    paths = [*list_node(), *list_host(), *(ROOT / "sim" / f"{name}.py" for name in SIM)]
    # a compiled package would not find those of its modules that stay sources
    return [str(path.relative_to(ROOT)) for path in paths
            if path.name != "__init__.py" and is_safe(path)]


def is_safe(path: Path) -> bool:
    """Whether mypyc means by this module what Python does. Four things it does not:

    - ``int(name)`` within a pattern makes 1 of True, so that a later look at the type sees an
      int; ``is_below`` as a guard does not.
    - ``as`` and ``*`` within patterns bind wrongly or raise.
    - One name for the errors of two handlers of a function has the first one's type.
    - What the type checker does not reach, in the other branch of TYPE_CHECKING, is left out.

    Such modules read what strangers send, where that would matter most, and stay sources.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return not any(
        _binds_otherwise(node) or (isinstance(node, ast.FunctionDef) and _catches_twice(node))
        for node in ast.walk(tree)
    )


def _binds_otherwise(node: ast.AST) -> bool:
    match node:
        case ast.MatchClass(cls=ast.Name(id="int")):
            return True
        case ast.MatchAs(pattern=ast.pattern()) | ast.MatchStar():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[_, *_]):
            return True
    return False


def _catches_twice(function: ast.FunctionDef) -> bool:
    caught = {
        (handler.name, ast.dump(handler.type))
        for handler in ast.walk(function)
        if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type
    }
    return len({name for name, _ in caught}) < len(caught)


def list_node() -> list[Path]:
    """The node's pure part: its host mostly waits for sockets and disks, not for Python."""
    folder = ROOT / "node"
    return [path for path in sorted(folder.rglob("*.py"))
            if "host" not in path.relative_to(folder).parts]


def list_host() -> list[Path]:
    """The few modules of the host whose time is Python's."""
    return [ROOT / "node" / "host" / f"{name}.py" for name in HOST]


def compile_modules() -> Path:
    """Build for today's sources, in half a minute to two; earlier builds are removed.

    Raises CompilationFailed without mypyc or a C compiler, or if either reports an error; then
    nothing has changed.
    """
    build = get_build()
    if build.is_dir():
        return build
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CompilationFailed(
            f"there is no C compiler ({compiler})",
            "install gcc, or run the sources as they are",
        )
    work = BUILDS / f"{build.name}.{os.getpid()}"
    try:
        work.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SETUP, str(work), *list_modules()],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            pip = f"{shlex.quote(sys.executable)} -m pip"
            raise CompilationFailed(
                " ".join(last), f"install the extra [fast]: {pip} install -e '.[fast]'"
            )
        for old in BUILDS.iterdir():
            if old != work:
                shutil.rmtree(old)
        (work / "lib").rename(build)
    except OSError as error:
        raise CompilationFailed(str(error), "make the folder build/ writable") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return build


def compile_checked(say: Callable[[str], object]) -> None:
    """``compile_modules``, kept only if a small run has the digest of the sources' run."""
    build = get_build()
    if build.is_dir():
        say("the hot path is compiled already")
        return
    say(f"compiling {len(list_modules())} modules")
    compile_modules()
    try:
        pure, compiled = (read_digest({PURE: pure}) for pure in ("1", ""))
    except BaseException:  # stopped by hand, too: an unchecked build is never used
        shutil.rmtree(build)
        raise
    if compiled != pure:
        shutil.rmtree(build)
        raise CompilationFailed(
            f"the build's digest is {compiled or 'none'}, that of the sources {pure or 'none'}",
            "the build is removed; run the sources as they are",
        )
    say(f"compiled; a small run has the same digest with and without, {pure[:16]}")


def read_digest(environment: Mapping[str, str]) -> str:
    """The digest of a small run with failing rounds and restarts, in a process of its own."""
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(ROOT / "veche.py"), "run", "smoke", "--users", "300",
             *FAULTS, "--json", "--out", str(Path(folder) / "run")],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        )
    try:
        digest = json.loads(done.stdout)["digest"]
    except ValueError as error:
        raise CompilationFailed(
            f"the small run of the check ends with exit code {done.returncode}: "
            + " ".join(done.stderr.split()[-30:]),
            "the build is not used; run the sources as they are",
        ) from error
    assert isinstance(digest, str)
    return digest
