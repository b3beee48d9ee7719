"""A checkpoint: one file from which a node starts at a late block, made by another node.

    veche-checkpoint-1\n
    record...               length (4 bytes, not 0), then canonical msgpack
    0                       (4 bytes)
    digest                  of all before it (32 bytes)

The first record is ``[chain id]``; then come ``[0, header with seals]``, the trail from
genesis to the checkpoint's block, and ``[1, number, bucket]``, the state after that block.
Nothing of it is taken on trust but what only execution could show (``node.host.trail``): the
trail leads from genesis to the seals of a quorum, and the buckets give the root in the header
that those have sealed.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from node.block import Block, decode_block, make_genesis_block
from node.chain import Chain, Trunk
from node.codec import Value, decode, encode, is_below
from node.consensus.authorities import Authorities
from node.errors import InvalidBlock, InvalidEncoding, NodeError
from node.host.column import Tail
from node.host.errors import CheckpointError
from node.host.trail import TrailWalk
from node.params import Genesis
from node.snapshot import BUCKETS, encode_bucket, restore_state
from node.state import EMPTY_STATE, State
from node.types import Digest

MAGIC = b"veche-checkpoint-1\n"
CHECKPOINT_BYTES_MAX = 4 * 1024 ** 3
"""Some eight times the state of 1.5 million voters."""

RECORD_BYTES_MAX = 64 * 1024 ** 2
_LENGTH_BYTES = 4
_DIGEST_BYTES = 32
_PIECE_BYTES = 1024 ** 2
_HEADER, _BUCKET = 0, 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checked file: ``block``, which has no bundles, the authorities and the state after it.

    ``times_ns`` has the times of the blocks by height, for those in the trail; ``seals`` were
    checked on the way. ``digest`` is that of the file.
    """

    block: Block
    authorities: Authorities
    state: State
    times_ns: dict[int, int]
    seals: int
    digest: bytes

    @property
    def height(self) -> int:
        """Of its block; what comes after is executed, what came before was not."""
        return self.block.header.height

    @property
    def block_digest(self) -> Digest:
        """The hash by which its block is known."""
        return self.block.header.digest

    def begin(self, genesis: Genesis) -> Chain:
        """A chain of its own that begins here, in memory."""
        first = make_genesis_block(genesis, EMPTY_STATE.root)
        header, encoded = self.block.header, self.block.encoded
        trunk = Trunk(Tail(first.header, header, self.height),
                      Tail(first.encoded, encoded, self.height))
        return Chain.resume(
            genesis, trunk, self.state, self.authorities, first=self.height + 1
        )


def write_checkpoint(
    path: Path, chain_id: bytes, trail: Iterable[Block], state: State
) -> int:
    """Write the new file ``path``, whole or not at all; how many bytes it has. OSError."""
    part = path.with_name(f"{path.name}.part")
    hashed = sha256()
    size_bytes = 0
    path.open("xb").close()  # its name is ours, and so is the part's: nobody's is replaced
    try:
        with part.open("wb") as file:
            for piece in _list_pieces(chain_id, trail, state):
                hashed.update(piece)
                size_bytes += file.write(piece)
            size_bytes += file.write(hashed.digest())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return size_bytes


def _list_pieces(chain_id: bytes, trail: Iterable[Block], state: State) -> Iterator[bytes]:
    yield MAGIC
    yield from _frame([chain_id])
    for block in trail:
        assert not block.bundles
        yield from _frame([_HEADER, block.encoded])
    for number, records in state.list_changes(EMPTY_STATE):
        yield from _frame([_BUCKET, number, encode_bucket(records)])
    yield bytes(_LENGTH_BYTES)


def _frame(value: Value) -> Iterator[bytes]:
    encoded = encode(value)
    assert 0 < len(encoded) <= RECORD_BYTES_MAX
    yield len(encoded).to_bytes(_LENGTH_BYTES, "big")
    yield encoded


def read_checkpoint(path: Path, genesis: Genesis) -> Checkpoint:
    """The checkpoint in ``path``, all checked. Raises CheckpointError, for any bytes."""
    with _open(path) as file:
        hashed = _hash(file, path)
        records = _Records(file, path)
        _verify_chain(records, path, genesis)
        try:
            walk = TrailWalk(genesis)
            block, times_ns = _follow(records, walk, genesis)
            state = restore_state(_list_buckets(records), block.header.state_root)
        except NodeError as error:
            raise CheckpointError(path, f"it does not hold: {error}") from error
    return Checkpoint(block, walk.authorities, state, times_ns, walk.seals, hashed)


