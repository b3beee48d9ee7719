"""One node's process: started, killed, stopped for a while, and ended in order.

Each is a process group of its own, so that Ctrl-C reaches the driver alone, which ends the
nodes in order. Its standard input is a pipe that only the driver holds: when the driver dies,
however, the nodes see its end and stop. One that stands still then is woken and hung up by the
system, which does so with stopped groups that have lost their parent.
"""

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.cluster.errors import ClusterFailed
from bench.cluster.places import Place
from sim.workers import hold_interrupt

VECHE = Path(__file__).parents[2] / "veche.py"
LAST_WORDS_CHARS = 400
FULL_BYTES = 64 * 1024
"""How large files may be on a full disk: a node's database is soon larger, and so are its
events; what it says at its end fits."""


class Process:
    """The life of one node; ``starts`` counts them. Methods of one that is down do nothing."""

    __slots__ = ("_process", "is_doomed", "is_paused", "place", "starts")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.starts = 0
        self.is_paused = False
        self.is_doomed = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_up(self) -> bool:
        """Whether we started it and have not ended it; it may have died meanwhile."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The system's number of it; None while it is down."""
        return None if self._process is None else self._process.pid

    @property
    def has_died(self) -> bool:
        """Whether it ended though nobody asked for it."""
        return self._process is not None and self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """Of a process that has died; minus the signal's number if one killed it."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it; it listens some time later, which its events tell."""
        assert self._process is None
        self.starts += 1
        self.is_doomed = False
        # before it has its group, Ctrl-C would reach it too
        with self.place.log.open("ab") as log, hold_interrupt():
            self._process = subprocess.Popen(
                [sys.executable, str(VECHE), "node", "--config", str(self.place.config),
                 "--until-eof"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, process_group=0,
            )

    def kill(self, *, keep_disk: bool) -> None:
        """End it at once, as a power cut does; what its disk held may be lost too."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            self._bury(process)
        self.is_paused = False
        if not keep_disk:
            shutil.rmtree(self.place.data, ignore_errors=True)

    def fill_disk(self) -> None:
        """Have its writes fail from now on, as on a full disk; it must end of that."""
        if self._process is not None:
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))
            self.is_doomed = True

    def pause(self) -> None:
        """Let it stand still."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            self.is_paused = True

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.is_paused = False

    def ask_to_stop(self) -> None:
        """Have it end in order; ``wait`` for that."""
        if self._process is not None:
            self.resume()
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended in this time and in order; if not, it is killed now.

        In a thread, for ``kill`` may end the wait.
        """
        process = self._process
        if process is None:
            return True
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            code = -signal.SIGKILL
        self._process = None
        self._bury(process)
        return code == 0

    def read_last_words(self) -> str:
        """The end of what it said on standard error, in one line."""
        try:
            text = self.place.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return " ".join(text.split())[-LAST_WORDS_CHARS:]

    def _bury(self, process: "subprocess.Popen[bytes]") -> None:
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def require_alive(processes: Iterable[Process]) -> None:
    """Raises ClusterFailed if a process has ended by itself."""
    for process in processes:
        if process.has_died:
            raise ClusterFailed(
                f"{process.place.name} ended by itself, exit code {process.exit_code}; "
                f"last it said: {process.read_last_words()}"
            )
