"""Worker processes that make users' transactions ahead of virtual time.

Request i is answered by worker i mod n, in order, and answers are taken by index, so that
neither the number of workers nor their speed can change a result. What a worker makes is a pure
function of the request. A worker that loses its crew (closed, crashed, killed) ends by itself.
"""

import atexit
import multiprocessing
import os
import select
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol, TypeAlias, TypeVarTuple

from sim.errors import SimError

Arguments = TypeVarTuple("Arguments")

WORKERS_MAX = 64
_INDEX_BYTES = 8
_JOIN_S = 5.0
_PATIENCE_S = 2.0
"""A chunk takes half a second; who takes four times as long is not given a processor."""

# What may wait in a worker's pipe: both ends could otherwise wait for each other's reading.
_PIPE_BYTES_MAX = 64 * 1024

Maker: TypeAlias = Callable[[bytes], bytes]
"""Answers a request; the same bytes for the same bytes."""

Factory: TypeAlias = Callable[[], Maker]
"""Makes a maker in its process; it must be picklable."""


class WorkerDied(SimError):
    """A worker process ended while something was still wanted from it."""

    def __init__(self, worker: str, status: int | None) -> None:
        super().__init__(
            f"{worker} ended unexpectedly (exit code {status}); "
            "its own message, if any, is above"
        )
        self.status = status


class Crew(Protocol):
    """Whoever answers requests, in this process or in others."""

    def ask(self, index: int, request: bytes) -> None:
        """Want an answer to request number ``index``; numbers go 0, 1, 2, ..."""
        ...

    def get(self, index: int) -> bytes:
        """The answer to a request that was asked, once."""
        ...

    def pump(self) -> None:
        """Take in what is ready, so that workers need not wait."""
        ...

    def close(self) -> None:
        """Nothing more is wanted. Closing twice is harmless."""
        ...


class InlineCrew:
    """Answers each request when the answer is wanted, in this process."""

    __slots__ = ("_maker", "_requests")

    def __init__(self, factory: Factory) -> None:
        self._maker = factory()
        self._requests: dict[int, bytes] = {}

    def ask(self, index: int, request: bytes) -> None:
        """Note the request."""
        assert index not in self._requests
        self._requests[index] = request

    def get(self, index: int) -> bytes:
        """Make the answer now."""
        return self._maker(self._requests.pop(index))

    def pump(self) -> None:
        """Nothing is ever waiting."""

    def close(self) -> None:
        """There is nothing to end."""


