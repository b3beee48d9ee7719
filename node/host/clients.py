"""Clients who wait for a relay's verdict."""

from collections.abc import Sequence

import trio

from node.inputs import Submitted

CLIENTS_MAX = 20_000
BUSY = "busy"


class Clients:
    """Transactions handed in and not answered yet, by number; never more than CLIENTS_MAX."""

    __slots__ = ("_next", "_waiting")

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, _Group] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def admit(self, transactions: Sequence[bytes]) -> "tuple[_Group, list[Submitted]]":
        """Inputs for the node, and the group whose ``wait`` gives its verdicts, in order."""
        group = _Group(len(transactions))
        submitted = []
        for place, transaction in enumerate(transactions):
            if len(self._waiting) >= CLIENTS_MAX:
                group.answer(place, BUSY)
                continue
            self._next += 1
            group.numbers[self._next] = place
            self._waiting[self._next] = group
            submitted.append(Submitted(self._next, transaction))
        return group, submitted

    def answer(self, client: int, verdict: str) -> None:
        """The node's reply to one of them; a client who is gone is not looked for."""
        group = self._waiting.pop(client, None)
        if group is not None:
            group.answer(group.numbers[client], verdict)

    def forget(self, group: "_Group") -> None:
        """Nobody waits for what is left of ``group`` any more."""
        for number in group.numbers:
            self._waiting.pop(number, None)


class _Group:
    __slots__ = ("_left", "_ready", "numbers", "verdicts")

    def __init__(self, count: int) -> None:
        self.numbers: dict[int, int] = {}
        self.verdicts = [""] * count
        self._left = count
        self._ready = trio.Event()
        if not count:
            self._ready.set()

    def answer(self, place: int, verdict: str) -> None:
        self.verdicts[place] = verdict
        self._left -= 1
        if not self._left:
            self._ready.set()

    async def wait(self) -> list[str]:
        await self._ready.wait()
        return self.verdicts
