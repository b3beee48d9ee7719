"""A node's key: a file that only its owner can read, made once and never written again.

One line: ``veche-key-1`` and the 32-byte Ed25519 seed in hex. Nothing here puts it into an
error, a log or a repr.
"""

import os
import stat
from pathlib import Path

from node.crypto import SEED_BYTES, Identity
from node.host.disk import sync_folder
from node.host.errors import KeyFileError

MODE = 0o600
_PREFIX = b"veche-key-1 "
_SIZE_BYTES = len(_PREFIX) + 2 * SEED_BYTES + 1


def create_key(path: Path, seed: bytes | None = None) -> Identity:
    """Draw a key and store it with mode 0600, durably. Raises KeyFileError, also if it exists.

    A file that was begun and could not be finished is removed. ``seed`` stands in for the draw
    where keys follow from a run's seed: whoever knows that knows them.
    """
    seed = os.urandom(SEED_BYTES) if seed is None else seed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        handle = os.open(path, flags, MODE)
    except FileExistsError as error:
        raise KeyFileError(
            path, "exists already", "use it, or choose another name: a key is never replaced"
        ) from error
    except OSError as error:
        raise KeyFileError(path, _tell(error), "choose a folder that you may write") from error
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, MODE)  # whatever the umask took away
            file.write(_PREFIX + seed.hex().encode() + b"\n")
            file.flush()
            os.fsync(handle)
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyFileError(path, _tell(error), "make room and try again") from error
    return Identity(seed)


def load_key(path: Path) -> Identity:
    """The identity in a key file. Raises KeyFileError if others may read it, or it is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise KeyFileError(path, "is not there", "make it with: veche node init") from error
    except OSError as error:
        raise KeyFileError(path, _tell(error), "run the node as the key's owner") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(path, "is not a file", "name the key file itself")
        if status.st_mode & 0o077:
            raise KeyFileError(
                path, f"others may read it (mode {stat.S_IMODE(status.st_mode):04o})",
                "chmod 600, and ask yourself who has read it",
            )
        content = os.read(handle, _SIZE_BYTES + 1)
    finally:
        os.close(handle)
    seed = _decode(content)
    if seed is None:
        raise KeyFileError(path, "is not a key", "restore it from your copy")
    return Identity(seed)


def _decode(content: bytes) -> bytes | None:
    if len(content) != _SIZE_BYTES or not content.startswith(_PREFIX):
        return None
    digits = content[len(_PREFIX) : -1]
    if not content.endswith(b"\n") or any(digit not in b"0123456789abcdef" for digit in digits):
        return None
    return bytes.fromhex(digits.decode())


def _tell(error: OSError) -> str:
    return error.strerror or "cannot be used"
