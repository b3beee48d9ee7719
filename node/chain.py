"""A node's chain: the final blocks it holds, and the state and authorities after its head.

Final blocks are immutable and, on a network that is safe, the same for everyone. So the list
of blocks is a ``Trunk`` that chains of one process may share: each chain is a trunk and a
length, which makes an idle observer cost two words a block less than a list of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from node.block import Block, Header, make_genesis_block
from node.bundle import Bundle, decode_bundle
from node.consensus.authorities import Authorities, make_authorities
from node.effects import Effect, Emit, Persist, Worked
from node.errors import InvalidBlock, InvalidMessage
from node.events import BlockFinal
from node.execution import BlockOutput, execute_bundles
from node.params import Genesis
from node.seals import check_seals
from node.state import EMPTY_STATE, State
from node.types import Digest
from node.validation import (
    compute_bundles_root,
    compute_execution_key,
    verify_bundle,
    verify_header,
)
from node.work import Work

Item = TypeVar("Item")


class Column(Protocol[Item]):
    """One thing for each height from 0 on: a list, or what a host reads back from its disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, height: int, /) -> Item: ...
    def append(self, item: Item, /) -> None: ...


class Trunk:
    """Headers and encodings of consecutive final blocks, from genesis on."""

    __slots__ = ("encodings", "headers")

    def __init__(self, headers: Column[Header], encodings: Column[bytes]) -> None:
        self.headers = headers
        self.encodings = encodings

    def branch(self, length: int) -> "Trunk":
        """A copy of the first ``length`` blocks, to grow another way."""
        heights = range(length)
        return Trunk([self.headers[height] for height in heights],
                     [self.encodings[height] for height in heights])


class Step(NamedTuple):
    """All that it means to put one sealed block upon one head, the same for every node.

    ``checked`` is the work of finding it valid; ``done`` is what the host is asked for once it
    is the head: the work of executing it, the block to store, the news that it is final.
    """

    parent: Header
    block: Block
    output: BlockOutput
    authorities: Authorities
    checked: tuple[Worked, ...]
    done: tuple[Effect, ...]


class Chain:
    """The final chain as one node knows it; it only grows."""

    __slots__ = ("_ready", "authorities", "chain_id", "first", "genesis", "head", "output",
                 "state", "trunk")

    def __init__(self, genesis: Genesis, trunk: Trunk | None = None) -> None:
        if trunk is None:
            first = make_genesis_block(genesis, EMPTY_STATE.root)
            trunk = Trunk([first.header], [first.encoded])
        self.genesis = genesis
        self.trunk = trunk
        self.head: Header = trunk.headers[0]
        self.chain_id = self.head.chain_id
        self.first = 1
        self.state: State = EMPTY_STATE
        self.authorities: Authorities = make_authorities(genesis)
        self.output: BlockOutput | None = None
        self._ready: tuple[Digest, BlockOutput] | None = None

    @classmethod
    def resume(
        cls, genesis: Genesis, trunk: Trunk, state: State, authorities: Authorities,
        first: int = 1,
    ) -> "Chain":
        """The chain up to the trunk's last block, with what follows from it: no replay.

        ``output`` is None until the next block. Blocks below ``first``, genesis apart, are not
        there: whoever looks back must ask for it.
        """
        chain = cls(genesis, trunk)
        chain.head = trunk.headers[len(trunk.headers) - 1]
        assert chain.head.chain_id == chain.chain_id
        assert chain.head.state_root == state.root
        assert 1 <= first <= chain.head.height + 1
        chain.first = first
        chain.state = state
        chain.authorities = authorities
        return chain

    @property
    def height(self) -> int:
        """The head's height; 0 when only genesis is known."""
        return self.head.height

    def get_encoded(self, height: int) -> bytes:
        """The encoded final block at ``height`` <= head."""
        assert 0 <= height <= self.head.height
        return self.trunk.encodings[height]

    def get_header(self, height: int) -> Header:
        """The header at ``height`` <= head."""
        assert 0 <= height <= self.head.height
        return self.trunk.headers[height]

    def get_digest(self, height: int) -> Digest:
        """The digest of the final block at ``height`` <= head."""
        return self.get_header(height).digest

    def copy(self) -> "Chain":
        """The same chain for another owner: what a restart reads back from its disk."""
        twin = Chain(self.genesis, self.trunk)
        twin.head, twin.first, twin.authorities = self.head, self.first, self.authorities
        twin.state, twin.output = self.state, self.output
        return twin

    def plan_step(self, encoded: bytes, block: Block, work: Work) -> Step:
        """What follows if ``block``, whose seals are in ``encoded``, is put upon the head.

        Raises InvalidBlock for one that may not, and changes nothing.
        """
        if block.header.parent != self.head.digest:
            raise InvalidBlock("parent", self.head.digest.hex(), block.header.parent.hex())
        return work.once(plan_step, encoded, encoded, block, self, work)

    def verify_place(self, block: Block) -> None:
        """Raises InvalidBlock unless the header may follow the head."""
        verify_header(block.header, self.head, self.authorities.validators, self.genesis)

    def verify_next(self, block: Block, work: Work) -> BlockOutput:
        """The outcome of ``block`` on the head; raises InvalidBlock and changes nothing.

        Checks the header's place, the bundles, and the roots by executing. Seals apart.
        """
        ready = self._ready
        if ready is not None and ready[0] == block.header.digest:
            return ready[1]
        self.verify_place(block)
        key = self.state.root + block.header.digest
        output = work.once(
            verify_content, key, block, self.state, self.genesis, self.chain_id, work
        )
        self._ready = (block.header.digest, output)
        return output

    def prepare(self, header: Header, output: BlockOutput) -> None:
        """Spare the execution of a block that this node has built on this head itself."""
        assert header.parent == self.head.digest
        assert header.state_root == output.state_root
        self._ready = (header.digest, output)

    def adopt(self, block: Block, output: BlockOutput) -> Step:
        """Make ``block`` the head; it was verified and executed upon this head, and sealed."""
        authorities = self.authorities.apply(block.header)
        step = Step(self.head, block, output, authorities, (), describe_final(block))
        self.take(step)
        return step

    def take(self, step: Step) -> None:
        """Make the step's block the head; it was planned upon this head."""
        block = step.block
        header = block.header
        assert header.parent == self.head.digest
        trunk = self.trunk
        if len(trunk.headers) == header.height:
            trunk.headers.append(header)
            trunk.encodings.append(block.encoded)
        elif trunk.headers[header.height].digest != header.digest:
            self.trunk = trunk = trunk.branch(header.height)
            trunk.headers.append(header)
            trunk.encodings.append(block.encoded)
        self.authorities = step.authorities
        self.head = header
        self.output = step.output
        self.state = step.output.state
        self._ready = None


