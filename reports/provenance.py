"""Where a result comes from: the commit, and the versions of what computed it."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("veche", "numpy", "pynacl", "msgpack", "matplotlib")


def read_commit(checkout: Path) -> str:
    """12 digits of the checkout's commit, ``+changes`` if its files differ; or "unknown".

    A copy installed elsewhere has no ``.git`` of its own, and must not name somebody else's.
    """
    if not (checkout / ".git").exists():
        return "unknown"
    commit = _git(checkout, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    # what git does not track here is notes and runs, not the program
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changed else commit


def read_versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter to a result."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _git(checkout: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
