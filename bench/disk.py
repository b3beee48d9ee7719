"""DISK_SYNC and DISK_BYTES: what it takes until written bytes are on a disk, by the wall.

Here nothing is a minimum: a sync waits for the device, and its usual wait is what a node pays.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.trials import Trial
from node.work import WorkKind
from sim.errors import ConfigurationError

PAGE_BYTES = 4_096
SYNCS = 20
LARGE_BYTES = 8 << 20


def time_sync_ns(file: int, content: bytes) -> int:
    """Append ``content`` and wait until it is durable."""
    began_ns = time.perf_counter_ns()
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
    os.fsync(file)
    return time.perf_counter_ns() - began_ns


def measure_in(folder: Path, measure: Callable[[int], float]) -> float:
    """``measure`` with a new file in ``folder``, which is removed whatever happens.

    Raises ConfigurationError if the folder cannot be written.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return measure(file.fileno())
    except OSError as error:
        raise ConfigurationError("--folder", str(folder), f"{error.strerror}") from error


def measure_sync_ns(file: int) -> float:
    """The median of a few syncs of a page each."""
    return statistics.median(time_sync_ns(file, bytes(PAGE_BYTES)) for _ in range(SYNCS))


def measure_byte_ns(file: int) -> float:
    """What a byte adds to a sync, from one large write less a small one."""
    small_ns = statistics.median(time_sync_ns(file, bytes(PAGE_BYTES)) for _ in range(3))
    content = bytes(LARGE_BYTES)
    large_ns = statistics.median(time_sync_ns(file, content) for _ in range(3))
    return max(0.0, large_ns - small_ns) / (LARGE_BYTES - PAGE_BYTES)


def make_disk_trials(folder: Path) -> list[Trial]:
    """Both, in files of that folder."""
    return [
        Trial(WorkKind.DISK_BYTES, f"a byte of {LARGE_BYTES >> 20} MiB written and synced, "
              "less the sync; by the wall", lambda: measure_in(folder, measure_byte_ns)),
        Trial(WorkKind.DISK_SYNC, "fsync after a page was appended, by the wall; recorded "
              "only, for the hardware profile prices it",
              lambda: measure_in(folder, measure_sync_ns)),
    ]
