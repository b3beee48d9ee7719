"""What happened, small enough to keep: a digest over every delivery and timer, and the events.

Deliveries and timers are packed as triples of int64 and hashed in blocks; they are kept only
when asked for. The nodes' events are kept as columns, one table per kind, with bytes and words
replaced by codes. Copies that never became events (see ``sim.network``) are in neither.
"""

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from librt.vecs import vec
from mypy_extensions import i64
from numpy.typing import NDArray

from node.events import Event
from sim.errors import ConfigurationError

Column = NDArray[np.int64] | NDArray[np.int32]

BLOCK_VALUES: Final = 3 * 8192
WIDTH_MAX: Final = 32
CHECKPOINT_NS: Final = 600_000_000_000
PEER_BITS: Final = 20
PEERS_MAX: Final = 1 << PEER_BITS
TIMER: Final = 1 << (2 * PEER_BITS)
SCHEMA: Final = "veche-journal-2"


class Checkpoint(NamedTuple):
    """The digest over deliveries and timers so far; runs differ after the last equal one."""

    at_ns: int
    records: int
    digest: str


class Table:
    """Rows of int64 of one width: a buffer of at least ``BLOCK_VALUES``, blocks behind it.

    ``filled`` values of the buffer are in use.
    """

    __slots__ = ("_blocks", "_hash", "_keep", "_rows", "_width", "buffer", "filled")

    def __init__(self, width: int, *, keep: bool) -> None:
        assert 0 < width <= WIDTH_MAX
        self.buffer = vec[i64]([0] * (BLOCK_VALUES + WIDTH_MAX))
        self.filled: i64 = 0
        self._blocks: list[list[Column]] = []
        self._hash = sha256()
        self._keep = keep
        self._rows = 0
        self._width = width

    def __len__(self) -> int:
        return self._rows + self.filled // self._width

    def put(self, one: i64, two: i64, three: i64) -> bool:
        """Append a row of a table that is three wide; whether it is time to ``flush``."""
        buffer, place = self.buffer, self.filled
        buffer[place] = one
        buffer[place + 1] = two
        buffer[place + 2] = three
        self.filled = place + 3
        return place + 3 >= BLOCK_VALUES

    def flush(self) -> None:
        """Hash what was appended and pack it; where blocks end does not change the digest."""
        if not self.filled:
            return
        values = np.frombuffer(memoryview(self.buffer), np.int64, self.filled)
        block = values.astype("<i8").reshape(-1, self._width)
        self._hash.update(block.tobytes())
        self._rows += len(block)
        if self._keep:
            self._blocks.append([_narrow(block[:, number]) for number in range(self._width)])
        self.filled = 0

    def digest(self) -> bytes:
        """SHA-256 of all rows so far."""
        self.flush()
        return self._hash.digest()

    def get_columns(self) -> list[Column]:
        """All rows by columns; empty unless they are kept."""
        self.flush()
        return [
            np.concatenate([block[number] for block in self._blocks])
            if self._blocks else np.zeros(0, np.int64)
            for number in range(self._width)
        ]


