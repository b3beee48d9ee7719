"""``veche node``: run one node, make one, check what it stored, or join a city to recount."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import click

from node.errors import InvalidBlock, InvalidParams
from node.host.clock import Clock
from node.host.errors import CheckpointError, HostError, KeyFileError, SettingsError
from node.host.genesis import decode_key
from node.host.joining import find_genesis, join
from node.host.keystore import create_key
from node.host.making import make_checkpoint
from node.host.outcome import build_join_json, describe_join
from node.host.process import run_node
from node.host.settings import (
    PeerAddress,
    Settings,
    load_genesis,
    load_settings,
    parse_address,
    save_genesis,
    save_settings,
)
from node.host.signals import catch_signals
from node.host.store import Store
from node.host.table import suggest
from node.inputs import Role
from node.params import Genesis, Params
from node.types import DIGEST_BYTES

PASSED = 0
BAD_CONFIGURATION = 104
STOPPED = 105
INVARIANT_BROKEN = 110
NOTHING_TO_JUDGE = 111
CANNOT_GO_ON = 112
ENGINE = "qbft"
DIGITS_MAX = 19
HASH_DIGITS = 2 * DIGEST_BYTES
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def main(words: Sequence[str]) -> int:
    """The exit code for ``veche node WORDS``; a failure is told in one line."""
    try:
        code = node.main(list(words), prog_name="veche node", standalone_mode=False)
    except click.Abort:
        click.echo("veche node: stopped before its end", err=True)
        return STOPPED
    except click.ClickException as error:
        click.echo(f"veche node: {' '.join(error.format_message().split())}", err=True)
        return BAD_CONFIGURATION
    except (CheckpointError, SettingsError, KeyFileError, InvalidParams) as error:
        click.echo(f"veche node: {error}", err=True)
        return BAD_CONFIGURATION
    except (HostError, InvalidBlock) as error:
        click.echo(f"veche node: {error}", err=True)
        return CANNOT_GO_ON
    return code if isinstance(code, int) else PASSED


@click.group(invoke_without_command=True, epilog="Example: veche node --config node.toml")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="The node's settings; `veche node init` writes them.")
@click.option("--until-eof", is_flag=True,
              help="Stop also when standard input ends: with whoever has started the node.")
@click.option("--verify", is_flag=True,
              help="Do not run: replay all that is stored, and compare.")
@click.option("--join", "place", metavar="HOST:PORT",
              help="Sync from a node as an observer, recount the election, and stop.")
@click.option("--genesis", type=click.Path(path_type=Path), metavar="FILE",
              help="With --join: the chain's genesis file. Default: ask the node.")
@click.option("--chain-id", metavar="HEX",
              help="With --join: the chain that it must be, 16 hex digits.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER",
              help="With --join: keep the chain here. Default: forget it.")
@click.option("--checkpoint", type=click.Path(path_type=Path), metavar="FILE",
              help="With --join: begin at this checkpoint, not at genesis.")
@click.option("--trust", metavar="HASH",
              help="With --checkpoint: the hash that its block must have, 64 hex digits.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")
@click.option("--quiet", is_flag=True, help="Say nothing but results.")
@click.pass_context
def node(
    context: click.Context, config: Path | None, until_eof: bool,  # noqa: FBT001
    verify: bool, place: str | None,  # noqa: FBT001
    genesis: Path | None, chain_id: str | None, data: Path | None,
    checkpoint: Path | None, trust: str | None,
    as_json: bool, quiet: bool,  # noqa: FBT001 - click passes flags by name
) -> int:
    """Run one node of a real network: a validator, relay or observer.

    A citizen joins with --join: it syncs from genesis and executes every block, or begins at a
    checkpoint, checks who sealed that, and executes what comes after; then it counts the
    votes itself and says whether the published result agrees.

    Exit codes: 0 a node that was stopped, or all is well; 104 bad configuration; 105 stopped
    before the end of a start or a join; 110 what was published is not what was counted; 111
    nothing is published yet; 112 the node cannot go on.
    """
    if context.invoked_subcommand is not None:
        return PASSED
    screen = Screen(as_json=as_json, quiet=quiet)
    if place is not None:
        if config is not None or verify:
            raise click.UsageError("--join goes with neither --config nor --verify")
        if trust is not None and checkpoint is None:
            raise click.UsageError("--trust goes with --checkpoint")
        city = find_city(screen, place, genesis, chain_id)
        return join_city(screen, place, city, data, checkpoint, trust)
    for option, value in (("--genesis", genesis), ("--chain-id", chain_id), ("--data", data),
                          ("--checkpoint", checkpoint), ("--trust", trust)):
        if value is not None:
            raise click.UsageError(f"{option} goes with --join")
    if config is None:
        raise click.UsageError("give --config FILE, --join HOST:PORT, or init")
    settings = load_settings(config)
    if verify:
        return verify_store(screen, settings)
    run_node(settings, screen.say, until_eof=until_eof)
    return PASSED


class Screen:
    """Results on standard output; what is under way on standard error."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json = as_json
        self._quiet = quiet or as_json

    def say(self, line: str) -> None:
        """Something that goes on."""
        if not self._quiet:
            click.echo(line, err=True)

    def show(self, lines: Sequence[str], content: dict[str, object]) -> None:
        """A result, for a person or for a program."""
        click.echo(json.dumps(content, indent=2) if self._json else "\n".join(lines))


