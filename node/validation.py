"""Every check of what others made, apart from every change: this file raises, callers act.

Consensus on which block is next belongs to the engine; how a block must look is here.
"""

from collections.abc import Container, Iterable

from node.block import Header
from node.bundle import Bundle
from node.codec import encode
from node.crypto import digest
from node.effects import Worked
from node.errors import InvalidBlock, InvalidMessage, InvalidTransaction
from node.merkle import compute_root
from node.params import Genesis
from node.transaction import Transaction
from node.types import Digest, PublicKey
from node.work import Work, WorkKind


def verify_transaction(transaction: Transaction, chain_id: bytes, work: Work) -> None:
    """Raises InvalidTransaction("wrong chain") or ("signature")."""
    if transaction.chain_id != chain_id:
        raise InvalidTransaction("wrong chain", transaction.chain_id.hex())
    if not work.check_signature(transaction.sender, transaction.id, transaction.signature):
        raise InvalidTransaction("signature", transaction.id.hex())


def verify_bundle(bundle: Bundle, genesis: Genesis, chain_id: bytes, work: Work) -> None:
    """Raises InvalidMessage when a relay must pay for this bundle.

    Reasons: "wrong chain", "unknown relay", "bundle signature", "repeated transaction",
    "bundled transaction" (one bad signature refuses the whole bundle).
    """
    if bundle.chain_id != chain_id:
        raise InvalidMessage("wrong chain", bundle.chain_id.hex())
    if bundle.relay not in genesis.relays:
        raise InvalidMessage("unknown relay", bundle.relay.hex())
    # The relay's signature comes first: without it nobody could be made to pay for the rest.
    if not work.check_signature(bundle.relay, bundle.digest, bundle.signature):
        raise InvalidMessage("bundle signature", bundle.digest.hex())
    if len({transaction.id for transaction in bundle.transactions}) != len(bundle.transactions):
        raise InvalidMessage("repeated transaction", bundle.digest.hex())
    for transaction in bundle.transactions:
        try:
            verify_transaction(transaction, chain_id, work)
        except InvalidTransaction as error:
            raise InvalidMessage("bundled transaction", str(error)) from error


def list_checking(
    bundles: Iterable[Bundle], held: Container[Digest]
) -> tuple[Worked, ...]:
    """The work of decoding and checking those bundles that a node does not hold already."""
    checks = size_bytes = 0
    for bundle in bundles:
        if bundle.digest not in held:
            checks += 1 + len(bundle.transactions)
            size_bytes += len(bundle.encoded)
    if not checks:
        return ()
    assert size_bytes > 0
    return (
        Worked(WorkKind.DECODE_BYTES, size_bytes), Worked(WorkKind.CHECK_SIGNATURE, checks)
    )


def verify_header(
    header: Header, parent: Header, validators: tuple[PublicKey, ...], genesis: Genesis
) -> None:
    """Raises InvalidBlock unless ``header`` may follow ``parent`` under these validators."""
    if header.chain_id != parent.chain_id:
        raise InvalidBlock("wrong chain", parent.chain_id.hex(), header.chain_id.hex())
    if header.height != parent.height + 1:
        raise InvalidBlock("height", parent.height + 1, header.height)
    if header.parent != parent.digest:
        raise InvalidBlock("parent", parent.digest.hex(), header.parent.hex())
    # Blocks are no closer than the interval, so no proposer can rush the closes of auctions;
    # how far ahead a time may be is the proposal's check alone: a final block is never late.
    if header.time_ns < parent.time_ns + genesis.params.block_interval_ns:
        raise InvalidBlock("time", parent.time_ns + genesis.params.block_interval_ns,
                           header.time_ns)
    if header.validators != validators:
        raise InvalidBlock("validators", len(validators), len(header.validators))
    if header.proposer not in validators:
        raise InvalidBlock("proposer", "a validator", header.proposer.hex())


def compute_bundles_root(digests: list[Digest]) -> Digest:
    """Merkle root over the digests of a block's bundles, in order."""
    return compute_root(digests)


def compute_execution_key(
    state_root: Digest, height: int, time_ns: int, bundles_root: Digest
) -> bytes:
    """Names all that the outcome of executing a block's bundles depends on."""
    return digest(b"execution", encode([state_root, height, time_ns, bundles_root]))
