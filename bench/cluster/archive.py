"""The driver's own copy of the chain: an observer that checks and executes every block.

It is linked to the relays as any citizen's node, and asks them for what it misses. Judges and
people read it: what a peer is said to hold at a height, is looked up here by that height.
"""

from collections.abc import Callable

from node.block import Block, Header, decode_block
from node.chain import Chain, Step
from node.errors import InvalidBlock, InvalidMessage
from node.execution import BlockOutput
from node.host.link import FrameCame, Happening, LinkDown, LinkUp
from node.mempool import Mempool
from node.params import Genesis
from node.state import EMPTY_STATE, State
from node.types import Digest, PeerHandle
from node.wire import (
    BlockCarried,
    BlocksGiven,
    Status,
    decode_frame,
    frame_status,
    frame_wanted,
)
from node.work import Work
from sim.errors import InvariantBroken

OUTPUTS_KEPT = 256
"""Executed blocks of which the receipts are kept; states and encodings are for all."""


class Archive:
    """Grows with what relays send; ``send`` gives a frame to one of them.

    Raises InvariantBroken for a second sealed block at one height and for a block that breaks
    the rules: both would break the city.
    """

    __slots__ = ("_chain", "_heights", "_outputs", "_send", "_states", "_work")

    def __init__(
        self, genesis: Genesis, work: Work, send: Callable[[PeerHandle, bytes], None]
    ) -> None:
        self._chain = Chain(genesis)
        self._work = work
        self._send = send
        self._heights: dict[PeerHandle, int] = {}
        self._states: list[State] = [EMPTY_STATE]
        self._outputs: dict[int, BlockOutput] = {}

    @property
    def height(self) -> int:
        """The last block."""
        return self._chain.height

    @property
    def chain_id(self) -> bytes:
        """Of the genesis."""
        return self._chain.chain_id

    def get_header(self, height: int) -> Header:
        """The header at ``height`` <= the last."""
        return self._chain.get_header(height)

    def get_digest(self, height: int) -> Digest:
        """The digest of the block at ``height``."""
        return self._chain.get_digest(height)

    def get_encoded(self, height: int) -> bytes:
        """The encoded block at ``height``."""
        return self._chain.get_encoded(height)

    def get_state(self, height: int) -> State:
        """The state after block ``height``."""
        return self._states[height]

    def get_output(self, height: int) -> BlockOutput | None:
        """What executing block ``height`` gave; None for genesis and for long ago."""
        return self._outputs.get(height)

    def upon(self, now_ns: int, happening: Happening) -> None:
        """Something came from a relay."""
        match happening:
            case LinkUp(peer):
                self._heights[peer] = 0
                head = self._chain.head
                self._send(peer, frame_status(head.height, head.digest))
            case LinkDown(peer):
                self._heights.pop(peer, None)
            case FrameCame(peer, frame):
                try:
                    self._take_frame(now_ns, peer, frame)
                except (InvalidMessage, InvalidBlock) as error:
                    raise InvariantBroken(
                        "one chain", now_ns, f"a relay sent what breaks the rules: {error}"
                    ) from error

    def ask(self) -> None:
        """Ask a relay that is ahead for what is missing; call it now and then."""
        for peer, height in self._heights.items():
            if height > self.height:
                limit = self._chain.genesis.params.sync_blocks_max
                count = min(limit, height - self.height)
                self._send(peer, frame_wanted(self.height + 1, count))
                return

    def _take_frame(self, now_ns: int, peer: PeerHandle, frame: bytes) -> None:
        params = self._chain.genesis.params
        match decode_frame(frame, params, self._work):
            case BlockCarried(block):
                self._note(peer, block.header.height)
                if block.header.height > self.height + 1:
                    self.ask()
                self._take(now_ns, frame, block)
            case BlocksGiven(blocks):
                for encoded in blocks:
                    self._take(now_ns, encoded, decode_block(encoded, params))
                self.ask()
            case Status(height, _):
                self._note(peer, height)
                self.ask()
            case _:
                pass

    def _note(self, peer: PeerHandle, height: int) -> None:
        self._heights[peer] = max(height, self._heights.get(peer, 0))

    def _take(self, now_ns: int, encoded: bytes, block: Block) -> None:
        height = block.header.height
        if height > self.height + 1:
            return
        if height <= self.height:
            if block.header.digest != self._chain.get_digest(height):
                raise InvariantBroken("one chain", now_ns, f"two sealed blocks {height}")
            return
        step: Step = self._chain.plan_step(encoded, block, self._work)
        self._chain.take(step)
        self._states.append(step.output.state)
        self._outputs[height] = step.output
        self._outputs.pop(height - OUTPUTS_KEPT, None)
        assert len(self._states) == self.height + 1


class HeldPart:
    """The chain as a peer holds it that is at ``height`` (sim.hosted.HeldChain)."""

    __slots__ = ("_archive", "height")

    def __init__(self, archive: Archive, height: int) -> None:
        assert height <= archive.height
        self._archive = archive
        self.height = height

    @property
    def head(self) -> Header:
        """The header of the last block."""
        return self._archive.get_header(self.height)

    @property
    def state(self) -> State:
        """The state after it."""
        return self._archive.get_state(self.height)

    @property
    def output(self) -> BlockOutput | None:
        """What its execution gave."""
        return self._archive.get_output(self.height)

    def get_encoded(self, height: int) -> bytes:
        """The encoded block at ``height``."""
        assert height <= self.height
        return self._archive.get_encoded(height)


class RealMember:
    """A process that is up (sim.hosted.Member); nobody looks into its pool from here."""

    __slots__ = ("chain",)

    def __init__(self, chain: HeldPart) -> None:
        self.chain = chain

    @property
    def mempool(self) -> Mempool | None:
        """Always None."""
        return None
