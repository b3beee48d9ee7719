"""``node.toml``: what the operator of one machine decides.

    role = "relay"
    genesis = "genesis.json"          # paths are relative to this file
    key = "node.key"
    data = "data"
    listen = "0.0.0.0:7400"           # a port alone listens on 127.0.0.1
    http = "7480"

    [[peers]]
    address = "10.0.0.7:7400"
    identity = "8a88e3dd...0c"        # 64 hex digits
    role = "validator"

    [limits]
    inbound_max = 64

    [http_limits]
    rate_per_s = 50                   # requests of one address

What all nodes of a chain must agree on is not here but in the genesis file.
"""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from node.host.errors import SettingsError
from node.host.files import load_file
from node.host.genesis import (
    decode_genesis,
    decode_key,
    encode_genesis,
    load_genesis,
    save_genesis,
)
from node.host.limits import HttpLimits, Limits
from node.host.table import Table
from node.inputs import Role
from node.types import PublicKey

__all__ = [
    "Address", "HttpLimits", "Limits", "PeerAddress", "Settings", "decode_genesis",
    "decode_settings", "encode_genesis",
    "encode_settings", "load_genesis", "load_settings", "parse_address",
    "save_genesis", "save_settings",
]

LOOPBACK = "127.0.0.1"
CHECK_THREADS_MAX = 256
CLOCK_SPEED_MAX = 10_000.0
PEERS_MAX = 4_096


class Address(NamedTuple):
    """Where to listen or dial. Port 0 lets the system choose one to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class PeerAddress(NamedTuple):
    """A peer that this node dials and keeps dialling, and who must answer there."""

    host: str
    port: int
    identity: PublicKey
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One node's settings; raises SettingsError for a value out of its range.

    ``http`` serves reads; ``http_submit`` lets clients submit transactions there too, on a
    relay; ``http_limits`` is what they may take of the node. ``events`` is a file to which the
    node's events are added, a JSON line each. ``check_threads`` check signatures beside the
    node; with 0 it does so itself, which costs less where there are more nodes than cores.

    ``clock_speed`` other than 1 makes both clocks run so many times as fast from
    ``clock_origin_ns`` on (real time, nanoseconds since 1970), to live a day of a cluster on
    one machine in minutes. All nodes and users of that chain must do the same; a node of a real
    city that does it proposes blocks of the future, and its peers refuse them.
    """

    role: Role
    genesis: Path
    key: Path
    data: Path
    listen: Address | None = None
    peers: tuple[PeerAddress, ...] = ()
    http: Address | None = None
    http_submit: bool = False
    events: Path | None = None
    check_threads: int = 2
    clock_speed: float = 1.0
    clock_origin_ns: int = 0
    limits: Limits = field(default_factory=Limits)
    http_limits: HttpLimits = field(default_factory=HttpLimits)

    def __post_init__(self) -> None:
        if not 0 <= self.check_threads <= CHECK_THREADS_MAX:
            raise SettingsError(
                "check_threads", self.check_threads, f"give 0 to {CHECK_THREADS_MAX}"
            )
        if not 0 < self.clock_speed <= CLOCK_SPEED_MAX:  # also refuses what is not a number
            raise SettingsError(
                "clock_speed", self.clock_speed, f"give 1, or up to {CLOCK_SPEED_MAX:g}"
            )
        if not 0 <= self.clock_origin_ns < 2**63:
            raise SettingsError(
                "clock_origin_ns", self.clock_origin_ns, "give nanoseconds since 1970"
            )
        if self.clock_speed != 1 and self.clock_origin_ns == 0:
            raise SettingsError(
                "clock_origin_ns", 0, "say from when on a clock of another speed runs"
            )
        if self.http_submit and self.role is not Role.RELAY:
            raise SettingsError(
                "http_submit", self.http_submit, "only a relay takes transactions"
            )
        if len({peer.identity for peer in self.peers}) != len(self.peers):
            raise SettingsError("peers", len(self.peers), "name each identity once")


def load_settings(path: Path) -> Settings:
    """The settings in a TOML file. Raises SettingsError that names the file and the field."""
    folder = path.absolute().parent

    def decode(data: bytes) -> Settings:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise SettingsError("config", str(error), "give a text in UTF-8") from error
        return decode_settings(text, folder)

    return load_file(path, "config", "make one with: veche node init", decode)


def decode_settings(text: str, folder: Path) -> Settings:
    """As ``load_settings``, for a text whose paths are relative to ``folder``."""
    try:
        table: dict[str, object] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError("config", str(error), "correct the TOML") from error
    reader = Table(table, "", tuple(item.name for item in fields(Settings)))
    events = reader.take("events", str, "")
    return Settings(
        role=_decode_role(reader),
        genesis=folder / reader.require("genesis", str),
        key=folder / reader.require("key", str),
        data=folder / reader.require("data", str),
        listen=_take_address(reader, "listen"),
        peers=tuple(_decode_peers(reader)),
        http=_take_address(reader, "http"),
        http_submit=reader.take("http_submit", bool, False),  # noqa: FBT003  # the default
        events=folder / events if events else None,
        check_threads=reader.take("check_threads", int, 2),
        clock_speed=reader.take_number("clock_speed", 1.0),
        clock_origin_ns=reader.take("clock_origin_ns", int, 0),
        limits=_decode_limits(reader),
        http_limits=_decode_http_limits(reader),
    )


