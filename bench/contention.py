"""How many times as long a node's work takes while all cores do the like of it.

Processes, one for each core, do what a validator does with a block of ballots, through the
real code: decode, check, execute, write the state. One of them works alone for a while, then
all at once, and the processor time that a block takes it is compared. Waiting for a core is
no part of that, so what is left is what cores at work take from one another.

Both are means, not best passes as in ``bench.trials``: what disturbs work is what is looked
for. A machine's speed may come and go in seconds, by what its own host does beside it. That is
no contention: both parts of a round lie within a second and mostly see the same, and of the
rounds' ratios the median counts.

What strangers have of the machine crowds also who is said to be alone, so that the ratio comes
out too low. So rounds are chosen by that, and by that alone.
"""

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType

from bench.figures import MeasurementFailed, collector_off
from bench.processors import read_cpu_ns, read_machine_s
from bench.trials import Sample
from node.host.pool import CHUNK, check_signatures, list_checks
from node.params import Params
from node.wire import decode_frame, frame_bundle
from sim.workers import hold_interrupt

NAME = "contention"
ABOUT = (
    "how many times as long as alone a validator's work on a block takes (decoding, checks, "
    "execution, state) while all cores do it; the median of rounds, each a mean over a mean, "
    "in processor time; of the rounds those in which strangers had next to nothing of the "
    "machine, or the half in which they had least"
)
WINDOW_NS = 400_000_000
STRANGERS_MAX = 0.1
"""Cores: what others may have of the machine while it is measured."""

CORES_MAX = 64
JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Round:
    """How many times as long work took, and how many cores strangers had before that."""

    ratio: float
    strangers: float


class Contention:
    """A process for each core, for as long as its context; ``measure`` gives the ratio.

    A machine with a single core needs none: there nobody works beside another.
    """

    def __init__(self, sample: Sample, cores: int, window_ns: int = WINDOW_NS) -> None:
        assert cores > 0
        assert window_ns > 0
        self._window_ns = window_ns
        self._turn = 0
        self._connections: list[Connection[int, list[int]]] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        # forked: they run what this process runs, compiled or not, and have the sample
        context = multiprocessing.get_context("fork")
        for _ in range(min(cores, CORES_MAX) if cores > 1 else 0):
            mine, theirs = context.Pipe()
            inherited = (*self._connections, mine)
            process = context.Process(
                target=work, args=(sample, theirs, inherited), daemon=True
            )
            with hold_interrupt():
                process.start()
            theirs.close()
            self._connections.append(mine)
            self._processes.append(process)

    def __enter__(self) -> "Contention":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.terminate()
            process.join(JOIN_S)

    @property
    def process_ids(self) -> list[int]:
        """Theirs."""
        return [process.pid for process in self._processes if process.pid is not None]

    def measure(self) -> Round:
        """One round. Raises MeasurementFailed if a process has ended by itself.

        Each in its turn is the one that works alone.
        """
        if not self._connections:
            return Round(1.0, 0.0)
        chosen = self._turn % len(self._connections)
        self._turn += 1
        began_s, before_s = time.monotonic(), self._read_strangers_s()
        alone = self._time([chosen])
        strangers_s = self._read_strangers_s() - before_s
        strangers = max(0.0, strangers_s) / (time.monotonic() - began_s)
        beside = self._time(range(len(self._connections)))
        return Round(statistics.fmean(beside) / statistics.fmean(alone), strangers)

    def _read_strangers_s(self) -> float:
        own_ns = sum(map(read_cpu_ns, self.process_ids))
        return read_machine_s() - own_ns / 1e9

    def _time(self, numbers: Sequence[int]) -> list[int]:
        connections = [self._connections[number] for number in numbers]
        until_ns = time.monotonic_ns() + self._window_ns
        try:
            for connection in connections:
                connection.send(until_ns)
            return [span_ns for connection in connections for span_ns in connection.recv()]
        except (EOFError, OSError) as error:
            raise MeasurementFailed("a process that was to work beside others ended") from error


def choose_calm(rounds: Sequence[Round]) -> tuple[float, ...]:
    """Ratios of the rounds in which strangers had next to nothing, or the half with least.

    Of two rounds both count: a spread needs two.
    """
    ordered = sorted(rounds, key=lambda one: one.strangers)
    calm = sum(one.strangers <= STRANGERS_MAX for one in rounds)
    return tuple(one.ratio for one in ordered[: max(calm, 2, math.ceil(len(rounds) / 2))])


def work(
    sample: Sample, connection: "Connection[list[int], int]",
    inherited: "Sequence[Connection[int, list[int]]]",
) -> None:
    """A process's whole life: works until each instant that it is told, and tells its times.

    It ends with who started it: the other ends, which it has by the fork, are closed first.
    """
    for other in inherited:
        other.close()
    validate = make_validation(sample)
    validate()  # whatever happens only once
    with collector_off():
        try:
            while True:
                connection.send(time_passes_ns(validate, connection.recv()))
        except (EOFError, OSError):
            return


def make_validation(sample: Sample) -> Callable[[], None]:
    """What a validator does with a block's bundles, by the functions that its host calls."""
    params = Params()
    frames = [frame_bundle(bundle.encoded) for bundle in sample.bundles]

    def validate() -> None:
        for frame in frames:
            decode_frame(frame, params)
        checks = list_checks(sample.ballots)
        for first in range(0, len(checks), CHUNK):
            if not all(check_signatures(checks[first : first + CHUNK])):
                raise MeasurementFailed("a ballot's signature does not hold")
        assert sample.execute(sample.state).state_root

    return validate


def time_passes_ns(deed: Callable[[], None], until_ns: int) -> list[int]:
    """Processor time of each pass begun before that monotonic instant, and of one at least."""
    spans: list[int] = []
    while not spans or time.monotonic_ns() < until_ns:
        began_ns = time.process_time_ns()
        deed()
        spans.append(time.process_time_ns() - began_ns)
    return spans