def read_trail(path: Path, genesis: Genesis) -> Iterator[Block]:
    """The trail in a file that was checked before. Raises CheckpointError."""
    with _open(path) as file:
        _hash(file, path)
        records = _Records(file, path)
        _verify_chain(records, path, genesis)
        try:
            while (block := _take_header(records, genesis)) is not None:
                yield block
        except NodeError as error:
            raise CheckpointError(path, f"it does not hold: {error}") from error


def _open(path: Path) -> BinaryIO:
    try:
        if not path.is_file() and path.exists():
            raise CheckpointError(path, "this is no file")
        return path.open("rb")
    except OSError as error:
        raise CheckpointError(path, error.strerror or str(error)) from error


def _hash(file: BinaryIO, path: Path) -> bytes:
    """The digest at the end, if it is that of the rest; the file stands after its magic."""
    size = os.fstat(file.fileno()).st_size
    if size > CHECKPOINT_BYTES_MAX:
        raise CheckpointError(
            path, f"{size:,} bytes, and a checkpoint has at most {CHECKPOINT_BYTES_MAX:,}"
        )
    try:
        if file.read(len(MAGIC)) != MAGIC:
            raise CheckpointError(path, "this is no checkpoint (veche-checkpoint-1)")
        hashed, left = sha256(MAGIC), size - len(MAGIC) - _DIGEST_BYTES
        while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
            hashed.update(piece)
            left -= len(piece)
        if left or file.read() != hashed.digest():
            raise CheckpointError(path, "it is damaged or cut short: get it again")
        file.seek(len(MAGIC))
    except OSError as error:
        raise CheckpointError(path, error.strerror or str(error)) from error
    return hashed.digest()


class _Records:
    """The records of a file one by one, with one that can be looked at before it is taken."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.next: list[Value] | None = self._read()

    def take(self) -> list[Value] | None:
        """The next record, None after the last."""
        taken = self.next
        if taken is not None:
            self.next = self._read()
        return taken

    def _read(self) -> list[Value] | None:
        try:
            length = int.from_bytes(self._file.read(_LENGTH_BYTES), "big")
            if length > RECORD_BYTES_MAX:
                raise CheckpointError(self._path, f"a record of {length:,} bytes")
            encoded = self._file.read(length)
        except OSError as error:
            raise CheckpointError(self._path, error.strerror or str(error)) from error
        if length == 0:
            if len(self._file.read()) != _DIGEST_BYTES:
                raise CheckpointError(self._path, "something stands after its end")
            return None
        try:
            value = decode(encoded, RECORD_BYTES_MAX, 8)
        except InvalidEncoding as error:
            raise CheckpointError(self._path, f"it does not hold: {error}") from error
        if not isinstance(value, list) or len(encoded) != length:
            raise CheckpointError(self._path, "it does not hold: a record is no list")
        return value


def _verify_chain(records: _Records, path: Path, genesis: Genesis) -> None:
    expected = genesis.compute_chain_id()
    match records.take():
        case [bytes(chain_id)] if chain_id == expected:
            return
        case [bytes(chain_id)]:
            raise CheckpointError(
                path, f"it is of chain {chain_id.hex()}, not of {expected.hex()}"
            )
    raise CheckpointError(path, "it does not hold: its first record names no chain")


def _take_header(records: _Records, genesis: Genesis) -> Block | None:
    """The next block of the trail; None, and nothing taken, if something else comes."""
    match records.next:
        case [kind, bytes(encoded)] if is_below(kind, 1):
            records.take()
            block = decode_block(encoded, genesis.params)
            if block.bundles:
                raise InvalidBlock("bundles in the trail", 0, len(block.bundles))
            return block
    return None


def _follow(
    records: _Records, walk: TrailWalk, genesis: Genesis
) -> tuple[Block, dict[int, int]]:
    block, times_ns = None, {}
    while (following := _take_header(records, genesis)) is not None:
        block = following
        walk.take(block)
        times_ns[block.header.height] = block.header.time_ns
    if block is None or not walk.is_sealed:
        raise InvalidBlock("the trail's end", "a sealed block", walk.last.height)
    return block, times_ns


def _list_buckets(records: _Records) -> Iterator[tuple[int, bytes]]:
    last = -1
    while (record := records.take()) is not None:
        match record:
            case [kind, number, bytes(encoded)] if (
                kind == _BUCKET and type(kind) is int and is_below(number, BUCKETS)
                and number > last and encoded != encode_bucket(())
            ):
                last = number
                yield number, encoded
            case _:
                raise InvalidEncoding("not the next bucket of a state", len(record))
