"""What the node wants done, in order, and nothing past a ``Persist`` before it is on disk.

Group commit: while one write is under way the node goes on, and all that it asks to persist
meanwhile is the next write. So the disk is synced at most once at a time, however many inputs
were handled, and no effect overtakes the ``Persist`` before it.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import trio

from node.effects import Effect, Persist

Entry: TypeAlias = tuple[str, bytes]
"""A slot, and the parts of its ``Persist`` joined."""

WAITING_MAX = 4_096


class Outbox:
    """A queue that is empty as long as nothing has to be written.

    ``write`` must make its entries durable before it returns; if it raises, so does ``run``,
    and nothing that stood behind them is ever performed. It is called when all the node's
    effects are in the queue or performed, so the node's state is that of the entries.
    """

    __slots__ = ("_perform", "_queue", "_room", "_wake", "_write", "writes")

    def __init__(
        self, perform: Callable[[Effect], None],
        write: Callable[[Sequence[Entry]], Awaitable[None]],
    ) -> None:
        self.writes = 0
        self._perform = perform
        self._write = write
        self._queue: deque[Effect] = deque()
        self._wake = trio.Event()
        self._room = trio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, effects: Sequence[Effect]) -> None:
        """Perform the effects of one input, or queue them from the first Persist on."""
        if self._queue:
            self._queue.extend(effects)
            return
        for index, effect in enumerate(effects):
            if type(effect) is Persist:
                self._queue.extend(effects[index:])
                self._wake.set()
                return
            self._perform(effect)

    async def wait_room(self) -> None:
        """Return once fewer than WAITING_MAX effects wait for the disk."""
        while len(self._queue) >= WAITING_MAX:
            self._room = trio.Event()
            await self._room.wait()

    async def run(self) -> None:
        """Write and perform what waits, as it comes; until cancelled.

        What waits to be written at that moment still is, so that the next start finds it.
        """
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._queue:
                    await self._turn()
        except trio.Cancelled:
            entries = self._list_entries()
            if entries:
                with trio.CancelScope(shield=True):
                    await self._write(entries)
            raise

    async def _turn(self) -> None:
        count = len(self._queue)
        entries = self._list_entries()
        if entries:
            self.writes += 1
            await self._write(entries)
        for _ in range(count):
            effect = self._queue[0]
            if type(effect) is not Persist:
                self._perform(effect)
            self._queue.popleft()  # only now: until then nothing may pass it by
        self._room.set()

    def _list_entries(self) -> list[Entry]:
        return [
            (effect.slot, b"".join(effect.parts)) for effect in self._queue
            if type(effect) is Persist
        ]
