"""Where a store begins whose first blocks nobody here has: at a checkpoint beside it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.codec import decode, encode, is_below
from node.errors import InvalidEncoding
from node.host.checkpoint import Checkpoint, read_checkpoint
from node.host.disk import guard, sync_folder
from node.host.errors import CheckpointError, StoreDamaged
from node.host.witness import REMEDY
from node.params import Genesis
from node.types import DIGEST_BYTES, Digest

CHECKPOINT: Final = "checkpoint"
ORIGIN: Final = "origin"


@dataclass(frozen=True, slots=True)
class Origin:
    """The block at ``height`` with this digest, and the digest of the file that has it."""

    height: int
    digest: Digest
    file: bytes

    @staticmethod
    def of(checkpoint: Checkpoint) -> "Origin":
        """Where a store that begins there does."""
        return Origin(checkpoint.height, checkpoint.block_digest, checkpoint.digest)

    def encode(self) -> bytes:
        """The record that ``decode_origin`` reads."""
        return encode([self.height, self.digest, self.file])

    def read(self, folder: Path, genesis: Genesis) -> Checkpoint:
        """The checkpoint in ``folder``. Raises StoreDamaged if it is not the one of then."""
        try:
            checkpoint = read_checkpoint(folder / CHECKPOINT, genesis)
        except CheckpointError as error:
            raise StoreDamaged(str(error), REMEDY) from error
        if Origin.of(checkpoint) != self:
            raise StoreDamaged(f"{folder / CHECKPOINT}: is another than it was", REMEDY)
        return checkpoint


def decode_origin(record: bytes) -> Origin:
    """Raises StoreDamaged."""
    try:
        match decode(record, len(record)):
            case [height, bytes(digest), bytes(file)] if (
                is_below(height, 2**53) and height and len(digest) == DIGEST_BYTES
            ):
                return Origin(height, digest, file)
    except InvalidEncoding as error:
        raise StoreDamaged(f"the origin: {error}", REMEDY) from error
    raise StoreDamaged("the origin is of another form", REMEDY)


def place_checkpoint(file: Path, folder: Path) -> None:
    """Copy a checkpoint into the folder of a store that is not there yet, durably."""
    with guard(None):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder / f"{CHECKPOINT}.part"
        shutil.copyfile(file, part)
        with part.open("rb+") as copied:
            os.fsync(copied.fileno())
        part.rename(folder / CHECKPOINT)
        sync_folder(folder)
