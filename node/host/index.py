"""Where each final transaction is and what became of it, for whoever asks by its id.

SQLite, in a file of its own next to the store: an election's 1.5 million ids would be 200 MB
of memory, and receipts of old blocks cannot be had from a chain without executing it again. It
is derived from the chain and follows it a moment behind; a lost or broken file is made anew,
and nothing in it can keep a node from starting or stop one that runs.

    block        height, digest of the block, its receipts in order (canonical list)
    found        transaction id, place (height * 2**20 + index) of its receipt

A transaction may be in several blocks. The receipt that counts is the one with "ok", as long
as there is none the first.
"""

import itertools
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import trio

from node.block import decode_block
from node.chain import Chain, decode_each
from node.codec import decode, encode
from node.execution import SEQUENCE_PER_BLOCK, BlockOutput, execute_bundles
from node.host.desk import Desk
from node.host.errors import HostError
from node.host.meter import Meter, Spent, measure
from node.merkle import MerkleTree
from node.params import Genesis
from node.receipt import OK
from node.state import EMPTY_STATE, State
from node.types import Digest
from node.work import Work

VERSION = 1
CHUNK_BLOCKS = 16
CHUNK_BYTES = 16 * 1024 * 1024
PAGES_MAX = 8
_RECEIPTS_BYTES_MAX = 1 << 30
_SCHEMA = (
    "CREATE TABLE chain (id BLOB PRIMARY KEY)",
    "CREATE TABLE block (height INTEGER PRIMARY KEY, digest BLOB, receipts BLOB)",
    "CREATE TABLE found (id BLOB PRIMARY KEY, place INTEGER, is_ok INTEGER) WITHOUT ROWID",
    f"PRAGMA user_version = {VERSION}",
)
_FIND = "SELECT place FROM found WHERE id = ?"
_ADD = (
    "INSERT INTO found VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
    " SET place = excluded.place, is_ok = 1 WHERE excluded.is_ok > is_ok"
)

Result = TypeVar("Result")


class Place(NamedTuple):
    """Receipt number ``number`` of the final block at ``height``."""

    height: int
    number: int


class Page(NamedTuple):
    """A block's receipts in order, and the Merkle tree over them."""

    receipts: tuple[bytes, ...]
    tree: MerkleTree


class _Row(NamedTuple):
    height: int
    digest: Digest
    output: BlockOutput


