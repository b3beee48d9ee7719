"""A checkpoint made of a node's folder, also while the node runs: it only reads."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from node.block import Block
from node.chain import Chain
from node.host.archive import Archive
from node.host.checkpoint import CHECKPOINT_BYTES_MAX, read_trail, write_checkpoint
from node.host.disk import connect, guard
from node.host.errors import SettingsError, StoreError
from node.host.head import Head, read_head, read_slots
from node.host.origin import CHECKPOINT, ORIGIN, decode_origin
from node.host.replay import Checked, begin_chain, replay, resume_chain
from node.host.store import DATABASE, SNAPSHOT
from node.host.trail import build_trail
from node.params import Genesis
from node.snapshot import decode_mark


def make_checkpoint(
    folder: Path, genesis: Genesis, out: Path, height: int | None = None
) -> tuple[Chain, int]:
    """Write ``out``, the checkpoint at ``height`` of the chain in ``folder``, default its head.

    The chain up to there, which reads no more blocks, and the bytes of the file. What lies
    behind the folder's last snapshot costs a replay. Raises SettingsError or StoreError.
    """
    if out.exists():
        raise SettingsError("--out", str(out), "it exists: choose another name")
    if not out.absolute().parent.is_dir():
        raise SettingsError("--out", str(out), "there is no such folder")
    if not (folder / DATABASE).is_file():
        raise StoreError(f"{folder}: there is no chain", "give the data of a node")
    reader = connect(folder / DATABASE, is_reader=True)
    try:
        with guard(folder):
            reader.execute("BEGIN")  # one moment of a node that goes on
            head = read_head(reader, folder, genesis.compute_chain_id())
            slots = read_slots(reader, head)
            wanted = head.height if height is None else height
            record = slots.get(ORIGIN)
            origin = None if record is None else decode_origin(record)
            first = 1 if origin is None else origin.height + 1
            if head.height < first:
                raise StoreError(f"{folder}: has no block yet", "wait for one")
            if not first <= wanted <= head.height:
                raise SettingsError(
                    "--height", wanted, f"the folder has blocks {first} to {head.height}"
                )
            mark = slots.get(SNAPSHOT)
            if mark and decode_mark(mark, genesis.params.epoch_blocks).height <= wanted:
                archive, chain = resume_chain(reader, genesis, head, mark, first)
            else:
                base = None if origin is None else origin.read(folder, genesis)
                archive, chain = begin_chain(reader, genesis, head, base)
            _replay_to(archive, chain, head, wanted)
            trail = build_trail(genesis, _list_blocks(archive, folder, genesis, first, wanted))
            size_bytes = write_checkpoint(out, chain.chain_id, trail, chain.state)
    finally:
        reader.close()
    assert size_bytes <= CHECKPOINT_BYTES_MAX
    return chain, size_bytes


def _replay_to(archive: Archive, chain: Chain, head: Head, height: int) -> None:
    there = replace(head, height=height, digest=archive.read_header(height).digest)
    for _ in replay(archive, chain, there, Checked()):
        pass


def _list_blocks(
    archive: Archive, folder: Path, genesis: Genesis, first: int, last: int
) -> Iterator[Block]:
    if first > 1:
        yield from read_trail(folder / CHECKPOINT, genesis)
    for height in range(first, last + 1):
        yield archive.read_block(height)
