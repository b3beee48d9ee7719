"""What a node keeps on disk: blocks, promises and state, in SQLite, in a folder of its own.

One writer. ``write`` makes a group of entries durable in one transaction, and with it the head
record: how many commits there were, the chain's height, and a checksum of every slot. When it
returns, the commit is in the log on the disk and its number is with the witness. So a store
that opens holds at least all that was acknowledged, slots of one commit stand together, and
what does not add up is refused. After a failed write nothing is written any more, for what the
system still holds in memory after a failed sync is not known.

    head    commits, height, digest, checksums of slots    checked at the start
    slot    lock, sequence, the snapshot's mark, origin    checked against the head
    block   by height, each with its checksum              the last ones replayed at the start
    bucket  the state's snapshot                           checked against a header's root

An older block is checked when it is read, and all of them by ``verify``. A store that began at
a checkpoint has that file beside it, and its origin says so.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.block import make_genesis_block
from node.chain import Chain
from node.host import snapshots
from node.host.archive import Archive, compute_block_checksum
from node.host.disk import connect, guard, sync_folder
from node.host.errors import StoreDamaged, StoreError
from node.host.head import (
    SCHEMA_VERSION,
    Head,
    compute_slot_checksum,
    read_head,
    read_slots,
)
from node.host.origin import ORIGIN, Origin, decode_origin
from node.host.replay import Checked, begin_chain, replay, resume_chain
from node.host.snapshots import SnapshotWriter
from node.host.witness import REMEDY, Witness
from node.params import Genesis
from node.snapshot import Mark
from node.state import EMPTY_STATE
from node.types import Digest
from node.work import Work

DATABASE: Final = "veche.sqlite"
WITNESS: Final = "witness"
BLOCK: Final = "block"
LOCK: Final = "lock"
SNAPSHOT: Final = "snapshot"
SNAPSHOT_EVERY_BLOCKS: Final = 100
SNAPSHOT_EVERY_BYTES: Final = 64 * 1024 * 1024
"""Some 200,000 ballots, which a start replays in 5 s. At an eighth of that, writing the changed
buckets was a tenth of a busy validator's time."""

