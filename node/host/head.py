"""The head record: one row that says what all the others must be; and the slots."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.codec import Value, decode, encode
from node.errors import InvalidEncoding
from node.host.archive import CHECKSUM_BYTES, compute_checksum
from node.host.errors import StoreDamaged, StoreError
from node.host.witness import REMEDY
from node.types import CHAIN_ID_BYTES, Digest

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Head:
    """After ``commits`` commits: the last block, and the checksum of each slot."""

    chain_id: bytes
    commits: int
    height: int
    digest: Digest
    checksums: dict[str, bytes]

    def encode(self) -> bytes:
        """The record that ``decode_head`` reads, with its own checksum."""
        assert len(self.chain_id) == CHAIN_ID_BYTES
        pairs: Value = [[name, checksum] for name, checksum in self.checksums.items()]
        record = encode([self.chain_id, self.commits, self.height, self.digest, pairs])
        return compute_checksum(b"head", record) + record


def compute_slot_checksum(name: str, data: bytes) -> bytes:
    """The checksum of a slot, which stands in the head."""
    return compute_checksum(b"slot", name.encode() + b"\0" + data)


def read_head(connection: sqlite3.Connection, folder: Path, chain_id: bytes) -> Head:
    """The head of the store in ``folder``. Raises StoreDamaged, or StoreError for another's."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise StoreDamaged(f"schema {version!r}, not {SCHEMA_VERSION}", REMEDY)
    head = decode_head(connection.execute("SELECT record FROM head").fetchall())
    if head.chain_id != chain_id:
        raise StoreError(
            f"{folder}: holds chain {head.chain_id.hex()}, not {chain_id.hex()}",
            "give the folder or the genesis file that belongs to this node",
        )
    return head


def read_slots(connection: sqlite3.Connection, head: Head) -> dict[str, bytes]:
    """All slots that ``head`` names. Raises StoreDamaged."""
    slots = {}
    for name, checksum in head.checksums.items():
        row = connection.execute("SELECT data FROM slot WHERE name = ?", (name,)).fetchone()
        match row:
            case (bytes(data),) if compute_slot_checksum(name, data) == checksum:
                slots[name] = data
            case _:
                raise StoreDamaged(f"slot {name!r} is not what was written", REMEDY)
    return slots


def decode_head(rows: Sequence[object]) -> Head:
    """The head in the only row there is; raises StoreDamaged."""
    match rows:
        case [(bytes(record),)]:
            content = record[CHECKSUM_BYTES:]
            if record[:CHECKSUM_BYTES] == compute_checksum(b"head", content):
                return _decode(content)
    raise StoreDamaged("the head record is not what was written", REMEDY)


def _decode(content: bytes) -> Head:
    try:
        match decode(content, len(content)):
            case [bytes(chain_id), int(commits), int(height), bytes(digest), list(pairs)]:
                return Head(chain_id, commits, height, digest, _decode_pairs(pairs))
    except InvalidEncoding as error:
        raise StoreDamaged(f"the head record: {error}", REMEDY) from error
    raise StoreDamaged("the head record is of another form", REMEDY)


def _decode_pairs(pairs: Sequence[Value]) -> dict[str, bytes]:
    checksums = {}
    for pair in pairs:
        match pair:
            case [str(name), bytes(checksum)]:
                checksums[name] = checksum
            case _:
                raise StoreDamaged("the head record names no slot", REMEDY)
    return checksums