class WorkerCrew:
    """A ``Crew`` of ``workers`` processes; as a context manager it leaves none.

    They have what others leave of the processor. Of one from which nothing has come for
    ``patience_s`` the crew makes the answers that are wanted itself, until it answers again;
    ``helped`` counts them. An answer that has begun to come is waited for.
    """

    __slots__ = ("_connections", "_factory", "_late", "_maker", "_ours", "_poll", "_processes",
                 "_ready", "_requests", "_waiting", "_workers", "helped", "patience_s")

    def __init__(
        self, factory: Factory, workers: int, patience_s: float = _PATIENCE_S
    ) -> None:
        assert 1 <= workers <= WORKERS_MAX, workers
        self.helped = 0
        self._factory = factory
        self._maker: Maker | None = None
        self.patience_s = patience_s
        self._late: set[int] = set()  # workers
        self._ours: set[int] = set()  # requests answered here before their worker did
        self._requests: dict[int, bytes] = {}
        self._ready: dict[int, bytes] = {}
        self._connections: list[Connection[bytes, bytes]] = []
        self._processes: list[BaseProcess] = []
        self._workers: dict[int, int] = {}  # by file descriptor
        # of each worker: requests that it has not answered, and their bytes
        self._waiting: list[deque[tuple[int, int]]] = [deque() for _ in range(workers)]
        self._poll = select.poll()
        try:
            for worker in range(workers):
                process, mine = start_process(run_worker, factory)
                self._connections.append(mine)
                self._processes.append(process)
                self._workers[mine.fileno()] = worker
                self._poll.register(mine, select.POLLIN)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "WorkerCrew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def is_free(self, index: int) -> bool:
        """Whether who would get request ``index`` has answered all that it was asked."""
        return not self._waiting[index % len(self._connections)]

    @property
    def process_ids(self) -> list[int]:
        """The workers' process ids, for whoever measures them."""
        return [process.pid for process in self._processes if process.pid is not None]

    def ask(self, index: int, request: bytes) -> None:
        """Send a request to its worker, waiting while that has too much to read."""
        worker = index % len(self._connections)
        waiting = self._waiting[worker]
        size = _INDEX_BYTES + len(request)
        self._requests[index] = request
        # the first is in the worker's hands, or on its way there
        while sum(each for _, each in list(waiting)[1:]) + size > _PIPE_BYTES_MAX and waiting:
            if not self._is_ready(worker):
                return  # never sent: made here when it is wanted
            self._receive(worker)
        try:
            self._connections[worker].send_bytes(index.to_bytes(_INDEX_BYTES, "big") + request)
        except OSError as error:
            raise self._bury(worker) from error
        waiting.append((index, size))

    def get(self, index: int) -> bytes:
        """The answer to request ``index``, waiting for it; raises WorkerDied."""
        worker = index % len(self._connections)
        while index not in self._ready:
            if self._is_behind(worker, index) or not self._is_ready(worker):
                return self._make(index)
            self._receive(worker)
        return self._ready.pop(index)

    def pump(self) -> None:
        """Take in finished answers; raises WorkerDied."""
        for file, _ in self._poll.poll(0):
            self._receive(self._workers[file])

    def close(self) -> None:
        """End the workers; what they were making is lost."""
        for connection in self._connections:
            end_pipe(connection)
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(_JOIN_S)
            if process.exitcode is None:
                process.kill()
                process.join()
        self._connections.clear()
        self._processes.clear()

    def _receive(self, worker: int) -> None:
        try:
            message = self._connections[worker].recv_bytes()
        except (EOFError, OSError) as error:
            raise self._bury(worker) from error
        index = int.from_bytes(message[:_INDEX_BYTES], "big")
        assert index % len(self._connections) == worker
        asked, _ = self._waiting[worker].popleft()
        assert asked == index, "answers come in order"
        self._late.discard(worker)
        if index in self._ours:
            self._ours.remove(index)
        else:
            self._ready[index] = message[_INDEX_BYTES:]
            del self._requests[index]

    def _is_behind(self, worker: int, index: int) -> bool:
        """Whether it is still at what was made here, or was never sent what is wanted."""
        return (
            not self._is_asked(worker, index) or self._waiting[worker][0][0] in self._ours
        )

    def _is_asked(self, worker: int, index: int) -> bool:
        return any(asked == index for asked, _ in self._waiting[worker])

    def _is_ready(self, worker: int) -> bool:
        if self._connections[worker].poll(0 if worker in self._late else self.patience_s):
            return True
        self._late.add(worker)
        return False

    def _make(self, index: int) -> bytes:
        if self._maker is None:
            self._maker = self._factory()
        if self._is_asked(index % len(self._connections), index):
            self._ours.add(index)
        self.helped += 1
        return self._maker(self._requests.pop(index))

    def _bury(self, worker: int) -> WorkerDied:
        process = self._processes[worker]
        process.join(_JOIN_S)
        return WorkerDied(f"ballot worker {worker}", process.exitcode)


def run_worker(factory: Factory, connection: "Connection[bytes, bytes]") -> None:
    """A worker's whole life: answer requests until the crew is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Ctrl-C goes to all; the crew decides
    give_way()
    maker = factory()
    try:
        while True:
            message = connection.recv_bytes()
            connection.send_bytes(message[:_INDEX_BYTES] + maker(message[_INDEX_BYTES:]))
    except (EOFError, OSError):
        return


def give_way() -> None:
    """From now on this process runs where nobody else wants to.

    Who works ahead of need gives way to who is waited for: as a nice process, it would have a
    tenth of the simulating process's core, and hold up the notary until its turn is over.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:  # some sandboxes refuse it
        os.nice(19)


@contextmanager
def hold_interrupt() -> Iterator[None]:
    """Processes that are started within never hear Ctrl-C, not even before they can say so.

    We hear it at the end: it must not come between a process and what that reads first. In the
    main thread only.
    """
    resource_tracker.ensure_running()  # which would let it through again
    pressed: list[int] = []
    # blocked is what children inherit; another thread of ours may still be told
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def start_process(
    target: "Callable[[*Arguments, Connection[bytes, bytes]], None]", *arguments: *Arguments
) -> "tuple[BaseProcess, Connection[bytes, bytes]]":
    """``target(*arguments, pipe)`` in a process that ends when its pipe does; our end of it.

    Python waits for its children as it exits. So the pipe is closed before that if nobody has
    called ``end_pipe``: Ctrl-C may come between any two lines of whoever has started it.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    atexit.register(mine.close)
    process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
    with hold_interrupt():
        process.start()
        theirs.close()  # or nobody would see the other's end
    return process, mine


def end_pipe(pipe: "Connection[bytes, bytes]") -> None:
    """Let the process at the other end go. Twice is harmless."""
    pipe.close()
    atexit.unregister(pipe.close)


def open_crew(factory: Factory, workers: int) -> Crew:
    """So many worker processes, or none: then this process makes everything."""
    return WorkerCrew(factory, workers) if workers else InlineCrew(factory)
