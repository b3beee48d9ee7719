"""A folder for each node of a cluster: its key, its settings, the chain's genesis."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.processors import count_cores
from node.host.genesis import save_genesis
from node.host.keystore import create_key
from node.host.settings import (
    LOOPBACK,
    Address,
    HttpLimits,
    Limits,
    PeerAddress,
    Settings,
    save_settings,
)
from node.inputs import Role
from node.params import Genesis
from node.types import PublicKey
from sim.topology import Topology

PORTS_FROM = 20_000
PORTS_TO = 32_000
"""Below what Linux gives to outgoing connections, which may come before a node listens."""

HTTP_LIMITS = HttpLimits(rate_per_s=100_000, burst=400_000, idle_timeout_s=60)
"""The driver is all users at once."""

LINK_LIMITS = Limits(backoff_min_s=0.05, backoff_max_s=1.0)
"""Who was killed is dialled again soon: a minute of a cluster's day is a few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node lives; ``dials`` are the indices of those whom it dials."""

    index: int
    name: str
    role: Role
    identity: PublicKey
    folder: Path
    port: int
    http_port: int | None
    dials: tuple[int, ...]

    @property
    def config(self) -> Path:
        """Its settings."""
        return self.folder / "node.toml"

    @property
    def events(self) -> Path:
        """Where it tells what happens."""
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        """What it says on standard error."""
        return self.folder / "stderr.log"

    @property
    def data(self) -> Path:
        """Its disk."""
        return self.folder / "data"


def find_ports(count: int) -> list[int]:
    """Ports of the loopback that are free now. Raises OSError if there are not so many."""
    span = PORTS_TO - PORTS_FROM
    start = os.getpid() * 97 % span
    found: list[int] = []
    for step in range(span):
        port = PORTS_FROM + (start + step) % span
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"there are only {len(found)} free ports from {PORTS_FROM} to {PORTS_TO}")


def plan_places(
    folder: Path, topology: Topology, genesis: Genesis, keys: list[PublicKey]
) -> list[Place]:
    """Names, ports, neighbours; each pair of neighbours is one link, dialled by the later."""
    assert genesis.validators == tuple(keys[: topology.config.validators])
    roles = [spec.role for spec in topology.peers]
    relays = sum(role is Role.RELAY for role in roles)
    ports = find_ports(len(roles) + relays)
    places = []
    seen = dict.fromkeys(Role, 0)
    for spec in topology.peers:
        role = spec.role
        name = f"{role.value}-{seen[role]}"
        places.append(Place(
            index=spec.index, name=name, role=role, identity=keys[spec.index],
            folder=folder / name, port=ports[spec.index],
            http_port=ports[len(roles) + seen[role]] if role is Role.RELAY else None,
            dials=tuple(other for other in topology.neighbours[spec.index]
                        if other < spec.index),
        ))
        seen[role] += 1
    return places


def furnish(
    places: list[Place], genesis: Genesis, secrets: dict[PublicKey, bytes], *, speed: float,
    origin_ns: int, get_dial_port: Callable[[int, int], int],
) -> None:
    """Make every node's folder. ``get_dial_port(from, to)`` may name a proxy's.

    Nodes that are at least as many as the cores check signatures themselves: threads that hand
    the interpreter to one another took 5 % of the processor, and have no core to gain by it.
    """
    check_threads = 0 if len(places) >= count_cores() else 1
    for place in places:
        place.folder.mkdir(mode=0o700, parents=True)
        key, genesis_path = place.folder / "node.key", place.folder / "genesis.json"
        create_key(key, secrets[place.identity])
        save_genesis(genesis, genesis_path)
        peers = tuple(
            PeerAddress(
                LOOPBACK, get_dial_port(place.index, other), places[other].identity,
                places[other].role,
            )
            for other in place.dials
        )
        http = None if place.http_port is None else Address(LOOPBACK, place.http_port)
        save_settings(Settings(
            role=place.role, genesis=genesis_path, key=key, data=place.data,
            listen=Address(LOOPBACK, place.port), peers=peers, http=http,
            http_submit=http is not None, http_limits=HTTP_LIMITS,
            events=place.events, check_threads=check_threads, clock_speed=speed,
            clock_origin_ns=origin_ns, limits=LINK_LIMITS,
        ), place.config)
