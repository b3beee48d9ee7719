"""The town and the load that both hosts are given: the same bytes at the same moments.

The chain's identity does not depend on the host: genesis lies at a fixed time before either
begins, so that the ballots, signed once, are good for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import Pool

from bench.ballots import make_ballots, make_deeds, make_grants, make_identity
from node.chain import Chain
from node.crypto import Identity
from node.params import Genesis, Params
from sim.identities import derive_identities, derive_identity, derive_secrets, make_genesis
from sim.streams import Streams
from sim.topology import HardwareProfile, Topology, TopologyConfig

SEED = 3
SECOND_NS = 1_000_000_000
GENESIS_NS = 1_000 * SECOND_NS
TICK_NS = 20_000_000
"""How often the load generator hands in what has come due."""

OUTSTANDING = 16_000
"""Not final yet, at most, of a load that saturates: some blocks' worth."""

DEED = -1
"""Stands for the registrar among those who hand in; voters are numbered from 0."""

FIRST_VOTER = 10
CHUNK = 1_000
GRANTS = 100
GIGABIT = 1_000_000_000

PARAMS = Params(
    block_interval_ns=SECOND_NS, round_timeout_ns=2 * SECOND_NS,
    bundle_lead_ns=300_000_000, sender_pending_max=1_000_000,
)
"""A cluster's usual second; a registrar may have many transactions under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Ballots at ``rate_per_s``, or with 0 as many as go, for ``seconds``.

    The steady part begins ``warm_s`` after the beginning and ends ``cool_s`` before the end.
    With ``kills`` the next proposer is killed in the middle.
    """

    rate_per_s: float
    seconds: float
    warm_s: float = 5.0
    cool_s: float = 2.0
    kills: bool = False

    def __post_init__(self) -> None:
        assert self.rate_per_s >= 0
        assert self.warm_s + self.cool_s < self.seconds, "something is steady"

    @property
    def is_saturating(self) -> bool:
        """Whether it goes by what is final, not by the clock."""
        return self.rate_per_s == 0


class Pacer:
    """How many ballots are due at each tick, for both hosts alike.

    ``intended_ns`` are the moments from which waiting counts. A load that saturates intends
    them when there is room.
    """

    def __init__(self, load: Load, begin_ns: int, available: int) -> None:
        self.begin_ns = begin_ns
        self.end_ns = begin_ns + round(load.seconds * SECOND_NS)
        self.intended_ns: list[int] = []
        self._load = load
        self._available = available

    def take(self, now_ns: int, final: int) -> range:
        """Numbers of the ballots to hand in now, when so many of all before are final."""
        done = len(self.intended_ns)
        load = self._load
        if load.is_saturating:
            count = max(0, OUTSTANDING - (done - final))
            moments = [now_ns] * min(count, self._available - done)
        else:
            every_ns = SECOND_NS / load.rate_per_s
            due = int((min(now_ns, self.end_ns) - self.begin_ns) / every_ns)
            moments = [self.begin_ns + round(number * every_ns)
                       for number in range(done, min(due, self._available))]
        self.intended_ns += moments
        return range(done, len(self.intended_ns))


@dataclass(frozen=True)
class Town:
    """Validators and relays on one machine, an open voting, and its ballots."""

    topology: Topology
    identities: Sequence[Identity]
    chief: Identity
    genesis: Genesis
    voters: int

    @cached_property
    def chain_id(self) -> bytes:
        """For which chain everything is signed."""
        return Chain(self.genesis).chain_id

    @cached_property
    def grants(self) -> list[bytes]:
        """The registrar's first transactions: wherever they are, the state is the same."""
        return make_grants(self.chief, GRANTS, self.chain_id)

    @cached_property
    def deeds(self) -> list[bytes]:
        """The registrar's others before the first ballot."""
        return make_deeds(
            self.chief, self._make_voters(), self.chain_id, first_nonce=GRANTS + 1
        )

    @cached_property
    def ballots(self) -> list[bytes]:
        """One of each voter, in the order in which they are handed in."""
        chunks = [
            (first, min(CHUNK, self.voters - first), self.chain_id)
            for first in range(0, self.voters, CHUNK)
        ]
        with Pool() as pool:
            return [ballot for made in pool.map(_make_chunk, chunks) for ballot in made]

    def derive_secrets(self) -> dict[bytes, bytes]:
        """For the nodes' key files."""
        return derive_secrets(SEED, self.topology)

    def _make_voters(self) -> list[Identity]:
        return [make_identity(FIRST_VOTER + number) for number in range(self.voters)]


def _make_chunk(chunk: tuple[int, int, bytes]) -> list[bytes]:
    first, count, chain_id = chunk
    voters = [make_identity(FIRST_VOTER + first + number) for number in range(count)]
    return make_ballots(voters, chain_id)


def make_loopback(one_way_ns: int, disk_sync_ns: int) -> HardwareProfile:
    """A process of this machine, as a peer's hardware: what one core of it does alone."""
    return HardwareProfile(
        name="loopback", cores=1, speed_ratio=1.0, disk_sync_ns=disk_sync_ns,
        uplink_bps=40 * GIGABIT, downlink_bps=40 * GIGABIT, inbox_bytes_max=1 << 30,
        access_ns=one_way_ns // 2, jitter_ns=0, loss_ratio=0.0,
    )


def build_town(
    *, validators: int, relays: int, voters: int, profile: HardwareProfile,
) -> Town:
    """The same town for both hosts; only the simulated one looks at ``profile``."""
    config = TopologyConfig(validators=validators, relays=relays, observers=0)
    drawn = Topology.build(config, Streams(SEED))
    regions = len(drawn.regions)
    topology = replace(
        drawn, peers=tuple(replace(peer, profile=profile) for peer in drawn.peers),
        one_way_ns=((0,) * regions,) * regions,
    )
    identities = derive_identities(SEED, topology)
    chief = derive_identity(SEED, "registrar")
    genesis = make_genesis(topology, identities, chief, PARAMS, GENESIS_NS)
    return Town(topology, identities, chief, genesis, voters)
