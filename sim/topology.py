"""Who is in the city, where, on what machine, and who is linked to whom.

Validators form a full mesh; each relay is linked to a few validators; relays and observers
form a random gossip mesh that a ring keeps in one piece. Peers are numbered validators first,
then relays, then observers. Everything is drawn from the stream "topology".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from node.inputs import Role
from sim.errors import ConfigurationError, require_number, require_whole, suggest
from sim.streams import Streams, draw_integers

DATA = Path(__file__).parent / "data"
PRESETS = ("city", "country", "world")
PEERS_MAX = 100_000
GIGABIT = 1_000_000_000
BPS_MAX = 400 * GIGABIT
MEGABIT = 1_000_000
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareProfile:
    """One sort of machine with its access to the network.

    ``speed_ratio`` is relative to the machine of the cost table. ``access_ns`` is the last
    mile one way, ``jitter_ns`` its mean extra delay, ``loss_ratio`` the share of packets that
    it loses.
    """

    name: str
    cores: int
    speed_ratio: float
    disk_sync_ns: int
    uplink_bps: int
    downlink_bps: int
    inbox_bytes_max: int
    access_ns: int
    jitter_ns: int
    loss_ratio: float

    def __post_init__(self) -> None:
        for field in ("cores", "speed_ratio", "uplink_bps", "downlink_bps", "inbox_bytes_max"):
            if getattr(self, field) <= 0:
                raise ConfigurationError(field, getattr(self, field), "give more than 0")
        for field in ("uplink_bps", "downlink_bps"):
            if getattr(self, field) > BPS_MAX:
                remedy = f"give at most {BPS_MAX}"
                raise ConfigurationError(field, getattr(self, field), remedy)
        for field in ("disk_sync_ns", "access_ns", "jitter_ns"):
            if getattr(self, field) < 0:
                raise ConfigurationError(field, getattr(self, field), "give 0 or more")
        if not 0 <= self.loss_ratio < 1:
            raise ConfigurationError("loss_ratio", self.loss_ratio, "give 0 to below 1")


SERVER = HardwareProfile(
    name="server", cores=8, speed_ratio=1.0, disk_sync_ns=1_000_000,
    uplink_bps=GIGABIT, downlink_bps=GIGABIT, inbox_bytes_max=64 * MEBIBYTE,
    access_ns=50_000, jitter_ns=20_000, loss_ratio=0.0,
)
HOME = HardwareProfile(
    name="home", cores=4, speed_ratio=0.7, disk_sync_ns=3_000_000,
    uplink_bps=100 * MEGABIT, downlink_bps=100 * MEGABIT, inbox_bytes_max=16 * MEBIBYTE,
    access_ns=1_000_000, jitter_ns=400_000, loss_ratio=0.0001,
)
MOBILE = HardwareProfile(
    name="mobile", cores=4, speed_ratio=0.5, disk_sync_ns=5_000_000,
    uplink_bps=10 * MEGABIT, downlink_bps=30 * MEGABIT, inbox_bytes_max=16 * MEBIBYTE,
    access_ns=18_000_000, jitter_ns=7_000_000, loss_ratio=0.005,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyConfig:
    """How many peers of each role, where, and how densely meshed.

    Mesh degrees are GossipSub's D, D_lo and D_hi. ``mobile_ratio`` is the share of observers
    behind a mobile link; the others have fibre at home.
    """

    validators: int = 25
    relays: int = 75
    observers: int = 900
    preset: str = "city"
    validators_per_relay: int = 3
    mesh_degree: int = 6
    mesh_degree_min: int = 5
    mesh_degree_max: int = 12
    mobile_ratio: float = 0.15

    def __post_init__(self) -> None:
        require_whole("validators", self.validators, 1, 1_000)
        require_whole("relays", self.relays, 1, PEERS_MAX)
        require_whole("observers", self.observers, 0, PEERS_MAX)
        require_whole("validators_per_relay", self.validators_per_relay, 1, 1_000)
        require_whole("mesh_degree_max", self.mesh_degree_max, 2, 100)
        require_whole("mesh_degree", self.mesh_degree, 2, self.mesh_degree_max)
        require_whole("mesh_degree_min", self.mesh_degree_min, 1, self.mesh_degree)
        if self.peers > PEERS_MAX:
            raise ConfigurationError("peers", self.peers, f"give at most {PEERS_MAX} together")
        if self.preset not in PRESETS:
            raise ConfigurationError("preset", self.preset, suggest(self.preset, PRESETS))
        require_number("mobile_ratio", self.mobile_ratio, 0, 1)

    @property
    def peers(self) -> int:
        """All peers together."""
        return self.validators + self.relays + self.observers


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSpec:
    """One peer; ``region`` is an index into ``Topology.regions``."""

    index: int
    role: Role
    region: int
    profile: HardwareProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The built city. ``neighbours[peer]`` lists, ascending, the peers linked to it."""

    config: TopologyConfig
    regions: tuple[str, ...]
    one_way_ns: tuple[tuple[int, ...], ...]
    peers: tuple[PeerSpec, ...]
    neighbours: tuple[tuple[int, ...], ...]

    @classmethod
    def build(cls, config: TopologyConfig, streams: Streams) -> "Topology":
        """Draw a city; the same config and seed give the same one."""
        generator = streams("topology")
        regions, shares, one_way_ns = _load_preset(config.preset)
        peers = _place(config, shares, generator)
        links: list[set[int]] = [set() for _ in peers]
        _link_validators(links, config)
        _link_relays(links, config, generator)
        _link_mesh(links, config, generator)
        neighbours = tuple(tuple(sorted(own)) for own in links)
        assert _is_connected(neighbours), "every peer can reach every other"
        return cls(
            config=config, regions=regions, one_way_ns=one_way_ns, peers=peers,
            neighbours=neighbours,
        )

    @property
    def validators(self) -> range:
        """Indices of the validators."""
        return range(self.config.validators)

    @property
    def relays(self) -> range:
        """Indices of the relays."""
        first = self.config.validators
        return range(first, first + self.config.relays)

    @property
    def observers(self) -> range:
        """Indices of the observers."""
        return range(self.config.validators + self.config.relays, self.config.peers)

    def get_indices(self, role: Role) -> range:
        """Indices of the peers of one role."""
        if role is Role.VALIDATOR:
            return self.validators
        return self.relays if role is Role.RELAY else self.observers


