"""A process that writes to a store and says what was acknowledged, until it is killed.

    python -m tests.node.host.writing FOLDER SOURCE LIMIT_BYTES

Write n puts the lock "n" and, if n is a multiple of three, the next block. The line "n" follows
when it is acknowledged. ``LIMIT_BYTES`` > 0 is the largest file that the system allows.
"""

import os
import resource
import sys
from pathlib import Path

from node.block import decode_block
from node.codec import decode
from node.host.errors import HostError
from node.host.genesis import load_genesis
from node.host.replay import Checked
from node.host.store import Store

BLOCK_EVERY = 3
SNAPSHOT_EVERY = 4
REFUSED = 112


def compute_height(number, height_max):
    """How many blocks there are after write ``number``."""
    return min(number // BLOCK_EVERY, height_max)


def get_number(lock):
    """Which write wrote this lock."""
    return 0 if lock is None else int(lock.split()[0])


class Writing:
    """One store and the numbered writes to it."""

    def __init__(self, folder, genesis, blocks):
        self.genesis = genesis
        self.blocks = blocks
        self.store = Store.open(folder, genesis, snapshot_every_blocks=SNAPSHOT_EVERY)
        loaded = self.store.load()
        self.chain = loaded.chain
        self.number = get_number(loaded.lock)

    def write(self):
        """The next write; its number once it is acknowledged."""
        number = self.number + 1
        # of many sizes, so that writes end anywhere in a page
        entries = [("lock", b"%-*d" % (1 + number * 37 % 5_000, number))]
        if compute_height(number, len(self.blocks)) > self.chain.height:
            encoded = self.blocks[self.chain.height]
            block = decode_block(encoded, self.genesis.params)
            self.chain.take(self.chain.plan_step(encoded, block, Checked()))
            entries.append(("block", block.encoded))
        self.store.write(entries, self.chain)
        self.number = number
        return number


def main(folder, source, limit_bytes):
    """Write until killed; exit code 112 if the store refuses."""
    genesis = load_genesis(source / "genesis.json")
    data = (source / "blocks").read_bytes()
    blocks = decode(data, len(data))
    if limit_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    try:
        writing = Writing(folder, genesis, blocks)
        os.write(1, b"%d\n" % writing.number)
        while True:
            os.write(1, b"%d\n" % writing.write())
    except HostError as error:
        os.write(1, f"{type(error).__name__} {error}\n".encode())
        return REFUSED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
