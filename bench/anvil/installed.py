"""Where anvil is: a folder into which npm has put it, with ethers, which signs for it."""

import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
INSTALL = "npm install --prefix bench/anvil"
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class NotInstalled(Exception):
    """A folder that lacks something; says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What was found. ``signer`` is a command that takes FIRST COUNT SENDERS, prints lines."""

    version: str
    binary: Path
    signer: tuple[str, ...]


def find_installed(folder: Path) -> Installed:
    """Raises NotInstalled if anvil, ethers, or node to run it with is not there."""
    node = shutil.which("node")
    if node is None:
        raise NotInstalled("there is no node (Node.js) on the PATH")
    modules = folder / "node_modules"
    package = modules / "@foundry-rs" / f"anvil-{describe_platform()}"
    binary = package / "bin" / "anvil"
    for wanted in (modules / "ethers" / "package.json", binary):
        if not wanted.is_file():
            raise NotInstalled(f"{wanted} is not there")
    described = json.loads((package / "package.json").read_text(encoding="utf-8"))
    return Installed(
        version=str(described["version"]), binary=binary.absolute(),
        signer=(node, str(FOLDER / "sign.mjs"), str(folder.absolute())),
    )


def describe_platform() -> str:
    """As the packages of the binary are called."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{ARCHITECTURES.get(machine, machine)}"
