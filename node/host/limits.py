"""How much a node gives to strangers and to slow peers: numbers, and the rules that use them.

The rules are pure: who has to go when there is no room, and how long to wait before dialling
again. All times are seconds of the local monotonic clock.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from node.host.errors import SettingsError

BATCH_BYTES_MAX = 64 * 1024 * 1024
"""A batch is decoded whole, in the task that serves all others too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The numbers of a node's links. Raises SettingsError if one is not positive.

    ``inbound_max`` slots are for observers; validators and relays of the genesis have their
    own. ``pending_max`` connections may be in their handshake. A peer says something every
    ``ping_interval_s``, if only that it is there; after three intervals without a word its
    identity may link anew, after ``idle_timeout_s`` the link ends. An observer's link without a
    frame for ``evictable_after_s`` makes room for a newcomer.
    """

    inbound_max: int = 64
    pending_max: int = 64
    handshake_timeout_s: float = 5
    idle_timeout_s: float = 60
    ping_interval_s: float = 5
    evictable_after_s: float = 300
    outbound_bytes_max: int = 16 * 1024 * 1024
    backoff_min_s: float = 0.25
    backoff_max_s: float = 30
    accept_pause_s: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = f"limits.{field.name}", getattr(self, field.name)
            if name.endswith("_s"):
                if type(value) not in (int, float) or not 0 < value < 2**31:
                    raise SettingsError(name, value, "give a positive number")
            elif type(value) is not int or not 0 < value < 2**40:
                raise SettingsError(name, value, "give a positive whole number")
        if self.silent_after_s >= self.idle_timeout_s:
            raise SettingsError(
                "limits.ping_interval_s", self.ping_interval_s,
                f"give less than a third of idle_timeout_s={self.idle_timeout_s}",
            )
        if self.backoff_min_s > self.backoff_max_s:
            raise SettingsError(
                "limits.backoff_min_s", self.backoff_min_s,
                f"give at most backoff_max_s={self.backoff_max_s}",
            )

    @property
    def silent_after_s(self) -> float:
        """From when on a link that says nothing no longer stands for its identity."""
        return 3 * self.ping_interval_s


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What strangers may take of a node. Raises SettingsError if one is out of its range.

    Requests: ``rate_per_s`` and ``burst`` for each address, ``in_flight_max`` for all. A body
    must come within ``body_timeout_s``, an answer within ``answer_timeout_s``, and be taken by
    its reader, piece by piece, within ``write_timeout_s``. A connection without a request ends
    after ``idle_timeout_s``, whether nothing comes or half a head (slow-loris). A batch of
    transactions has at most ``batch_bytes_max``; one alone, what the chain's rules say.
    """

    rate_per_s: float = 50
    burst: int = 200
    addresses_max: int = 4_096
    in_flight_max: int = 64
    connections_max: int = 256
    connections_per_address_max: int = 64
    body_timeout_s: float = 5
    answer_timeout_s: float = 15
    write_timeout_s: float = 10
    idle_timeout_s: float = 5
    accept_pause_s: float = 0.1
    batch_bytes_max: int = 1024 * 1024

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            is_whole = not item.name.endswith("_s")
            if type(value) not in ((int,) if is_whole else (int, float)) or not (
                0 < value < 2**31
            ):
                kind = "positive whole number" if is_whole else "positive number"
                raise SettingsError(f"http_limits.{item.name}", value, f"give a {kind}")
        if self.connections_per_address_max > self.connections_max:
            raise SettingsError(
                "http_limits.connections_per_address_max", self.connections_per_address_max,
                f"give at most connections_max, which is {self.connections_max}",
            )
        if self.batch_bytes_max > BATCH_BYTES_MAX:
            raise SettingsError(
                "http_limits.batch_bytes_max", self.batch_bytes_max,
                f"give at most {BATCH_BYTES_MAX}",
            )


class Backoff:
    """How long to wait before each further attempt: doubling up to a cap, with jitter.

    The jitter takes up to half off, so that a city that lost its power does not dial in step;
    ``random`` gives numbers in [0, 1). A link that lasted gets a new Backoff.
    """

    __slots__ = ("_ceiling_s", "_max_s", "_random")

    def __init__(self, limits: Limits, random: Callable[[], float]) -> None:
        self._ceiling_s = limits.backoff_min_s
        self._max_s = limits.backoff_max_s
        self._random = random

    def compute_next_s(self) -> float:
        """The wait before the next attempt; each call is one more failure."""
        wait_s = self._ceiling_s * (1 - self._random() / 2)
        self._ceiling_s = min(2 * self._ceiling_s, self._max_s)
        assert 0 < wait_s <= self._max_s
        return wait_s


class Holder(NamedTuple):
    """Who holds one place: from which address, and since when it was of no use."""

    address: str
    useless_since_s: float


def choose_crowded(holders: Sequence[Holder]) -> int:
    """Which holder goes: of the address that holds most, the one longest of no use.

    So whoever floods a node from one address drives out only itself.
    """
    assert holders
    held = Counter(holder.address for holder in holders)
    return min(
        range(len(holders)),
        key=lambda index: (-held[holders[index].address], holders[index].useless_since_s),
    )


def choose_evicted(
    holders: Sequence[Holder], newcomer: str, now_s: float, limits: Limits
) -> int | None:
    """Which observer's link makes room for one from the address ``newcomer``; None: it waits.

    First an address gives up a link that holds at least two more than the newcomer's does; then
    whoever was longest without a frame goes, if that is ``evictable_after_s``. So newcomers
    alone, however many, cannot drive out those who take part.
    """
    held = Counter(holder.address for holder in holders)
    crowded = choose_crowded(holders)
    if held[holders[crowded].address] > held[newcomer] + 1:
        return crowded
    useless = min(range(len(holders)), key=lambda index: holders[index].useless_since_s)
    if now_s - holders[useless].useless_since_s >= limits.evictable_after_s:
        return useless
    return None