class Index:
    """One node's index. ``height`` is how far it is; ``fault`` says why it went no further."""

    def __init__(
        self, connection: sqlite3.Connection, genesis: Genesis, meter: Meter | None = None
    ) -> None:
        self._meter = meter or Meter()
        self._connection = connection
        self._genesis = genesis
        self._lock = trio.Lock()
        self._grown = trio.lowlevel.ParkingLot()
        self._pages: OrderedDict[int, Page] = OrderedDict()
        self._at: tuple[int, State] = (0, EMPTY_STATE)
        (self.height,) = connection.execute(
            "SELECT coalesce(max(height), 0) FROM block"
        ).fetchone()
        self.fault: str | None = None

    @staticmethod
    def open(path: Path, genesis: Genesis, meter: Meter | None = None) -> "Index":
        """The index in this file; one that is broken or of another chain is begun anew.

        ``meter`` is told what it costs. OSError or sqlite3.Error when no file can be made
        there.
        """
        with suppress(sqlite3.DatabaseError, _Other):
            return _connect(path, genesis, meter)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _connect(path, genesis, meter)

    def close(self) -> None:
        """Nothing may be asked any more."""
        self._connection.close()

    # Reading.

    async def find(self, transaction_id: Digest) -> Place | None:
        """Where the receipt that counts is, None if no indexed block holds the transaction."""
        return await self._call(partial(self._find, transaction_id))

    async def read_page(self, height: int) -> Page:
        """The receipts of an indexed block; those asked for lately are in memory."""
        assert 0 < height <= self.height
        page = self._pages.get(height)
        if page is None:
            page = await self._call(partial(self._read_page, height))
        self._pages[height] = page
        self._pages.move_to_end(height)
        while len(self._pages) > PAGES_MAX:
            self._pages.popitem(last=False)
        return page

    async def wait(self, height: int) -> None:
        """Until ``height`` is indexed, or it never will be because of a ``fault``."""
        while self.height < height and self.fault is None:
            await self._grown.park()

    def _find(self, transaction_id: Digest) -> Place | None:
        row = self._connection.execute(_FIND, (transaction_id,)).fetchone()
        return None if row is None else Place(*divmod(row[0], SEQUENCE_PER_BLOCK))

    def _read_page(self, height: int) -> Page:
        (encoded,) = self._connection.execute(
            "SELECT receipts FROM block WHERE height = ?", (height,)
        ).fetchone()
        items = decode(encoded, _RECEIPTS_BYTES_MAX, SEQUENCE_PER_BLOCK + 1)
        assert isinstance(items, list)
        receipts = tuple(item for item in items if isinstance(item, bytes))
        return Page(receipts, MerkleTree(receipts))

    async def _call(self, work: Callable[[], Result]) -> Result:
        """In a thread; one at a time, for a connection has one transaction."""
        async with self._lock:
            result, spent_ns = await trio.to_thread.run_sync(measure, work)
        self._meter.add(Spent.INDEX, spent_ns)
        return result

    # Following the chain.

    async def follow(self, desk: Desk) -> None:
        """Index every block that is or becomes final, until cancelled or at a ``fault``."""
        try:
            with desk.subscribe() as heights:
                await self._begin(desk.chain)
                await self._catch_up(desk.chain)
                async for _ in heights:
                    await self._catch_up(desk.chain)
        except (sqlite3.Error, HostError) as error:
            # The node goes on without: whoever asks the index is told why it is behind.
            self.fault = f"the index stopped at block {self.height}: {error}"
            self._grown.unpark_all()

    async def _begin(self, chain: Chain) -> None:
        """A file that remembers another history is emptied."""
        height = min(self.height, chain.height)
        mine = chain.get_digest(height)
        if height and await self._call(partial(self._read_digest, height)) != mine:
            await self._call(self._clear)
            self._pages.clear()
            self.height = 0
        is_ahead = self.height >= chain.height
        self._at = (chain.height, chain.state) if is_ahead else (0, EMPTY_STATE)

    async def _catch_up(self, chain: Chain) -> None:
        while self._at[0] < chain.height:
            output = chain.output
            if output is not None and chain.height - 1 <= max(self.height, self._at[0]):
                # The usual case: the head is the only one that is missing.
                row = _Row(chain.height, chain.head.digest, output)
                reached = (chain.height, chain.state)
                await self._call(partial(self._write, [row]))
            else:
                reached = await self._execute_chunk(chain)
            self._at = reached
            self.height = max(self.height, reached[0])
            self._grown.unpark_all()

    async def _execute_chunk(self, chain: Chain) -> tuple[int, State]:
        """Blocks that came several at a time, or before this file: executed once more."""
        height, state = self._at
        encodings: list[bytes] = []
        size = 0
        while height < chain.height and len(encodings) < CHUNK_BLOCKS and size < CHUNK_BYTES:
            height += 1
            encodings.append(chain.get_encoded(height))
            size += len(encodings[-1])
        return height, await self._call(partial(self._index, encodings, state))

    def _index(self, encodings: Sequence[bytes], state: State) -> State:
        rows = []
        for row, after in self._execute(encodings, state):
            rows.append(row)
            state = after
        self._write(rows)
        return state

    def _execute(
        self, encodings: Sequence[bytes], state: State
    ) -> Iterator[tuple[_Row, State]]:
        params, registrar = self._genesis.params, self._genesis.registrar
        work = Work()
        for encoded in encodings:
            block = decode_block(encoded, params)
            header = block.header
            bundles = decode_each(block.bundles, self._genesis, work)
            output = execute_bundles(
                state, header.height, header.time_ns, bundles, registrar, work
            )
            # They are final: whoever made them so has checked all else.
            assert output.receipts_root == header.receipts_root, header.height
            state = output.state
            yield _Row(header.height, header.digest, output), state

    def _write(self, rows: Iterable[_Row]) -> None:
        with self._connection:
            for row in rows:
                if row.height > self.height:
                    self._put(row)

    def _put(self, row: _Row) -> None:
        first = row.height * SEQUENCE_PER_BLOCK
        self._connection.execute(
            "INSERT INTO block VALUES (?, ?, ?)",
            (row.height, row.digest, encode(row.output.receipts)),
        )
        outcomes = itertools.chain(*row.output.outcomes)
        self._connection.executemany(_ADD, (
            (transaction_id, place, status == OK)
            for place, (transaction_id, status) in enumerate(outcomes, first)
        ))

    def _read_digest(self, height: int) -> Digest:
        (found,) = self._connection.execute(
            "SELECT digest FROM block WHERE height = ?", (height,)
        ).fetchone()
        assert isinstance(found, bytes)
        return found

    def _clear(self) -> None:
        with self._connection:
            self._connection.execute("DELETE FROM block")
            self._connection.execute("DELETE FROM found")


class _Other(Exception):
    """The file belongs to another chain or to another version of this module."""


def _connect(path: Path, genesis: Genesis, meter: Meter | None) -> Index:
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        # What a power cut takes away is made again from the chain, so no sync is awaited.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        chain_id = genesis.compute_chain_id()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == (0,):
            with connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute("INSERT INTO chain VALUES (?)", (chain_id,))
        elif version != VERSION or connection.execute("SELECT id FROM chain").fetchall() != [
            (chain_id,)
        ]:
            raise _Other
        return Index(connection, genesis, meter)
    except BaseException:
        with closing(connection):
            raise
