"""Processor time by kind of work, as one node's host spends it.

Time is that of the thread that works, so what waits for a lock, a disk or another thread is not
counted. What stands under no kind here (the event loop, links, HTTP) is the process's total
less all kinds.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar, TypeVarTuple

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Spent(StrEnum):
    """The kinds that a host tells apart."""

    CHECK = "check"  # Ed25519 signatures, in threads or at once
    DECODE = "decode"  # frames, blocks, bundles and transactions
    EXECUTE = "execute"  # transactions, the state, and both roots
    HANDLE = "handle"  # all else that the node does with its inputs
    DISK = "disk"  # writing blocks, promises and snapshots
    INDEX = "index"  # where each transaction is, for people who ask


class Meter:
    """Sums up; kinds within kinds count once, under the inner one. For one thread."""

    __slots__ = ("_inner_ns", "_spent_ns")

    def __init__(self) -> None:
        self._spent_ns = dict.fromkeys(Spent, 0)
        self._inner_ns = 0

    def run(
        self, kind: Spent, function: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result:
        """``function(*arguments)``, its errors too."""
        outer_ns, self._inner_ns = self._inner_ns, 0
        began_ns = time.thread_time_ns()
        try:
            return function(*arguments)
        finally:
            spent_ns = time.thread_time_ns() - began_ns
            assert spent_ns >= self._inner_ns, "what it called took part of its time"
            self._spent_ns[kind] += spent_ns - self._inner_ns
            self._inner_ns = outer_ns + spent_ns

    def add(self, kind: Spent, spent_ns: int) -> None:
        """What another thread has measured."""
        assert spent_ns >= 0
        self._spent_ns[kind] += spent_ns

    def build_counters(self) -> dict[str, float]:
        """Seconds by dotted name."""
        return {f"cpu.{kind}_s": ns / 1e9 for kind, ns in self._spent_ns.items()}


def measure(
    function: Callable[[*Arguments], Result], *arguments: *Arguments
) -> tuple[Result, int]:
    """What ``function(*arguments)`` gives, and what it cost this thread, in nanoseconds."""
    began_ns = time.thread_time_ns()
    result = function(*arguments)
    return result, time.thread_time_ns() - began_ns
