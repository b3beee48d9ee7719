"""A process that checks signatures as they are made, before the first peer needs to know.

What the virtual peers of this process sign, they check a moment later, when it has reached
another peer. Meanwhile a second processor core can have done it. Whoever asks before the answer
is there checks for itself, so that nothing depends on how quick the process is; the answer is
that of the same function.
"""

import multiprocessing
import os
import signal
from collections import deque
from multiprocessing.connection import Connection
from typing import Final

from node.crypto import is_signature_valid
from sim.workers import WorkerDied, hold_interrupt

MESSAGE_BYTES: Final = 32
"""Peers sign digests; anything else is left to whoever asks."""

RECORD_BYTES: Final = 32 + MESSAGE_BYTES + 64
WAITING_MAX: Final = 512
"""Records on the way there: they fit into the pipe, so that writing never waits."""

_JOIN_S = 5.0


class Precheck:
    """Signatures on their way to be checked; ``close`` ends the process.

    Raises WorkerDied if the process ends by itself.
    """

    __slots__ = ("_connection", "_file", "_waiting", "process")

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        self._connection: Connection[bytes, bytes] = mine
        self._file = mine.fileno()
        self._waiting: deque[tuple[bytes, bytes, bytes]] = deque()
        self.process = context.Process(target=run_precheck, args=(theirs,), daemon=True)
        with hold_interrupt():
            self.process.start()
        theirs.close()
        os.set_blocking(self._file, False)

    @property
    def waiting(self) -> int:
        """How many were asked and not taken."""
        return len(self._waiting)

    def fileno(self) -> int:
        """The pipe's, for whoever wants to wait for answers."""
        return self._file

    def ask(self, key: bytes, message: bytes, signature: bytes) -> None:
        """Have it checked, unless too much waits already."""
        if len(message) != MESSAGE_BYTES or len(self._waiting) >= WAITING_MAX:
            return
        try:
            written = os.write(self._file, key + message + signature)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._bury() from error
        assert written == RECORD_BYTES, "the pipe takes all that may wait"
        self._waiting.append((key, message, signature))

    def take(self) -> list[tuple[bytes, bytes, bytes]]:
        """(key, message, signature) of those that were found valid since the last call."""
        try:
            answers = os.read(self._file, WAITING_MAX)
        except BlockingIOError:
            return []
        except OSError as error:
            raise self._bury() from error
        if not answers:
            raise self._bury()
        done = [self._waiting.popleft() for _ in answers]
        return [record for record, is_valid in zip(done, answers, strict=True) if is_valid]

    def close(self) -> None:
        """Nothing more is wanted. Closing twice is harmless."""
        self._connection.close()
        self.process.join(_JOIN_S)  # it reads the pipe's end
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()

    def _bury(self) -> WorkerDied:
        self.process.join(_JOIN_S)
        return WorkerDied(0, self.process.exitcode)


def run_precheck(connection: "Connection[bytes, bytes]") -> None:
    """The process's whole life: one byte for each record, in order, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # both go to all; the simulation decides
    file = connection.fileno()
    rest = b""
    while True:
        try:
            read = os.read(file, RECORD_BYTES * WAITING_MAX)
        except OSError:
            return
        if not read:
            return
        rest += read
        whole = len(rest) - len(rest) % RECORD_BYTES
        for at in range(0, whole, RECORD_BYTES):
            record = rest[at : at + RECORD_BYTES]
            is_valid = is_signature_valid(record[:32], record[32:64], record[64:])
            try:
                # at once, not all together: somebody may be about to ask
                os.write(file, bytes((is_valid,)))
            except OSError:
                return
        rest = rest[whole:]
