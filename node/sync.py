"""Catching up: asking a peer that is ahead for the blocks that are missing, a few at a time."""

from typing import Final

from node.effects import Effect, Emit, Send, SetTimer
from node.events import SyncStarted
from node.params import Params
from node.types import Now, PeerHandle
from node.wire import frame_wanted

SYNC_RETRY_NS: Final = 3_000_000_000


class Sync:
    """At most one request is under way; a peer that does not answer loses its turn.

    ``_heights`` holds the best height that each linked peer was seen at, only for those ahead.
    """

    __slots__ = ("_asked", "_heights", "_params", "_target")

    def __init__(self, params: Params) -> None:
        self._params = params
        self._heights: dict[PeerHandle, int] = {}
        self._asked: PeerHandle | None = None
        self._target = 0

    @property
    def is_running(self) -> bool:
        """Whether a request is under way."""
        return self._asked is not None

    def upon_peer_height(
        self, now: Now, peer: PeerHandle, height: int, mine: int, effects: list[Effect]
    ) -> None:
        """A peer says, or shows by a block, that it holds ``height``."""
        if height <= mine:
            return
        self._heights[peer] = height
        if self._asked is None:
            effects.append(Emit(SyncStarted(mine + 1)))
            self._ask(now, peer, mine, effects)

    def upon_peer_left(self, peer: PeerHandle) -> None:
        """Forget a peer; if it was asked, the timer turns to another."""
        self._heights.pop(peer, None)

    def upon_progress(
        self, now: Now, peer: PeerHandle, mine: int, effects: list[Effect]
    ) -> None:
        """Blocks came from ``peer`` and the chain now reaches ``mine``."""
        if peer != self._asked:
            return
        self._asked = None
        if mine < self._target:  # an answer that brings nothing is none
            self._heights.pop(peer, None)
        self._continue(now, mine, effects, peer)

    def upon_timer(self, now: Now, target: int, mine: int, effects: list[Effect]) -> None:
        """No answer in time: the peer that was asked loses its place."""
        if self._asked is None or target != self._target:
            return
        self._heights.pop(self._asked, None)
        self._asked = None
        self._continue(now, mine, effects, None)

    def _continue(
        self, now: Now, mine: int, effects: list[Effect], preferred: PeerHandle | None
    ) -> None:
        self._heights = {peer: high for peer, high in self._heights.items() if high > mine}
        if self._heights:
            peer = preferred if preferred in self._heights else next(iter(self._heights))
            assert peer is not None
            self._ask(now, peer, mine, effects)

    def _ask(self, now: Now, peer: PeerHandle, mine: int, effects: list[Effect]) -> None:
        self._asked = peer
        self._target = mine + 1
        count = min(self._params.sync_blocks_max, self._heights[peer] - mine)
        effects.append(Send(peer, frame_wanted(mine + 1, count)))
        effects.append(SetTimer(("sync", mine + 1, 0), now.monotonic_ns + SYNC_RETRY_NS))

    def compute_digest(self) -> bytes:
        """Names everything this object would act upon."""
        return repr((self._asked, self._target, sorted(self._heights.items()))).encode()
