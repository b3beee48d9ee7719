"""Clears up after a driver that was killed: a process that waits for its end on a pipe.

Run by path, with the nodes' folder and the run's; it imports nothing of ours, to be small. A
driver that ends in order tells it to go, and clears up by itself.
"""

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

GO = b"go"
PATIENCE_S = 15.0
PAUSE_S = 0.2


class Janitor:
    """Holds the pipe; as a context manager it sends the process away at the end."""

    __slots__ = ("_process",)

    def __init__(self, nodes: Path, folder: Path) -> None:
        # in a group of its own: Ctrl-C is for the driver
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(nodes), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def __enter__(self) -> None:
        """Nothing to do: it waits already."""

    def __exit__(self, *_: object) -> None:
        self._process.communicate(GO)


def clear(nodes: Path, folder: Path) -> None:
    """Remove the nodes' folder, which they may still fill for a moment, and an empty run's."""
    deadline_s = time.monotonic() + PATIENCE_S
    while nodes.exists() and time.monotonic() < deadline_s:
        time.sleep(PAUSE_S)
        shutil.rmtree(nodes, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def main() -> None:
    """Wait for the driver's word, or for its end without one."""
    if sys.stdin.buffer.read() != GO:
        clear(Path(sys.argv[1]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