class Journal:
    """Written by the network and the peers of one run, and read by judges and reports."""

    __slots__ = ("_codes", "_due_ns", "_kinds", "_tables", "_timers", "_traffic",
                 "checkpoint_every_ns", "checkpoints", "keep_deliveries")

    def __init__(
        self, *, checkpoint_every_ns: int = CHECKPOINT_NS, keep_deliveries: bool = False
    ) -> None:
        assert checkpoint_every_ns > 0
        self.checkpoint_every_ns = checkpoint_every_ns
        self.checkpoints: list[Checkpoint] = []
        self.keep_deliveries = keep_deliveries
        self._traffic = Table(3, keep=keep_deliveries)
        self._due_ns = 0
        self._timers: dict[str, int] = {}
        self._codes: dict[bytes | str, int] = {}
        self._kinds: dict[str, type[Event]] = {}
        self._tables: dict[type[Event], Table] = {}

    @property
    def records(self) -> int:
        """Deliveries and timers so far."""
        return len(self._traffic)

    def delivery(self, at_ns: i64, sender: i64, receiver: i64, tag: i64) -> None:
        """A frame reached its peer; ``tag`` stands for its content, in 63 bits."""
        if self._traffic.put(at_ns, sender << PEER_BITS | receiver, tag):
            self._turn_page(at_ns)

    def timer(self, at_ns: int, peer: int, timer: tuple[str, int, int]) -> None:
        """A peer's timer came due."""
        name, first, second = timer
        code = self._timers.get(name)
        if code is None:
            code = self._timers[name] = crc32(name.encode()) >> 17
        tag = (code << 48) ^ ((first & 0xFFFF_FFFF) << 16) ^ (second & 0xFFFF)
        if self._traffic.put(at_ns, TIMER | peer, tag):
            self._turn_page(at_ns)

    def event(self, at_ns: int, peer: int, event: Event) -> None:
        """A node emitted a fact."""
        kind = type(event)
        table = self._tables.get(kind)
        if table is None:
            table = self._open(kind)
        codes = self._codes
        buffer, place = table.buffer, table.filled
        buffer[place] = at_ns
        buffer[place + 1] = peer
        place += 2
        for value in event:
            code = value if isinstance(value, int) else codes.setdefault(value, len(codes))
            buffer[place] = code
            place += 1
        table.filled = place
        if place >= BLOCK_VALUES:
            table.flush()

    def digest(self) -> str:
        """Names the whole run so far: traffic, events, and what their codes stand for."""
        total = sha256(self._traffic.digest())
        for name in sorted(self._kinds):
            total.update(name.encode() + b"\0" + self._tables[self._kinds[name]].digest())
        # codes are given in order of appearance: without their values, two runs with other
        # contents could agree
        for value in self._codes:
            total.update(value.encode() if isinstance(value, str) else value)
        return total.hexdigest()

    def get_kinds(self) -> list[type[Event]]:
        """The kinds of events that occurred, by name."""
        return [self._kinds[name] for name in sorted(self._kinds)]

    def get_events(self, kind: type[Event]) -> dict[str, Column]:
        """Columns ``at_ns``, ``by`` (the peer that said it) and the event's own fields.

        Bytes and words are codes, see ``get_values``.
        """
        table = self._tables.get(kind) or Table(2 + len(kind._fields), keep=True)
        return dict(zip(("at_ns", "by", *kind._fields), table.get_columns(), strict=True))

    def get_deliveries(self) -> dict[str, Column]:
        """Columns ``at_ns``, ``way`` and ``tag``; empty unless they are kept.

        A way is ``sender << PEER_BITS | receiver``, or ``TIMER | peer``.
        """
        return dict(zip(("at_ns", "way", "tag"), self._traffic.get_columns(), strict=True))

    def get_values(self) -> list[bytes | str]:
        """What each code stands for."""
        return list(self._codes)

    def save(self, path: Path) -> None:
        """Write an .npz that ``read_journal`` reads; equal journals give equal bytes."""
        marks = self.checkpoints
        values = self._codes
        # half a million digests: side by side, not as text of one width
        parts = [value if isinstance(value, bytes) else value.encode() for value in values]
        arrays: dict[
            str, Column | NDArray[np.uint8] | NDArray[np.str_] | NDArray[np.bool_]
        ] = {
            "schema": np.array([SCHEMA, self.digest()]),
            "checkpoints.at_ns": np.array([mark.at_ns for mark in marks], "<i8"),
            "checkpoints.records": np.array([mark.records for mark in marks], "<i8"),
            "checkpoints.digest": np.array([mark.digest for mark in marks], "<U64"),
            "values": np.frombuffer(b"".join(parts), np.uint8),
            "values.size": np.array([len(part) for part in parts], "<i8"),
            "values.is_bytes": np.array([type(value) is bytes for value in values], np.bool_),
        }
        for kind in self.get_kinds():
            for field, column in self.get_events(kind).items():
                arrays[f"event.{kind.__name__}.{field}"] = column
        if self.keep_deliveries:
            for field, column in self.get_deliveries().items():
                arrays[f"traffic.{field}"] = column
        packed = BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        path.write_bytes(packed.getvalue())

    def _turn_page(self, at_ns: int) -> None:
        self._traffic.flush()
        if at_ns >= self._due_ns:
            self.checkpoints.append(
                Checkpoint(at_ns, self.records, self._traffic.digest().hex())
            )
            self._due_ns = at_ns + self.checkpoint_every_ns

    def _open(self, kind: type[Event]) -> Table:
        table = self._tables.get(kind)
        if table is None:
            assert kind.__name__ not in self._kinds, "kinds of events have different names"
            self._kinds[kind.__name__] = kind
            table = self._tables[kind] = Table(2 + len(kind._fields), keep=True)
        return table


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedJournal:
    """A journal read back; ``events`` and ``deliveries`` are columns by name, as in it."""

    digest: str
    checkpoints: tuple[Checkpoint, ...]
    values: tuple[bytes | str, ...]
    events: dict[str, dict[str, Column]]
    deliveries: dict[str, Column]


def read_journal(path: Path) -> SavedJournal:
    """What ``Journal.save`` wrote. Raises ConfigurationError for any other file."""
    try:
        with np.load(path, allow_pickle=False) as loaded:
            arrays: dict[str, Column] = {name: loaded[name] for name in loaded.files}
        schema, digest = arrays["schema"].tolist()
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ConfigurationError("journal", str(path), f"it cannot be read: {error}") from error
    if schema != SCHEMA:
        raise ConfigurationError("journal", schema, f"this version reads {SCHEMA}")
    rows = zip(*(arrays[f"checkpoints.{name}"].tolist() for name in Checkpoint._fields),
               strict=True)
    joined, sizes = arrays["values"].tobytes(), arrays["values.size"].tolist()
    if min(sizes, default=0) < 0 or sum(sizes) != len(joined):
        raise ConfigurationError("journal", str(path), "it is damaged: values of other sizes")
    ends = list(accumulate(sizes))
    parts = [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    values = zip(parts, arrays["values.is_bytes"].tolist(), strict=True)
    events: dict[str, dict[str, Column]] = {}
    deliveries: dict[str, Column] = {}
    for name, column in arrays.items():
        section, _, rest = name.partition(".")
        if section == "event":
            kind, _, field = rest.partition(".")
            events.setdefault(kind, {})[field] = column
        elif section == "traffic":
            deliveries[rest] = column
    return SavedJournal(
        digest=digest,
        checkpoints=tuple(Checkpoint(*row) for row in rows),
        values=tuple(part if is_bytes else part.decode() for part, is_bytes in values),
        events=events,
        deliveries=deliveries,
    )


def _narrow(column: NDArray[np.int64]) -> Column:
    # heights, peers and codes fit in half the room; instants do not
    small = column.astype(np.int32)
    return small if bool((small == column).all()) else column.copy()
