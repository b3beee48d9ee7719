"""What a disk may hold after a power cut, and what it may hold when it rots.

A power cut loses any part of what was written and not yet synced: each sector is the old one,
the new one, or garbage. What was synced before is there. ``list_cuts`` knows the order in which
a store syncs: the log's header, its frames, the database (when the log is put into it), the
witness. Rot changes anything, at any time.
"""

SECTOR_BYTES = 4096
NAMES = ("veche.sqlite", "veche.sqlite-wal", "witness")
DATABASE, LOG, WITNESS = NAMES
LOG_HEADER_BYTES = 32


def read_files(folder):
    """The content of the store's files; those that are not there are empty."""
    return {
        name: (folder / name).read_bytes() if (folder / name).exists() else b""
        for name in NAMES
    }


def write_files(folder, files):
    """A folder with these files, as a machine finds it when the power is back."""
    folder.mkdir()
    for name, content in files.items():
        if content:
            (folder / name).write_bytes(content)
    return folder


def tear(before, after, generator):
    """``before`` with any part of the change to ``after``."""
    size = len(after)
    if size != len(before) and generator.random() < 0.5:
        size = int(generator.integers(min(size, len(before)), max(size, len(before)) + 1))
    torn = bytearray(before[:size].ljust(size, b"\0"))
    for at in range(0, size, SECTOR_BYTES):
        old, new = torn[at : at + SECTOR_BYTES], after[at : at + SECTOR_BYTES]
        if old == new:
            continue
        match generator.integers(5):
            case 0 | 1:
                torn[at : at + len(new)] = new
            case 2:
                torn[at : at + len(old)] = generator.bytes(len(old))
    return bytes(torn[:size])


def list_cuts(before, after, generator):
    """(where the power went, the files) for a cut in each phase of one write."""
    header = before[LOG][:LOG_HEADER_BYTES]
    if header and header != after[LOG][:LOG_HEADER_BYTES]:
        torn = generator.bytes(LOG_HEADER_BYTES) + before[LOG][LOG_HEADER_BYTES:]
        yield "log header", before | {LOG: torn}
        header = after[LOG][:LOG_HEADER_BYTES]
    log = header + tear(before[LOG], after[LOG], generator)[len(header) :]
    yield "log", before | {LOG: log}
    if before[DATABASE] != after[DATABASE]:
        torn = tear(before[DATABASE], after[DATABASE], generator)
        yield "database", before | {LOG: after[LOG], DATABASE: torn}
    torn = tear(before[WITNESS], after[WITNESS], generator)
    yield "witness", after | {WITNESS: torn}


def rot(content, at, generator):
    """``content`` after something happened to it at ``at``; never the same."""
    rotten = bytearray(content)
    match generator.integers(4):
        case 0:
            rotten[at] ^= 1 << int(generator.integers(8))
        case 1:
            size = min(64, len(rotten) - at)
            rotten[at : at + size] = generator.bytes(size)
        case 2:
            begin = at // SECTOR_BYTES * SECTOR_BYTES
            size = min(SECTOR_BYTES, len(rotten) - begin)
            rotten[begin : begin + size] = bytes(size)
        case _:
            del rotten[at:]
    return bytes(rotten)
