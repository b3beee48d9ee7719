"""Processor time as Linux counts it: of a process, and of the whole machine."""

import os
from pathlib import Path

from bench.figures import MeasurementFailed

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def count_cores() -> int:
    """Those that this process may use, and so those of the processes that it starts."""
    return len(os.sched_getaffinity(0))


def read_cpu_ns(pid: int | None) -> int:
    """Processor time of a process's threads so far. Raises MeasurementFailed without /proc."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        # a thread may end between the listing and the reading: then there is no such file
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())
    except OSError as error:
        raise MeasurementFailed(f"processor time of a process: {error}") from error


def read_machine_s() -> float:
    """Processor seconds of the whole machine so far, and what its own host kept from it."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, *interrupts = map(int, file.readline().split()[1:9])
    return (user + nice + system + sum(interrupts)) / CLOCK_TICKS
