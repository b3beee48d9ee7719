"""DISK_SYNC and DISK_BYTES: what it takes until a node's store holds something, by the wall.

Here nothing is a minimum: a write waits for the device, and its usual wait is what a node pays.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.trials import Trial
from node.host.errors import HostError
from node.host.store import Store
from node.params import Genesis, Params
from node.work import WorkKind
from sim.errors import ConfigurationError

SMALL_BYTES = 200
"""About a promise of the consensus, the usual thing to be stored."""

SYNCS = 20
LARGE_BYTES = 8 << 20
GENESIS = Genesis(
    params=Params(), validators=(bytes(32),), relays=(), registrar=bytes(32), time_ns=0
)

Write = Callable[[bytes], int]
"""Stores some bytes; the nanoseconds until they are durable."""


def measure_in(folder: Path, measure: Callable[[Write], float]) -> float:
    """``measure`` with a new store in ``folder``, which is removed whatever happens.

    Raises ConfigurationError if the folder cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(dir=folder) as name, closing(
            Store.open(Path(name) / "data", GENESIS)
        ) as store:
            chain = store.load().chain

            def write(content: bytes) -> int:
                began_ns = time.perf_counter_ns()
                store.write([("bench", content)], chain)
                return time.perf_counter_ns() - began_ns

            return measure(write)
    except (OSError, HostError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError("--folder", str(folder), f"{reason}") from error


def measure_sync_ns(write: Write) -> float:
    """The median of a few small writes."""
    return statistics.median(write(bytes(SMALL_BYTES)) for _ in range(SYNCS))


def measure_byte_ns(write: Write) -> float:
    """What a byte adds to a write, from large ones less small ones."""
    small_ns = statistics.median(write(bytes(SMALL_BYTES)) for _ in range(3))
    content = bytes(LARGE_BYTES)
    large_ns = statistics.median(write(content) for _ in range(3))
    return max(0.0, large_ns - small_ns) / (LARGE_BYTES - SMALL_BYTES)


def make_disk_trials(folder: Path) -> list[Trial]:
    """Both, in stores of that folder."""
    return [
        Trial(WorkKind.DISK_BYTES, f"a byte of {LARGE_BYTES >> 20} MiB put into a node's "
              "store, less a small write; by the wall",
              lambda: measure_in(folder, measure_byte_ns)),
        Trial(WorkKind.DISK_SYNC, "a small write to a node's store until it is durable, by "
              "the wall; recorded only, for the hardware profile prices it",
              lambda: measure_in(folder, measure_sync_ns)),
    ]
