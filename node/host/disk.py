"""How SQLite is opened, and what its errors mean to a node.

Write-ahead log with ``synchronous = FULL``: a commit returns when the log is on the disk. What
the disk refuses is told apart by what the operator has to do: make room, look at the disk, or
stop trusting the file.
"""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

from node.host.errors import DiskFull, StoreBusy, StoreDamaged, StoreError
from node.host.witness import REMEDY

ROOM_BYTES = 1024 * 1024
_ROOM = "make room on the disk, or raise the quota or file size limit, and start again"
_PRAGMAS = (
    "synchronous = FULL",
    "fullfsync = ON",
    "checkpoint_fullfsync = ON",
    "cell_size_check = ON",
    "trusted_schema = OFF",
)


def connect(path: Path, *, is_reader: bool = False) -> sqlite3.Connection:
    """A connection for any thread, one at a time; statements outside BEGIN stand alone."""
    assert sqlite3.threadsafety == 3, "SQLite was built without locks of its own"
    with guard(path.parent):
        # psow=0: a torn write may spoil its whole sector, so commits do not share one
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?psow=0", uri=True, isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.text_factory = bytes  # a damaged text is not UTF-8
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            if is_reader:
                connection.execute("PRAGMA query_only = ON")
            else:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                if mode != (b"wal",):
                    raise StoreError(
                        f"{path}: no write-ahead log here ({mode})", "use a local disk"
                    )
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def guard(folder: Path | None) -> Iterator[None]:
    """Errors of SQLite and the system become StoreError and its kinds."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # our own bug, such as a use after close
    except sqlite3.Error as error:
        raise _explain(error, folder) from error
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT, EFBIG):
            raise DiskFull(f"no room: {error}", _ROOM) from error
        raise StoreError(f"the disk refuses: {error}", "look at the disk") from error


def _explain(error: sqlite3.Error, folder: Path | None) -> StoreError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    text = f"{getattr(error, 'sqlite_errorname', 'SQLite')}: {error}"
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return DiskFull(text, _ROOM)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(text, "stop what else has the database open")
        case sqlite3.SQLITE_IOERR if code == sqlite3.SQLITE_IOERR_SHORT_READ:
            return StoreDamaged(text, REMEDY)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
            if folder is not None and is_out_of_room(folder):
                return DiskFull(text, _ROOM)
            return StoreError(text, "look at the disk, and at who owns the folder")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreError(text, "give this user the right to write to the folder")
        case sqlite3.SQLITE_NOMEM:
            return StoreError(text, "give the node more memory")
    # Our statements are right, so whatever else SQLite says of them is about the file.
    return StoreDamaged(text, REMEDY)


def is_out_of_room(folder: Path) -> bool:
    """Whether writing fails here for want of room: SQLite does not tell why it failed."""
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize < ROOM_BYTES:
        return True
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    sizes = [path.stat().st_size for path in folder.iterdir() if path.is_file()]
    return limit != resource.RLIM_INFINITY and max(sizes, default=0) + ROOM_BYTES // 16 > limit


def sync_folder(folder: Path) -> None:
    """New files in it are there after a power cut too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