def _load_preset(
    preset: str,
) -> tuple[tuple[str, ...], list[int], tuple[tuple[int, ...], ...]]:
    table = json.loads((DATA / f"regions_{preset}.json").read_text(encoding="utf-8"))
    names = tuple(table["regions"])
    one_way_ns = tuple(tuple(us * 1_000 for us in row) for row in table["one_way_us"])
    assert len(names) == len(one_way_ns) == len(table["shares"])
    assert one_way_ns == tuple(zip(*one_way_ns, strict=True)), "both ways take equally long"
    return names, table["shares"], one_way_ns


def _place(
    config: TopologyConfig, shares: Sequence[int], generator: np.random.Generator
) -> tuple[PeerSpec, ...]:
    peers: list[PeerSpec] = []
    counts = ((Role.VALIDATOR, config.validators), (Role.RELAY, config.relays),
              (Role.OBSERVER, config.observers))
    for role, count in counts:
        mobile = round(count * config.mobile_ratio) if role is Role.OBSERVER else 0
        profiles = [MOBILE] * mobile
        profiles += [HOME if role is Role.OBSERVER else SERVER] * (count - mobile)
        order = generator.permutation(count).tolist()
        regions = generator.permutation(_apportion(count, shares)).tolist()
        for place, region in zip(order, regions, strict=True):
            peers.append(PeerSpec(
                index=len(peers), role=role, region=region, profile=profiles[place],
            ))
    assert len(peers) == config.peers
    return tuple(peers)


def _apportion(count: int, shares: Sequence[int]) -> list[int]:
    # largest remainders: the shares are met as exactly as whole peers can
    total = sum(shares)
    whole = [count * share // total for share in shares]
    remainders = [(-(count * share % total), region) for region, share in enumerate(shares)]
    for _, region in sorted(remainders)[: count - sum(whole)]:
        whole[region] += 1
    assert sum(whole) == count
    return [region for region, number in enumerate(whole) for _ in range(number)]


def _link(links: list[set[int]], one: int, other: int) -> None:
    assert one != other, "nobody is linked to itself"
    links[one].add(other)
    links[other].add(one)


def _link_validators(links: list[set[int]], config: TopologyConfig) -> None:
    for one in range(config.validators):
        for other in range(one):
            _link(links, one, other)


def _link_relays(
    links: list[set[int]], config: TopologyConfig, generator: np.random.Generator
) -> None:
    count = config.validators
    # dealing shuffled validators round gives all of them relays, if there are enough
    each = min(count, max(config.validators_per_relay, -(-count // config.relays)))
    shuffled = generator.permutation(count).tolist()
    for turn in range(config.relays):
        for card in range(turn * each, turn * each + each):
            _link(links, count + turn, shuffled[card % count])


def _link_mesh(
    links: list[set[int]], config: TopologyConfig, generator: np.random.Generator
) -> None:
    first, count = config.validators, config.relays + config.observers
    mesh: list[set[int]] = [set() for _ in range(count)]
    # too few for the degree: all know all
    if count - 1 <= config.mesh_degree:
        for one in range(count):
            mesh[one].update(other for other in range(count) if other != one)
    else:
        # a ring through all keeps the mesh in one piece whatever is drawn afterwards
        ring = generator.permutation(count).tolist()
        for one, other in zip(ring, ring[1:] + ring[:1], strict=True):
            _link(mesh, one, other)
        _thicken(mesh, config, generator)
    for one, own in enumerate(mesh):
        links[first + one].update(first + other for other in own)


def _thicken(
    mesh: list[set[int]], config: TopologyConfig, generator: np.random.Generator
) -> None:
    count = len(mesh)
    draw = draw_integers(generator, count)
    for one in generator.permutation(count).tolist():
        tries = 0
        while len(mesh[one]) < config.mesh_degree:
            other = draw()
            tries += 1
            # whoever still lacks links comes first; after many misses anyone with room does
            room = config.mesh_degree if tries < 50 else config.mesh_degree_max
            if other != one and len(mesh[other]) < room:
                _link(mesh, one, other)
            if tries > 200:
                break
    assert all(len(own) >= config.mesh_degree_min for own in mesh), "D_lo is reached"
    assert all(len(own) <= config.mesh_degree_max for own in mesh), "D_hi is kept"


def _is_connected(neighbours: tuple[tuple[int, ...], ...]) -> bool:
    reached = [False] * len(neighbours)
    reached[0] = True
    frontier = [0]
    while frontier:
        for other in neighbours[frontier.pop()]:
            if not reached[other]:
                reached[other] = True
                frontier.append(other)
    return all(reached)
