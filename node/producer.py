"""What an engine asks of its node: blocks to propose, blocks to check, signatures."""

from node.block import Block, make_block, make_header
from node.chain import Chain, decode_bundles, execute
from node.consensus.engine import Application
from node.crypto import Identity
from node.effects import Emit, Worked
from node.errors import InvalidBlock
from node.events import BlockProposed
from node.mempool import Mempool
from node.types import Digest, Now, PublicKey, Signature
from node.validation import compute_bundles_root, list_checking
from node.work import Work


class Producer(Application):
    """The engine's application: builds and checks blocks upon one node's chain.

    ``take_account`` hands over what was computed and built since it was last asked.
    """

    __slots__ = ("_account", "_chain", "_identity", "_mempool", "_verified", "_work")

    def __init__(self, chain: Chain, mempool: Mempool, identity: Identity, work: Work) -> None:
        self._chain = chain
        self._mempool = mempool
        self._identity = identity
        self._work = work
        self._account: list[Worked | Emit] = []
        self._verified: Digest = b""

    def propose(self, now: Now, height: int) -> Block | None:
        """An unsealed block upon the head from what the mempool holds, perhaps empty."""
        chain = self._chain
        assert height == chain.height + 1
        params = chain.genesis.params
        chosen = self._mempool.select(params.block_bytes_max, params.block_transactions_max)
        # A clock behind the head's must not stop the chain: time then goes by intervals.
        time_ns = max(now.realtime_ns, chain.head.time_ns + params.block_interval_ns)
        encodings = tuple(bundle.encoded for bundle in chosen)
        root = compute_bundles_root([bundle.digest for bundle in chosen])
        output = execute(
            chain.state, height, time_ns, chosen, root, chain.genesis, self._work
        )
        header = make_header(
            chain.chain_id, height, chain.head.digest, time_ns, self._identity.public, root,
            output.receipts_root, output.state_root, chain.authorities.validators, None,
        )
        block = make_block(header, 0, (), encodings)
        chain.prepare(header, output)
        self._account.extend(output.executed)
        proposed = BlockProposed(height, 0, header.digest, output.transaction_count)
        self._account.append(Emit(proposed))
        self._verified = header.digest
        return block

    def verify(self, now: Now, block: Block) -> None:
        """Raises InvalidBlock for a proposal that this node may not prepare."""
        latest_ns = now.realtime_ns + self._chain.genesis.params.future_block_ns
        if block.header.time_ns > latest_ns:
            raise InvalidBlock("time ahead", latest_ns, block.header.time_ns)
        chain, header = self._chain, block.header
        output = chain.verify_next(block, self._work)
        # each round asks again about the same block; the work was done once
        if header.digest != self._verified:
            bundles = decode_bundles(
                header.bundles_root, block.bundles, chain.genesis, self._work
            )
            self._account.extend(list_checking(bundles, self._mempool.held))
            self._account.extend(output.executed)
            self._verified = header.digest

    def check_signature(self, key: PublicKey, message: bytes, signature: Signature) -> bool:
        """Whether the Ed25519 signature holds."""
        return self._work.check_signature(key, message, signature)

    def sign(self, message: bytes) -> Signature:
        """This validator's signature."""
        return self._work.sign(self._identity, message)

    def take_account(self) -> list[Worked | Emit]:
        """What was computed, and blocks built, since the last call."""
        account = self._account
        if account:
            self._account = []
        return account
