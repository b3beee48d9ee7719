"""A citizen joins: a node of the moment, all blocks checked, the votes recounted."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.crypto import SEED_BYTES, Identity
from node.host.checkpoint import Checkpoint, read_checkpoint
from node.host.disk import guard
from node.host.errors import CheckpointError, HandshakeFailed, SettingsError, SyncFailed
from node.host.genesis import decode_genesis
from node.host.greeting import explain, fetch_genesis
from node.host.links import Target
from node.host.origin import CHECKPOINT, Origin, place_checkpoint
from node.host.process import Parts, open_parts, wait_stop
from node.host.recount import Recount, recount
from node.host.replay import Checked
from node.host.settings import Address, Settings, load_genesis
from node.host.signals import Stop
from node.inputs import Role
from node.params import Genesis
from node.types import CHAIN_ID_BYTES, Digest

LINK_PATIENCE_S = 15.0
PROGRESS_S = 1.0
WATCH_S = 0.25


@dataclass(frozen=True, slots=True)
class Joined:
    """How far the chain is; ``base`` is the checkpoint at which it begins, if it does."""

    height: int
    digest: Digest
    base: Checkpoint | None
    recounts: list[Recount]


def find_genesis(place: Address, file: Path | None, chain_id: str | None) -> Genesis:
    """The genesis from ``file``, or as ``place`` tells it; of chain ``chain_id`` if given.

    Raises SettingsError if it is another chain's, HandshakeFailed if nobody answers.
    """
    if file is not None:
        genesis, source = load_genesis(file), f"{file} is of"
    else:
        source = f"{place} serves"
        try:
            genesis = decode_genesis(trio.run(fetch_genesis, place.host, place.port))
        except SettingsError as error:
            raise error.within(f"what {place} gave") from error
    found = genesis.compute_chain_id().hex()
    if chain_id is not None and chain_id.lower() != found:
        if len(chain_id) != 2 * CHAIN_ID_BYTES:
            raise SettingsError("--chain-id", chain_id, f"give {2 * CHAIN_ID_BYTES} hex digits")
        raise SettingsError("--chain-id", chain_id, f"{source} chain {found}")
    return genesis


def join(
    place: Address, genesis: Genesis, data: Path | None, say: Callable[[str], None],
    checkpoint: Path | None = None, trusted: str | None = None, stop: Stop | None = None,
) -> Joined:
    """Sync from ``place`` as an observer, then count every voting anew from the blocks.

    ``data`` keeps the chain for the next time; without it a folder of the moment is used.
    ``checkpoint`` is where to begin if nothing is there yet; ``trusted`` the hash that its
    block must have. ``say`` hears progress. Raises HostError, or KeyboardInterrupt when
    ``stop`` is asked; a folder that this call began and in which no block came is gone then.
    """
    stop = stop or Stop()
    base = None
    if checkpoint is not None:
        require_new(data)
        say(f"checkpoint {checkpoint}: checking it")
        base = read_checkpoint(checkpoint, genesis)
        require_trusted(base, checkpoint, trusted)
    with open_folder(data) as folder, tidy(folder) as keep:
        if checkpoint is not None:
            place_checkpoint(checkpoint, folder)
        settings = Settings(
            role=Role.OBSERVER, genesis=folder, key=folder, data=folder, check_threads=2
        )
        # a key of the moment: whoever only reads need not be known again
        identity = Identity(os.urandom(SEED_BYTES))
        target = Target(place.host, place.port, None)
        origin = None if base is None else Origin.of(base)
        with open_parts(settings, genesis, identity, [target], origin) as parts:
            chain = parts.host.chain
            if base is None and chain.first > 1:
                base = read_checkpoint(folder / CHECKPOINT, genesis)
            began = chain.height
            try:
                stop.arm()
                trio.run(sync, parts, place, say, stop)
                stop.disarm()
                keep()
            finally:
                if chain.height > began:
                    keep()
            say(f"height {chain.height:,}: all blocks are here; counting")
            # every signature was checked when its block came
            recounts = recount(chain, Checked(), base=base)
            return Joined(chain.height, chain.head.digest, base, recounts)


def require_new(data: Path | None) -> None:
    """Raises SettingsError if there is something in the folder."""
    if data is not None and data.is_dir() and not is_empty_folder(data):
        raise SettingsError(
            "--data", str(data),
            "it is not empty, and a checkpoint begins a new chain: leave --checkpoint out to "
            "go on with what is there, or give a new folder",
        )


def is_empty_folder(folder: Path) -> bool:
    """Whether nothing is in it. Raises StoreError if nobody may look."""
    with guard(folder):
        return not any(folder.iterdir())


def require_trusted(base: Checkpoint, file: Path, trusted: str | None) -> None:
    """Raises CheckpointError if the block is not the one that the citizen trusts."""
    found = base.block_digest.hex()
    if trusted is not None and trusted.lower() != found:
        raise CheckpointError(file, f"its block is {found}, not {trusted}")


@contextmanager
def open_folder(data: Path | None) -> Iterator[Path]:
    """``data``, or a folder that is gone afterwards."""
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="veche-join-") as folder:
        yield Path(folder)


@contextmanager
def tidy(folder: Path) -> Iterator[Callable[[], None]]:
    """Leave no folder behind that was not there, unless the body calls what it is given."""
    is_new = not folder.exists()
    is_empty = is_new or is_empty_folder(folder)
    kept: list[bool] = []
    try:
        yield lambda: kept.append(True)
    finally:
        if is_new and not kept:
            shutil.rmtree(folder, ignore_errors=True)
        elif is_empty and not kept:
            # not the folder itself, which may be a link to one, or a disk's root
            for path in folder.iterdir():
                path.unlink(missing_ok=True)


async def sync(
    parts: Parts, place: Address, say: Callable[[str], None], stop: Stop
) -> None:
    """Run until the chain is as long as the peer's, or ``stop`` is asked for.

    Raises HandshakeFailed without a link, and SyncFailed if the peer's chain is not ours.
    """
    host, began = parts.host, parts.host.chain.height
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_stop, stop, nursery.cancel_scope)
        await nursery.start(host.run)
        nursery.start_soon(tell_progress, parts, say)
        nursery.start_soon(watch_peer, parts, place)
        with trio.move_on_after(LINK_PATIENCE_S):
            await host.wait_linked()
        if not host.peers():
            raise HandshakeFailed(f"{place}: {explain_no_link(parts)}")
        await host.wait_synced()
        require_same_chain(parts, place, began)
        nursery.cancel_scope.cancel()


def explain_no_link(parts: Parts) -> str:
    """Why nobody was reached."""
    return explain(", ".join(parts.links.stats.dials_failed) or "no answer")


async def tell_progress(parts: Parts, say: Callable[[str], None]) -> None:
    """The height, now and then."""
    while True:
        await trio.sleep(PROGRESS_S)
        say(f"height {parts.host.chain.height:,}")


async def watch_peer(parts: Parts, place: Address) -> None:
    """Raises SyncFailed once the only peer sends what is not valid here, or stays away."""
    await parts.host.wait_linked()
    missed_s = 0.0
    while missed_s < LINK_PATIENCE_S:
        require_valid(parts, place)
        await trio.sleep(WATCH_S)
        missed_s = 0 if parts.host.peers() else missed_s + WATCH_S
    raise SyncFailed(
        f"{place}: gone at height {parts.host.chain.height:,}: {explain_no_link(parts)}"
    )


def require_valid(parts: Parts, place: Address) -> None:
    """Raises SyncFailed if the peer has sent what breaks a rule."""
    reasons = ", ".join(parts.host.list_rejected())
    if reasons:
        after = parts.host.chain.height
        raise SyncFailed(
            f"{place}: what it sends does not follow upon block {after:,} here: {reasons}"
        )


def require_same_chain(parts: Parts, place: Address, began: int) -> None:
    """Raises SyncFailed unless the peer's chain goes on from block ``began``, and is here."""
    require_valid(parts, place)
    chain, heard = parts.host.chain, parts.host.heard
    assert heard is not None
    theirs = heard.height
    if theirs < began:
        raise SyncFailed(
            f"{place}: is at block {theirs:,}, behind block {began:,} here: ask a node that is "
            "further on"
        )
    if theirs > chain.height:
        raise SyncFailed(
            f"{place}: gave no more than {chain.height:,} of its {theirs:,} blocks"
        )
    mine = chain.get_digest(theirs)
    if heard.head != mine:
        raise SyncFailed(
            f"{place}: its block {theirs:,} is {heard.head.hex()[:16]}, and {mine.hex()[:16]} "
            "here: one of the two is not the city's chain"
        )
