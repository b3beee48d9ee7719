"""A second memory of how far the store was acknowledged, and the lock on its folder.

SQLite reads its log up to the first frame that does not add up and forgets the rest, which is
right for a commit that a power cut tore and wrong for one that was acknowledged and rotted, was
deleted with the log by a tidy hand, or came back from an old copy: promises would be forgotten
without a word. So after each commit, and before anyone hears of it, its number is written here;
a database that remembers fewer commits than its witness is refused. Two sectors are written in
turn, so that a torn write never loses what the other says.

It costs a second sync, of a block that is already there; commits come in groups.
"""

import fcntl
import os
from pathlib import Path

from node.crypto import digest
from node.host.errors import StoreBusy, StoreDamaged, StoreError
from node.types import CHAIN_ID_BYTES

MAGIC = b"veche-witness-1\0"
SECTOR_BYTES = 4096
_NUMBER_BYTES = 8
_BODY_BYTES = len(MAGIC) + CHAIN_ID_BYTES + _NUMBER_BYTES
_RECORD_BYTES = _BODY_BYTES + 32


class Witness:
    """An open, locked file. ``commits`` is the last number written, None in a new file."""

    __slots__ = ("_chain_id", "_file", "commits")

    def __init__(self, path: Path, chain_id: bytes) -> None:
        """Raises StoreBusy, StoreDamaged, StoreError for another chain's, or OSError."""
        assert len(chain_id) == CHAIN_ID_BYTES
        self._chain_id = chain_id
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DSYNC | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreBusy(
                    f"{path.parent}: another process uses this folder",
                    "stop it, or give this node a folder of its own",
                ) from error
            self.commits = self._read(path)
        except BaseException:
            os.close(self._file)
            raise

    def write(self, commits: int) -> None:
        """Durable when it returns. Raises OSError; nothing may be acknowledged then."""
        assert commits >= 0
        assert self.commits is None or commits > self.commits
        body = MAGIC + self._chain_id + commits.to_bytes(_NUMBER_BYTES, "big")
        record = body + digest(b"witness", body)
        # O_DSYNC: a write returns when its data are on the disk
        written = os.pwrite(self._file, record, commits % 2 * SECTOR_BYTES)
        if written != len(record):
            raise OSError(f"wrote {written} of {len(record)} bytes of the witness")
        self.commits = commits

    def prepare(self) -> None:
        """Make room for both sectors, so that no later write has to find some."""
        assert self.commits is None
        os.pwrite(self._file, bytes(2 * SECTOR_BYTES), 0)
        os.fsync(self._file)

    def close(self) -> None:
        """Unlocks the folder; once is enough."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _read(self, path: Path) -> int | None:
        content = os.pread(self._file, 2 * SECTOR_BYTES, 0)
        if not any(content):
            return None
        numbers = []
        for at in (0, SECTOR_BYTES):
            record = content[at : at + _RECORD_BYTES]
            body = record[:_BODY_BYTES]
            if record[_BODY_BYTES:] != digest(b"witness", body) or body[:16] != MAGIC:
                continue
            found = body[len(MAGIC) : -_NUMBER_BYTES]
            if found != self._chain_id:
                raise StoreError(
                    f"{path.parent}: holds chain {found.hex()}, not {self._chain_id.hex()}",
                    "give the folder or the genesis file that belongs to this node",
                )
            numbers.append(int.from_bytes(body[-_NUMBER_BYTES:], "big"))
        if not numbers:
            raise StoreDamaged(f"{path}: neither sector can be read", REMEDY)
        return max(numbers)


REMEDY = (
    "restore nothing older; move the folder away and sync anew, a validator only after the "
    "others have finished the height at which it may have voted"
)