def encode_settings(settings: Settings, folder: Path) -> str:
    """The TOML text; paths below ``folder`` are told relative to it."""
    lines = [f"role = {_quote(settings.role.value)}"]
    for name in ("genesis", "key", "data", "events"):
        path = getattr(settings, name)
        if path is not None:
            inner = path.relative_to(folder) if path.is_relative_to(folder) else path
            lines.append(f"{name} = {_quote(str(inner))}")
    for name in ("listen", "http"):
        address = getattr(settings, name)
        if address is not None:
            lines.append(f"{name} = {_quote(str(address))}")
    lines += [
        f"http_submit = {str(settings.http_submit).lower()}",
        f"check_threads = {settings.check_threads}",
        f"clock_speed = {float(settings.clock_speed)!r}",
        f"clock_origin_ns = {settings.clock_origin_ns}",
    ]
    for peer in settings.peers:
        address = Address(peer.host, peer.port)
        lines += [
            "", "[[peers]]", f"address = {_quote(str(address))}",
            f"identity = {_quote(peer.identity.hex())}", f"role = {_quote(peer.role.value)}",
        ]
    for name, limits in (("limits", settings.limits), ("http_limits", settings.http_limits)):
        lines += ["", f"[{name}]"]
        lines += [f"{item.name} = {getattr(limits, item.name)!r}" for item in fields(limits)]
    return "\n".join(lines) + "\n"


def save_settings(settings: Settings, path: Path) -> None:
    """Write a node.toml that ``load_settings`` reads; OSError as it comes."""
    path.write_text(encode_settings(settings, path.absolute().parent), encoding="utf-8")


def parse_address(name: str, text: str) -> Address:
    """``host:port``, ``[v6]:port`` or ``port`` alone, which means loopback. SettingsError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host = LOOPBACK
    elif host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise SettingsError(name, text, "write an IPv6 address as [address]:port")
    if host and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 2**16:
        return Address(host, int(port))
    raise SettingsError(name, text, "give host:port, with a port of 0 to 65535")


def _take_address(table: Table, name: str) -> Address | None:
    text = table.take(name, str, "")
    return parse_address(table.name(name), text) if text else None


def _decode_role(table: Table) -> Role:
    value = table.require("role", str)
    try:
        return Role(value)
    except ValueError as error:
        names = ", ".join(role.value for role in Role)
        raise SettingsError(table.name("role"), value, f"the roles are {names}") from error


def _decode_peers(table: Table) -> Iterator[PeerAddress]:
    for at, value in enumerate(table.list("peers", PEERS_MAX)):
        peer = Table(value, f"peers[{at}]", ("address", "identity", "role"))
        name = peer.name("address")
        host, port = parse_address(name, peer.require("address", str))
        if port == 0:
            raise SettingsError(name, f"{host}:0", "give the port on which the peer listens")
        identity = decode_key(peer.name("identity"), peer.get("identity"))
        yield PeerAddress(host, port, identity, _decode_role(peer))


def _decode_limits(table: Table) -> Limits:
    names = tuple(item.name for item in fields(Limits))
    limits = Table(table.get("limits") or {}, "limits", names)
    usual = Limits()
    take, number = limits.take, limits.take_number
    return Limits(
        inbound_max=take("inbound_max", int, usual.inbound_max),
        pending_max=take("pending_max", int, usual.pending_max),
        handshake_timeout_s=number("handshake_timeout_s", usual.handshake_timeout_s),
        idle_timeout_s=number("idle_timeout_s", usual.idle_timeout_s),
        ping_interval_s=number("ping_interval_s", usual.ping_interval_s),
        evictable_after_s=number("evictable_after_s", usual.evictable_after_s),
        outbound_bytes_max=take("outbound_bytes_max", int, usual.outbound_bytes_max),
        backoff_min_s=number("backoff_min_s", usual.backoff_min_s),
        backoff_max_s=number("backoff_max_s", usual.backoff_max_s),
        accept_pause_s=number("accept_pause_s", usual.accept_pause_s),
    )


def _decode_http_limits(table: Table) -> HttpLimits:
    names = tuple(item.name for item in fields(HttpLimits))
    limits = Table(table.get("http_limits") or {}, "http_limits", names)
    usual = HttpLimits()
    take, number = limits.take, limits.take_number
    per_address = "connections_per_address_max"
    return HttpLimits(
        rate_per_s=number("rate_per_s", usual.rate_per_s),
        burst=take("burst", int, usual.burst),
        addresses_max=take("addresses_max", int, usual.addresses_max),
        in_flight_max=take("in_flight_max", int, usual.in_flight_max),
        connections_max=take("connections_max", int, usual.connections_max),
        connections_per_address_max=take(per_address, int, usual.connections_per_address_max),
        body_timeout_s=number("body_timeout_s", usual.body_timeout_s),
        answer_timeout_s=number("answer_timeout_s", usual.answer_timeout_s),
        write_timeout_s=number("write_timeout_s", usual.write_timeout_s),
        idle_timeout_s=number("idle_timeout_s", usual.idle_timeout_s),
        accept_pause_s=number("accept_pause_s", usual.accept_pause_s),
        batch_bytes_max=take("batch_bytes_max", int, usual.batch_bytes_max),
    )


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
