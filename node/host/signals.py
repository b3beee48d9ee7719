"""A process that is asked to end does so once, in order, however often it is asked.

Whoever closes a terminal, stops a service or presses Ctrl-C twice sends several signals. The
first one begins an orderly end; the others must not cut it short.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import trio

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Set by the first signal. ``arm`` before trio runs, then ``await wait()`` in it.

    While it is not armed the first signal is a KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._is_armed = False
        self._event = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None

    def arm(self) -> None:
        """From now on a signal interrupts nothing by itself."""
        self._is_armed = True

    def disarm(self) -> None:
        """From now on one does again. Raises KeyboardInterrupt if it has come meanwhile."""
        self._is_armed = False
        if self.is_asked:
            raise KeyboardInterrupt

    async def wait(self) -> None:
        """Until a signal has come, also if that was before."""
        assert self._is_armed
        self._token = trio.lowlevel.current_trio_token()
        try:
            if not self.is_asked:
                await self._event.wait()
        finally:
            self._token = None

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """The handler. Raises KeyboardInterrupt for a first signal while not armed."""
        is_first, self.is_asked = not self.is_asked, True
        if self._token is not None:
            self._token.run_sync_soon(self._event.set)
        elif is_first and not self._is_armed:
            raise KeyboardInterrupt


@contextmanager
def catch_signals() -> Iterator[Stop]:
    """Signals to end go to the Stop, and once one has come no other does anything any more.

    A signal that is ignored already, as nohup does with SIGHUP, stays so. In a thread that gets
    no signals none comes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop.ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if stop.is_asked else handler)