def plan_step(encoded: bytes, block: Block, chain: Chain, work: Work) -> Step:
    """As ``Chain.plan_step``, once the block's parent is known to be the head."""
    chain.verify_place(block)
    checked = check_seals(encoded, block, work)
    output = chain.verify_next(block, work)
    authorities = chain.authorities.apply(block.header)
    done = output.worked + describe_final(block)
    return Step(chain.head, block, output, authorities, checked, done)


def describe_final(block: Block) -> tuple[Effect, ...]:
    """What a host is asked for when ``block`` has become the head: to store it, and to know."""
    header = block.header
    stored = Persist("block", (block.head, block.body))
    return stored, Emit(BlockFinal(header.height, header.digest))


def verify_content(
    block: Block, state: State, genesis: Genesis, chain_id: bytes, work: Work
) -> BlockOutput:
    """Executes the block's bundles and holds the header to the roots. Raises InvalidBlock."""
    header = block.header
    try:
        bundles = decode_each(block.bundles, genesis, work)
        for bundle in bundles:
            work.once(
                verify_bundle, bundle.digest + bundle.signature, bundle, genesis, chain_id, work
            )
    except InvalidMessage as error:
        raise InvalidBlock(error.reason, "valid bundles", error.detail) from error
    root = compute_bundles_root([bundle.digest for bundle in bundles])
    if root != header.bundles_root:
        raise InvalidBlock("bundles root", root.hex(), header.bundles_root.hex())
    count = sum(len(bundle.transactions) for bundle in bundles)
    if count > genesis.params.block_transactions_max:
        raise InvalidBlock("transactions", genesis.params.block_transactions_max, count)
    output = execute(state, header.height, header.time_ns, bundles, root, genesis, work)
    if output.receipts_root != header.receipts_root:
        raise InvalidBlock("receipts root", output.receipts_root.hex(),
                           header.receipts_root.hex())
    if output.state_root != header.state_root:
        raise InvalidBlock("state root", output.state_root.hex(), header.state_root.hex())
    return output


def execute(
    state: State, height: int, time_ns: int, bundles: Sequence[Bundle], bundles_root: Digest,
    genesis: Genesis, work: Work,
) -> BlockOutput:
    """The outcome of the bundles under ``bundles_root``, computed once per process."""
    key = compute_execution_key(state.root, height, time_ns, bundles_root)
    return work.once(
        execute_bundles, key, state, height, time_ns, bundles, genesis.registrar, work
    )


def decode_bundles(
    bundles_root: Digest, encodings: tuple[bytes, ...], genesis: Genesis, work: Work
) -> list[Bundle]:
    """The bundles under ``bundles_root``, in order; raises InvalidMessage for a malformed one.

    The root is that of a verified block: it names them all.
    """
    return work.once(decode_each, bundles_root, encodings, genesis, work)


def decode_each(encodings: tuple[bytes, ...], genesis: Genesis, work: Work) -> list[Bundle]:
    """Decoded bundles in order; raises InvalidMessage for a malformed one."""
    return [
        work.once(decode_bundle, encoded, encoded, genesis.params, work)
        for encoded in encodings
    ]
