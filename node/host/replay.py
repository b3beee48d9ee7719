"""From what is on disk to a chain: take the snapshot, then the blocks after it."""

import sqlite3
from collections.abc import Iterator

from node.block import make_genesis_block
from node.chain import Chain
from node.errors import NodeError
from node.host.archive import Archive
from node.host.checkpoint import Checkpoint
from node.host.errors import StoreDamaged
from node.host.head import Head
from node.host.snapshots import read_buckets
from node.host.witness import REMEDY
from node.params import Genesis
from node.snapshot import decode_mark, restore_state
from node.state import EMPTY_STATE
from node.work import Work


class Checked(Work):
    """For blocks that are stored: their signatures were checked before they were."""

    __slots__ = ()

    def check_signature(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """True: the row's checksum says that it is what was checked."""
        return True


def begin_chain(
    reader: sqlite3.Connection, genesis: Genesis, head: Head, base: Checkpoint | None = None
) -> tuple[Archive, Chain]:
    """The chain at genesis or ``base``, upon an archive of the stored blocks."""
    first = make_genesis_block(genesis, EMPTY_STATE.root)
    if base is None:
        archive = Archive(reader, [first], genesis.params, 1, head.height)
        return archive, Chain(genesis, archive.trunk)
    after = base.height + 1
    archive = Archive(reader, [first, base.block], genesis.params, after, head.height)
    chain = Chain.resume(
        genesis, archive.trunk, base.state, base.authorities, first=after
    )
    return archive, chain


def resume_chain(
    reader: sqlite3.Connection, genesis: Genesis, head: Head, record: bytes, first: int = 1
) -> tuple[Archive, Chain]:
    """The chain at the snapshot with this mark. Raises StoreDamaged if it does not add up.

    ``first`` is the lowest height that is stored.
    """
    genesis_block = make_genesis_block(genesis, EMPTY_STATE.root)
    try:
        mark = decode_mark(record, genesis.params.epoch_blocks)
        if mark.height > head.height:
            raise StoreDamaged(f"snapshot {mark.height}: above block {head.height}", REMEDY)
        archive = Archive(
            reader, [genesis_block], genesis.params, mark.height + 1, head.height
        )
        header = archive.read_header(mark.height)
        if header.digest != mark.digest:
            raise StoreDamaged(f"snapshot {mark.height}: of another block", REMEDY)
        state = restore_state(read_buckets(reader, mark.height), header.state_root)
    except NodeError as error:
        raise StoreDamaged(f"the snapshot: {error}", REMEDY) from error
    return archive, Chain.resume(
        genesis, archive.trunk, state, mark.authorities, first=first
    )


def replay(archive: Archive, chain: Chain, head: Head, work: Work) -> Iterator[int]:
    """Put the stored blocks above the chain's head upon it; the size in bytes of each.

    Raises StoreDamaged for a block that does not fit, and if the last is not ``head``'s.
    """
    for height in range(chain.height + 1, head.height + 1):
        block = archive.read_block(height)
        try:
            chain.take(chain.plan_step(block.encoded, block, work))
        except NodeError as error:
            raise StoreDamaged(f"block {height}: {error}", REMEDY) from error
        archive.forget()
        yield len(block.encoded)
    if (chain.height, chain.head.digest) != (head.height, head.digest):
        raise StoreDamaged(f"block {chain.height} is not the stored head", REMEDY)
