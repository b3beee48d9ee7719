"""A citizen joins: a node of the moment, all blocks checked, the votes recounted."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from node.crypto import SEED_BYTES, Identity
from node.host.errors import HandshakeFailed, SettingsError
from node.host.genesis import decode_genesis
from node.host.greeting import fetch_genesis
from node.host.links import Target
from node.host.process import Parts, open_parts
from node.host.recount import Recount, recount
from node.host.replay import Checked
from node.host.settings import Address, Settings, load_genesis
from node.inputs import Role
from node.params import Genesis
from node.types import CHAIN_ID_BYTES

LINK_PATIENCE_S = 15.0
PROGRESS_S = 1.0


def find_genesis(place: Address, file: Path | None, chain_id: str | None) -> Genesis:
    """The genesis from ``file``, or as ``place`` tells it; of chain ``chain_id`` if given.

    Raises SettingsError if it is another chain's, HandshakeFailed if nobody answers.
    """
    if file is not None:
        genesis = load_genesis(file)
    else:
        genesis = decode_genesis(trio.run(fetch_genesis, place.host, place.port))
    found = genesis.compute_chain_id().hex()
    if chain_id is not None and chain_id.lower() != found:
        if len(chain_id) != 2 * CHAIN_ID_BYTES:
            raise SettingsError("--chain-id", chain_id, f"give {2 * CHAIN_ID_BYTES} hex digits")
        raise SettingsError("--chain-id", chain_id, f"{place} serves chain {found}")
    return genesis


def join(
    place: Address, genesis: Genesis, data: Path | None, say: Callable[[str], None]
) -> list[Recount]:
    """Sync from ``place`` as an observer, then count every voting anew from the blocks.

    ``data`` keeps the chain for the next time; without it a folder of the moment is used.
    ``say`` hears progress. Raises HostError.
    """
    with open_folder(data) as folder:
        settings = Settings(
            role=Role.OBSERVER, genesis=folder, key=folder, data=folder, check_threads=2
        )
        # a key of the moment: whoever only reads need not be known again
        identity = Identity(os.urandom(SEED_BYTES))
        target = Target(place.host, place.port, None)
        with open_parts(settings, genesis, identity, [target]) as parts:
            trio.run(sync, parts, place, say)
            chain = parts.host.chain
            say(f"height {chain.height:,}: all blocks are here; counting")
            # every signature was checked when its block came
            return recount(chain, Checked())


@contextmanager
def open_folder(data: Path | None) -> Iterator[Path]:
    """``data``, or a folder that is gone afterwards."""
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="veche-join-") as folder:
        yield Path(folder)


async def sync(parts: Parts, place: Address, say: Callable[[str], None]) -> None:
    """Run until the chain is as long as the peer's. Raises HandshakeFailed without a link."""
    async with trio.open_nursery() as nursery:
        await nursery.start(parts.host.run)
        nursery.start_soon(tell_progress, parts, say)
        with trio.move_on_after(LINK_PATIENCE_S):
            await parts.host.wait_linked()
        if not parts.host.peers():
            reasons = ", ".join(parts.links.stats.dials_failed) or "no answer"
            raise HandshakeFailed(f"{place}: {reasons}")
        await parts.host.wait_synced()
        nursery.cancel_scope.cancel()


async def tell_progress(parts: Parts, say: Callable[[str], None]) -> None:
    """The height, now and then."""
    while True:
        await trio.sleep(PROGRESS_S)
        say(f"height {parts.host.chain.height:,}")
