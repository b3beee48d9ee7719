"""Users check what relays tell them: receipt, Merkle path, header, seals, all for real.

The header and seals of a block are the same for everyone whose transaction is in it, so they
are checked once per height; the path of each receipt is checked up to where it meets another.
"""

from typing import Final

from node.block import decode_block
from node.errors import InvalidProof
from node.merkle import MerkleTree, PathChecker
from node.proof import InclusionProof, make_inclusion_proof, verify_inclusion
from node.receipt import decode_receipt
from sim.errors import InvariantBroken
from sim.hosted import HostedCity

BLOCKS_KEPT: Final = 256
SEALED_KEPT: Final = 16
"""Most ask at once: of a block from before these header and seals are checked anew."""


class Prover:
    """Proves transactions from what relays hold, and checks the proofs as a user would.

    ``checked`` counts the proofs that held. A relay that calls a transaction final and cannot
    prove it breaks an invariant: users were lied to.
    """

    __slots__ = ("_city", "_executed", "_sealed", "_trees", "checked")

    def __init__(self, city: HostedCity) -> None:
        self._city = city
        self._executed: dict[int, tuple[MerkleTree, tuple[bytes, ...], tuple[bytes, ...]]] = {}
        self._trees: dict[int, tuple[MerkleTree, tuple[bytes, ...], dict[bytes, int]]] = {}
        self._sealed: dict[int, PathChecker] = {}
        self.checked = 0

    def verify(self, relay: int, height: int, transaction_ids: list[bytes]) -> int:
        """How many of these are proven to be in final block ``height``; all, or it raises."""
        city = self._city
        tree, receipts, index_of = self._get_tree(height)
        paths = self._verify_sealed(relay, height, receipts)
        for transaction_id in transaction_ids:
            index = index_of.get(transaction_id)
            if index is None:
                raise InvariantBroken(
                    "receipts provable", city.kernel.now_ns,
                    f"relay {relay} has no receipt for {transaction_id.hex()[:16]}",
                )
            paths.verify(receipts[index], index, tree.prove(index))
        assert transaction_ids, "nobody asks for nothing"
        self.checked += len(transaction_ids)
        return len(transaction_ids)

    def note(self, relay: int, height: int) -> None:
        """``relay`` has block ``height`` as its head: keep the receipts for whoever asks later.

        A relay that catches up passes several heights at once, and its clients ask about each.
        """
        if height in self._executed:
            return
        node = self._city.get_node(self._city.topology.config.validators + relay)
        assert node is not None
        output = node.chain.output
        if output is None or node.chain.height != height:
            return
        ids = tuple(name for outcome in output.outcomes for name, _ in outcome)
        self._executed[height] = (output.tree, output.receipts, ids)
        if len(self._executed) > BLOCKS_KEPT:
            oldest = next(iter(self._executed))
            del self._executed[oldest]
            self._trees.pop(oldest, None)

    def _get_tree(self, height: int) -> tuple[MerkleTree, tuple[bytes, ...], dict[bytes, int]]:
        known = self._trees.get(height)
        if known is None:
            assert height in self._executed, "noted as a relay had it"
            tree, receipts, ids = self._executed[height]
            index_of: dict[bytes, int] = {}
            for index, transaction_id in enumerate(ids):
                # of a repeated transaction the first receipt says what became of it
                index_of.setdefault(transaction_id, index)
            known = self._trees[height] = (tree, receipts, index_of)
        return known

    def _verify_sealed(
        self, relay: int, height: int, receipts: tuple[bytes, ...]
    ) -> PathChecker:
        known = self._sealed.get(height)
        if known is not None:
            return known
        city = self._city
        node = city.get_node(city.topology.config.validators + relay)
        assert node is not None
        block = decode_block(node.chain.get_encoded(height), city.params)
        # any receipt would do, for header and seals are the same in all their proofs
        proof: InclusionProof = make_inclusion_proof(block, receipts, 0)
        try:
            receipt = verify_inclusion(
                proof, city.genesis.validators, city.chain_id,
                city.work.check_signature,
            )
        except InvalidProof as error:
            raise InvariantBroken(
                "receipts provable", city.kernel.now_ns,
                f"relay {relay} at height {height}: {error}",
            ) from error
        assert receipt == decode_receipt(receipts[0])
        paths = self._sealed[height] = PathChecker(block.header.receipts_root, len(receipts))
        if len(self._sealed) > SEALED_KEPT:
            del self._sealed[next(iter(self._sealed))]
        return paths
