"""The genesis file: what a chain's founders sign off, as JSON that a person can read.

Keys are hex, times are nanoseconds, and the chain's id stands first: it is computed from all
the rest, so that a file which someone has touched is refused.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path

from node.block import VALIDATORS_MAX
from node.errors import InvalidParams
from node.host.errors import SettingsError
from node.host.files import FILE_BYTES_MAX, load_file
from node.host.table import Table
from node.params import Genesis, Params
from node.types import KEY_BYTES, PublicKey

FORMAT = "veche-genesis-1"
GENESIS_BYTES_MAX = FILE_BYTES_MAX
RELAYS_MAX = 4_096
_HEX = frozenset("0123456789abcdefABCDEF")
_NAMES = ("format", "chain_id", "time_ns", "registrar", "validators", "relays", "params")


def encode_genesis(genesis: Genesis) -> bytes:
    """The file's content; ``decode_genesis`` gives the same genesis back."""
    content = {
        "format": FORMAT,
        "chain_id": genesis.compute_chain_id().hex(),
        "time_ns": genesis.time_ns,
        "registrar": genesis.registrar.hex(),
        "validators": [key.hex() for key in genesis.validators],
        "relays": [key.hex() for key in genesis.relays],
        "params": asdict(genesis.params),
    }
    assert tuple(content) == _NAMES
    encoded = json.dumps(content, indent=2).encode() + b"\n"
    assert len(encoded) <= GENESIS_BYTES_MAX
    return encoded


def decode_genesis(data: bytes) -> Genesis:
    """Raises SettingsError with the field, its value and what to do; for any bytes."""
    if len(data) > GENESIS_BYTES_MAX:
        raise SettingsError("genesis", f"{len(data)} bytes", "this is no genesis file")
    try:
        content: object = json.loads(data, object_pairs_hook=_refuse_repeated)
    except (ValueError, RecursionError) as error:
        raise SettingsError("genesis", str(error), "give a JSON file") from error
    table = Table(content, "genesis", _NAMES)
    if table.require("format", str) != FORMAT:
        raise SettingsError("genesis.format", table.get("format"), f"give {FORMAT!r}")
    time_ns = table.require("time_ns", int)
    if not 0 <= time_ns < 2**63:
        raise SettingsError("genesis.time_ns", time_ns, "give nanoseconds since 1970")
    try:
        genesis = Genesis(
            params=_decode_params(table.get("params")),
            validators=_decode_keys(table, "validators", VALIDATORS_MAX),
            relays=_decode_keys(table, "relays", RELAYS_MAX),
            registrar=decode_key("genesis.registrar", table.get("registrar")),
            time_ns=time_ns,
        )
    except InvalidParams as error:
        raise SettingsError(f"genesis.{error.field}", error.value, error.remedy) from error
    chain_id = genesis.compute_chain_id().hex()
    if table.get("chain_id") != chain_id:
        raise SettingsError(
            "genesis.chain_id", table.get("chain_id"),
            f"the rest of the file gives {chain_id}: someone changed it; get it again",
        )
    return genesis


def save_genesis(genesis: Genesis, path: Path) -> None:
    """Write the file; OSError as it comes."""
    path.write_bytes(encode_genesis(genesis))


def load_genesis(path: Path) -> Genesis:
    """As ``decode_genesis``; SettingsError too for a file that cannot be read."""
    return load_file(path, "genesis", "give the chain's genesis file", decode_genesis)


def decode_key(field: str, value: object) -> PublicKey:
    """A public key from hex; raises SettingsError for ``field``."""
    if isinstance(value, str) and len(value) == 2 * KEY_BYTES and _HEX.issuperset(value):
        return bytes.fromhex(value)
    raise SettingsError(field, value, f"give a public key of {2 * KEY_BYTES} hex digits")


def _decode_params(value: object) -> Params:
    # Every number is there, so that a later version's defaults cannot change an old chain.
    names = tuple(field.name for field in fields(Params))
    table = Table(value, "genesis.params", names)
    numbers = {name: table.require(name, int) for name in names if name != "engine"}
    return Params(engine=table.require("engine", str), **numbers)


def _decode_keys(table: Table, name: str, count_max: int) -> tuple[PublicKey, ...]:
    field = table.name(name)
    keys = tuple(
        decode_key(f"{field}[{at}]", key) for at, key in enumerate(table.list(name, count_max))
    )
    if len(set(keys)) != len(keys):
        raise SettingsError(field, len(keys), "a key stands there twice")
    return keys


def _refuse_repeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands there twice")
    return table
