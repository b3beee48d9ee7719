"""Worker processes that make ballots ahead of virtual time.

Chunk i is made by worker i mod n, in order; the pool asks for a bounded number of chunks ahead
and takes them by index, so that neither the number of workers nor their speed can change a
result. A worker that loses its pool (closed, crashed, killed) ends by itself.
"""

import multiprocessing
import select
import signal
from multiprocessing.connection import Connection
from types import TracebackType

from sim.ballots import CHUNK_ROWS, BallotMaker
from sim.electorate import BallotRules
from sim.errors import SimError

LOOKAHEAD_CHUNKS = 48
WORKERS_MAX = 64
_INDEX_BYTES = 8
_JOIN_S = 5.0


class WorkerDied(SimError):
    """A worker process ended while ballots were still wanted from it."""

    def __init__(self, worker: int, status: int | None) -> None:
        super().__init__(
            f"ballot worker {worker} ended unexpectedly (exit code {status}); "
            "its own message, if any, is above"
        )
        self.worker = worker
        self.status = status


class WorkerPool:
    """A ``ChunkSource`` over ``workers`` processes; as a context manager it leaves none."""

    __slots__ = ("_asked", "_chunks", "_connections", "_lookahead", "_poll",
                 "_processes", "_ready", "_workers")

    def __init__(
        self, rules: BallotRules, workers: int, lookahead: int = LOOKAHEAD_CHUNKS
    ) -> None:
        assert 1 <= workers <= WORKERS_MAX, workers
        assert lookahead >= 1
        self._chunks = -(-rules.users // CHUNK_ROWS)
        self._lookahead = lookahead
        self._ready: dict[int, bytes] = {}
        self._asked = 0
        self._connections: list[Connection[bytes, bytes]] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._workers: dict[int, int] = {}  # by file descriptor
        self._poll = select.poll()
        context = multiprocessing.get_context("spawn")
        try:
            for worker in range(min(workers, self._chunks)):
                mine, theirs = context.Pipe()
                self._workers[mine.fileno()] = worker
                self._poll.register(mine, select.POLLIN)
                process = context.Process(target=run_worker, args=(rules, theirs), daemon=True)
                self._connections.append(mine)
                process.start()
                self._processes.append(process)
                theirs.close()  # or the pool would never see the worker's end
            self._ask(0)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def process_ids(self) -> list[int]:
        """The workers' process ids, for whoever measures them."""
        return [process.pid for process in self._processes if process.pid is not None]

    def get(self, index: int) -> bytes:
        """The frame of chunk ``index``, waiting for it; raises WorkerDied."""
        assert 0 <= index < self._chunks
        self._ask(index)
        worker = index % len(self._connections)
        while index not in self._ready:
            self._receive(worker)
        return self._ready.pop(index)

    def pump(self) -> None:
        """Take in finished chunks; raises WorkerDied."""
        for file, _ in self._poll.poll(0):
            self._receive(self._workers[file])

    def close(self) -> None:
        """End the workers; what they were making is lost. Closing twice is harmless."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(_JOIN_S)
            if process.exitcode is None:
                process.kill()
                process.join()
        self._connections.clear()
        self._processes.clear()

    def _ask(self, index: int) -> None:
        upto = min(index + self._lookahead, self._chunks)
        for wanted in range(self._asked, upto):
            worker = wanted % len(self._connections)
            try:
                self._connections[worker].send_bytes(wanted.to_bytes(_INDEX_BYTES, "big"))
            except OSError as error:
                raise self._bury(worker) from error
        self._asked = max(self._asked, upto)

    def _receive(self, worker: int) -> None:
        try:
            message = self._connections[worker].recv_bytes()
        except (EOFError, OSError) as error:
            raise self._bury(worker) from error
        index = int.from_bytes(message[:_INDEX_BYTES], "big")
        assert index % len(self._connections) == worker
        assert len(self._ready) <= self._lookahead
        self._ready[index] = message[_INDEX_BYTES:]

    def _bury(self, worker: int) -> WorkerDied:
        process = self._processes[worker]
        process.join(_JOIN_S)
        return WorkerDied(worker, process.exitcode)


def run_worker(rules: BallotRules, connection: "Connection[bytes, bytes]") -> None:
    """A worker's whole life: make the chunks that it is asked for until the pool is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the pool decides
    maker = BallotMaker(rules)
    try:
        while True:
            wanted = connection.recv_bytes()
            frame = maker.make_chunk(int.from_bytes(wanted, "big"))
            connection.send_bytes(wanted + frame)
    except (EOFError, OSError):
        return