def verify_store(screen: Screen, settings: Settings) -> int:
    """Replay the stored chain with every check. Raises StoreDamaged with what is wrong."""
    genesis = load_genesis(settings.genesis)
    store = Store.open(settings.data, genesis)
    try:
        verified = store.verify()
    finally:
        store.close()
    begin = f"the checkpoint, block {verified.first - 1:,}" if verified.first > 1 else "genesis"
    screen.show(
        [f"height {verified.height:,}, {verified.transactions:,} transactions: replayed from "
         f"{begin}, all as it is stored", f"state root {verified.state_root.hex()}"],
        {"height": verified.height, "transactions": verified.transactions,
         "state_root": verified.state_root.hex(), "snapshot_height": verified.snapshot_height,
         "first": verified.first},
    )
    return PASSED


def find_city(
    screen: Screen, place: str, file: Path | None, chain_id: str | None
) -> Genesis:
    """The genesis, and a word about where it is from if nobody vouches for it."""
    address = parse_address("--join", place)
    genesis = find_genesis(address, file, chain_id)
    if file is None and chain_id is None:
        chain = genesis.compute_chain_id().hex()
        screen.say(f"chain {chain}, as {address} tells it: compare it with one you trust")
    return genesis


def join_city(
    screen: Screen, place: str, genesis: Genesis, data: Path | None, checkpoint: Path | None,
    trust: str | None,
) -> int:
    """Sync, recount, and say whether what was published agrees."""
    address = parse_address("--join", place)
    if data is not None and data.exists() and not data.is_dir():
        raise SettingsError("--data", str(data), "give a folder, or the name of a new one")
    if trust is not None and not (len(trust) == HASH_DIGITS and set(trust) <= HEX_DIGITS):
        raise SettingsError("--trust", trust, f"give a hash of {HASH_DIGITS} hex digits")
    with catch_signals() as stop:
        joined = join(address, genesis, data, screen.say, checkpoint, trust, stop)
    chain = genesis.compute_chain_id().hex()
    lines = describe_join(joined, is_trusted=trust is not None)
    screen.show(lines, {"chain_id": chain, **build_join_json(joined)})
    if any(item.differences for item in joined.recounts):
        return INVARIANT_BROKEN
    return PASSED if any(item.agrees for item in joined.recounts) else NOTHING_TO_JUDGE


@node.command(epilog="Example: veche node init relay-1 --role relay --genesis genesis.json")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--genesis", type=click.Path(path_type=Path), metavar="FILE",
              help="The chain's genesis file, copied to FOLDER. May be put there later.")
@click.option("--listen", default="", metavar="HOST:PORT",
              help="Where peers reach this node; a port alone is on loopback.")
@click.option("--http", default="", metavar="HOST:PORT", help="Where people and tools read.")
@click.option("--peer", "peers", multiple=True, metavar="HOST:PORT,KEY,ROLE",
              help="A node to dial: its public key and its role. Repeatable.")