_SCHEMA = (
    "CREATE TABLE head (id INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    "CREATE TABLE slot (name TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE block"
    " (height INTEGER PRIMARY KEY, encoded BLOB NOT NULL, checksum BLOB NOT NULL)",
    snapshots.SCHEMA,
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a node starts from: its chain, and all slots by name; ``lock`` is one of them."""

    chain: Chain
    lock: bytes | None
    slots: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a replay found to be true of the store, whose first block is at ``first``."""

    height: int
    transactions: int
    state_root: Digest
    snapshot_height: int
    first: int


class Store:
    """One node's folder, locked. Each method blocks: call it from a thread that may wait."""

    __slots__ = ("_archive", "_broken", "_connection", "_genesis", "_head", "_reader",
                 "_snapshots", "_thresholds", "_witness", "folder")

    def __init__(
        self, folder: Path, genesis: Genesis, witness: Witness, thresholds: tuple[int, int],
        origin: Origin | None,
    ) -> None:
        self.folder = folder
        self._genesis = genesis
        self._witness = witness
        self._thresholds = thresholds
        self._archive: Archive | None = None
        self._snapshots: SnapshotWriter | None = None
        self._broken: StoreError | None = None
        path = folder / DATABASE
        is_new = witness.commits is None
        if not is_new and not path.exists():
            raise StoreDamaged(f"{path} is gone, but its witness is there", REMEDY)
        self._connection = connect(path)
        try:
            with guard(folder):
                if is_new and not _has_tables(self._connection):
                    self._create(origin)
                self._head = read_head(self._connection, folder, genesis.compute_chain_id())
                self._compare_with_witness()
            self._reader = connect(path, is_reader=True)
        except BaseException:
            self._connection.close()
            raise

    @staticmethod
    def open(
        folder: Path, genesis: Genesis, *,
        snapshot_every_blocks: int = SNAPSHOT_EVERY_BLOCKS,
        snapshot_every_bytes: int = SNAPSHOT_EVERY_BYTES,
        origin: Origin | None = None,
    ) -> "Store":
        """Lock the folder and make or recover what is in it; ``load`` or ``verify`` come next.

        ``origin`` is where a new store begins whose checkpoint is already in the folder; for
        one that is there it says nothing.

        Raises StoreBusy if another process has it, StoreDamaged, DiskFull, or StoreError for
        another chain's folder.
        """
        with guard(None):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            witness = Witness(folder / WITNESS, genesis.compute_chain_id())
        try:
            thresholds = (snapshot_every_blocks, snapshot_every_bytes)
            return Store(folder, genesis, witness, thresholds, origin)
        except BaseException:
            witness.close()
            raise

    @property
    def height(self) -> int:
        """The height of the last stored block; 0 when there is none."""
        return self._head.height

    @property
    def commits(self) -> int:
        """How many groups this folder has ever acknowledged."""
        return self._head.commits

    def load(self) -> Loaded:
        """The chain and the slots. Replays only the blocks since the last snapshot.

        Their signatures are not checked again: they were before they were stored. The chain
        reads old blocks from here, so it lives as long as the store is open, and raises
        StoreDamaged for one that rotted. Raises StoreDamaged.
        """
        assert self._archive is None, "a store gives one chain"
        with guard(self.folder):
            slots = read_slots(self._connection, self._head)
            mark = slots.pop(SNAPSHOT, None)
            archive, chain = self._start_chain(slots.pop(ORIGIN, None), mark)
            # of a checkpoint's state no bucket is in the database yet
            height, state = (0, EMPTY_STATE) if mark is None else (chain.height, chain.state)
            writer = SnapshotWriter(*self._thresholds, height, state)
            for size_bytes in replay(archive, chain, self._head, Checked()):
                writer.count(1, size_bytes)
        self._archive, self._snapshots = archive, writer
        return Loaded(chain, slots.get(LOCK), slots)

    def write(self, entries: Sequence[tuple[str, bytes]], chain: Chain) -> None:
        """All ``entries`` are durable when it returns; if it raises, none may be relied upon.

        The slot "block" takes the encoded next block of ``chain``, which is the one that
        ``load`` gave; any other slot is replaced. Hand in a copy of a chain that grows
        meanwhile; the state is chosen for a snapshot only when it is that of the last entry.
        Raises DiskFull or StoreError, and from then on for every call.
        """
        assert self._archive is not None, "load first"
        if self._broken is not None:
            raise StoreError(
                f"an earlier write failed: {self._broken.reason}", self._broken.remedy
            )
        if not entries:
            return
        try:
            with guard(self.folder):
                head = self._commit(entries, chain)
                self._witness.write(head.commits)
        except StoreError as error:
            self._broken = error
            raise
        self._head = head
        self._archive.upon_durable(head.height)

    def verify(
        self, work: Work | None = None, on_block: Callable[[int], None] | None = None
    ) -> Verified:
        """Replay from genesis, or the checkpoint, and compare with all that is stored.

        ``on_block`` hears each height. Raises StoreDamaged with the first thing that is wrong.
        """
        with guard(self.folder):
            for (line,) in self._reader.execute("PRAGMA integrity_check"):
                if line != b"ok":
                    raise StoreDamaged(f"SQLite's check: {line!r}", REMEDY)
            slots = read_slots(self._connection, self._head)
            _, resumed = self._start_chain(slots.get(ORIGIN), slots.get(SNAPSHOT))
            archive, chain = self._start_chain(slots.get(ORIGIN), None)
            transactions = 0
            for _ in replay(archive, chain, self._head, work or Work()):
                assert chain.output is not None
                transactions += chain.output.transaction_count
                same = chain.authorities == resumed.authorities
                if chain.height == resumed.height and not same:
                    raise StoreDamaged(f"snapshot {chain.height}: other authorities", REMEDY)
                if on_block is not None:
                    on_block(chain.height)
        return Verified(
            chain.height, transactions, chain.state.root, resumed.height, chain.first
        )

    def close(self) -> None:
        """Lets others open the folder. What was acknowledged is there, closed or not.

        The chain can read no old block from then on.
        """
        for connection in (self._reader, self._connection):
            with suppress(sqlite3.Error):  # the last one tidies the log away, if it can
                connection.close()
        self._witness.close()

    def _create(self, origin: Origin | None) -> None:
        # Nothing is acknowledged before the witness has its first number, so a folder in which
        # this was interrupted is a new one.
        first = make_genesis_block(self._genesis, EMPTY_STATE.root).header
        head = Head(first.chain_id, 0, 0, first.digest, {})
        self._connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            self._connection.execute(statement)
        if origin is not None:
            record = origin.encode()
            self._connection.execute("INSERT INTO slot VALUES (?, ?)", (ORIGIN, record))
            checksums = {ORIGIN: compute_slot_checksum(ORIGIN, record)}
            head = Head(first.chain_id, 0, origin.height, origin.digest, checksums)
        self._connection.execute("INSERT INTO head VALUES (1, ?)", (head.encode(),))
        self._connection.execute("COMMIT")

    def _compare_with_witness(self) -> None:
        acknowledged, found = self._witness.commits, self._head.commits
        if acknowledged is None:
            if found > 0:
                raise StoreDamaged(f"the witness is empty after {found} commits", REMEDY)
            self._witness.prepare()
            self._witness.write(0)
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
        elif found < acknowledged:
            raise StoreDamaged(
                f"{self.folder / DATABASE}: holds {found} commits of {acknowledged} that were "
                "acknowledged", REMEDY,
            )

    def _start_chain(
        self, record: bytes | None, mark: bytes | None
    ) -> tuple[Archive, Chain]:
        origin = None if record is None else decode_origin(record)
        if mark is not None:
            first = 1 if origin is None else origin.height + 1
            return resume_chain(self._reader, self._genesis, self._head, mark, first)
        base = None if origin is None else origin.read(self.folder, self._genesis)
        return begin_chain(self._reader, self._genesis, self._head, base)

    def _commit(self, entries: Sequence[tuple[str, bytes]], chain: Chain) -> Head:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            head = self._put(entries, chain)
            connection.execute("INSERT OR REPLACE INTO head VALUES (1, ?)", (head.encode(),))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return head

    def _put(self, entries: Sequence[tuple[str, bytes]], chain: Chain) -> Head:
        slots: dict[str, bytes] = {}
        blocks: list[bytes] = []
        for name, data in entries:
            assert name not in (SNAPSHOT, ORIGIN), "the store's own slots"
            if name == BLOCK:
                blocks.append(data)
            else:
                slots[name] = data  # of several in one group only the last is ever read
        height = self._head.height + len(blocks)
        if blocks:
            mark = self._put_blocks(blocks, chain)
            if mark is not None:
                slots[SNAPSHOT] = mark.encode()
        checksums = dict(self._head.checksums)
        for name, data in slots.items():
            self._connection.execute("INSERT OR REPLACE INTO slot VALUES (?, ?)", (name, data))
            checksums[name] = compute_slot_checksum(name, data)
        digest = chain.get_digest(height) if blocks else self._head.digest
        return Head(self._head.chain_id, self._head.commits + 1, height, digest, checksums)

    def _put_blocks(self, blocks: list[bytes], chain: Chain) -> Mark | None:
        assert self._snapshots is not None
        for height, encoded in enumerate(blocks, self._head.height + 1):
            assert chain.get_encoded(height) == encoded, "blocks are stored in their order"
            self._connection.execute(
                "INSERT INTO block VALUES (?, ?, ?)",
                (height, encoded, compute_block_checksum(height, encoded)),
            )
        self._snapshots.count(len(blocks), sum(len(block) for block in blocks))
        if chain.height != self._head.height + len(blocks):
            return None
        return self._snapshots.upon_blocks(self._connection, chain)


def _has_tables(connection: sqlite3.Connection) -> bool:
    (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(count)
