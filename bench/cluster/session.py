"""The files of a cluster's run: the nodes' folders beside the run's, and what stays of them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cluster.janitor import Janitor
from sim.errors import ConfigurationError

NODES = "nodes"


@contextmanager
def claim_nodes(folder: Path) -> Iterator[Path]:
    """A folder for the nodes beside the run's, which must be empty when the result is written.

    Gone at the end, also if this process is killed; but if the body raises, it is kept in the
    run's folder as ``nodes``, and the error says so.
    """
    nodes = folder.with_name(f"{folder.name}.{NODES}")
    try:
        nodes.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            "--out", str(folder), f"{nodes} cannot be made: {error.strerror}"
        ) from error
    try:
        with Janitor(nodes.absolute(), folder.absolute()):
            yield nodes
    except Exception as error:
        if keep(nodes, folder):
            error.add_note(f"what the nodes said is in {folder / NODES}/*/stderr.log")
        raise
    finally:
        shutil.rmtree(nodes, ignore_errors=True)


def keep(nodes: Path, folder: Path) -> bool:
    """Put the nodes' folders into the run's; whether there were any."""
    if not nodes.is_dir() or not any(nodes.iterdir()):
        return False
    shutil.move(nodes, folder / NODES)
    return True