def init(
    folder: Path, role: str, genesis: Path | None, listen: str, http: str,
    peers: tuple[str, ...],
) -> int:
    """Make a node in FOLDER: a key, mode 0600, and node.toml. Prints its public key."""
    folder = folder.absolute()
    settings = Settings(
        role=Role(role), genesis=folder / "genesis.json", key=folder / "node.key",
        data=folder / "data", listen=parse_address("--listen", listen) if listen else None,
        http=parse_address("--http", http) if http else None,
        peers=tuple(parse_peer(text) for text in peers),
    )
    if genesis is not None:
        load_genesis(genesis)
    config = folder / "node.toml"
    if config.exists():
        raise SettingsError("FOLDER", str(folder), "there is a node.toml: choose another")
    with tell_unwritable("FOLDER", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = create_key(settings.key)
        if genesis is not None:
            shutil.copyfile(genesis, settings.genesis)
        save_settings(settings, config)
    click.echo(identity.public.hex())
    return PASSED


@contextmanager
def tell_unwritable(name: str, path: Path) -> Iterator[None]:
    """What the system refuses becomes a SettingsError of the argument ``name``."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            name, str(path), f"{error.strerror}: choose a place where you may write"
        ) from error


def parse_peer(text: str) -> PeerAddress:
    """``host:port,key,role``; raises SettingsError."""
    match text.split(","):
        case [place, key, role] if role in [item.value for item in Role]:
            address = parse_address("--peer", place)
            identity = decode_key("--peer", key)
            return PeerAddress(address.host, address.port, identity, Role(role))
    raise SettingsError("--peer", text, "write host:port,key,role")


@node.command(epilog="Example: veche node found genesis.json --validator 8a.. --registrar 3f..")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--validator", "validators", multiple=True, required=True, metavar="KEY",
              help="A validator's public key. Repeatable.")
@click.option("--relay", "relays", multiple=True, metavar="KEY",
              help="A relay's public key. Repeatable.")
@click.option("--registrar", required=True, metavar="KEY",
              help="The public key of the office that runs elections and fairs.")
@click.option("--time-ns", type=click.IntRange(0, 2**63 - 1), metavar="N",
              help="The time of block 0, ns since 1970. Default: now.")
@click.option("--set", "changes", multiple=True, metavar="NAME=NUMBER",
              help="A rule of the chain: block_interval_ns=1000000000. Repeatable.")
def found(
    file: Path, validators: tuple[str, ...], relays: tuple[str, ...], registrar: str,
    time_ns: int | None, changes: tuple[str, ...],
) -> int:
    """Write FILE, the genesis of a new chain, for all its nodes. Prints the chain's id."""
    genesis = Genesis(
        params=Params(engine=ENGINE, **parse_changes(changes)),
        validators=tuple(sorted(decode_key("--validator", key) for key in validators)),
        relays=tuple(decode_key("--relay", key) for key in relays),
        registrar=decode_key("--registrar", registrar),
        time_ns=Clock().read().realtime_ns if time_ns is None else time_ns,
    )
    if file.exists():
        raise SettingsError("FILE", str(file), "it exists: a genesis is never replaced")
    with tell_unwritable("FILE", file):
        save_genesis(genesis, file)
    click.echo(genesis.compute_chain_id().hex())
    return PASSED


def parse_changes(texts: Sequence[str]) -> dict[str, int]:
    """``name=number`` each; raises SettingsError for a rule that there is not."""
    names = [field.name for field in fields(Params) if field.name != "engine"]
    changes = {}
    for text in texts:
        name, sign, number = text.partition("=")
        if not sign:
            raise SettingsError("--set", text, "write name=number")
        if name not in names:
            raise SettingsError("--set", text, suggest(name, names))
        if not (number.isascii() and number.isdigit() and len(number) <= DIGITS_MAX):
            raise SettingsError(f"--set {name}", number, "give a positive whole number")
        changes[name] = int(number)
    return changes


@node.command(epilog="Example: veche node checkpoint --config node.toml --out city.checkpoint")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="The settings of the node whose chain it is; the node may be running.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Or its data alone, with --genesis.")
@click.option("--genesis", type=click.Path(path_type=Path), metavar="FILE",
              help="With --data: the chain's genesis file.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The new file.")
@click.option("--height", type=click.IntRange(1), metavar="N",
              help="The block at which it is made. Default: the last one.")
def checkpoint(
    config: Path | None, data: Path | None, genesis: Path | None, out: Path,
    height: int | None,
) -> int:
    """Make a checkpoint: a file from which others join without the blocks before it.

    It has the headers from genesis on, the seals that lead to its block, and the whole state
    after that. Publish the hash of its block where people trust you.
    """
    if config is not None and data is None and genesis is None:
        settings = load_settings(config)
        folder, file = settings.data, settings.genesis
    elif config is None and data is not None and genesis is not None:
        folder, file = data, genesis
    else:
        raise click.UsageError("give --config FILE, or --data FOLDER and --genesis FILE")
    chain, size_bytes = make_checkpoint(folder, load_genesis(file), out, height)
    click.echo(f"{out}: {size_bytes:,} bytes; block {chain.height:,} of chain "
               f"{chain.chain_id.hex()}, hash")
    click.echo(chain.head.digest.hex())
    return PASSED
