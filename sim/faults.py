"""Faults as values: what happens, when, for how long, to whom; and the schedule that does it.

    crash validators=3 at=09:30 for=20m         three of them, drawn by the seed
    crash validators=f at=09:30 disk=lost       as many as may fail, for good
    pause peers=0,4 at=+90s for=10s             these two, 90 s after the run's start
    partition validators=1 oneway=yes at=12:00  it hears, and is not heard

Without ``for`` a fault lasts until the end of the run. A new fault adds one class: the verbs
are those of ``Fault``'s subclasses, each with an example of its own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np

from node.inputs import Role
from sim.errors import ConfigurationError, suggest
from sim.kernel import Kernel
from sim.rules import Loss, Partition, Rule, RuleSet, SlowLink
from sim.streams import Streams
from sim.times import (
    SECOND_NS,
    format_duration,
    format_time,
    parse_duration_ns,
    parse_time_ns,
)
from sim.topology import Topology

ROLE_WORDS = {"validators": Role.VALIDATOR, "relays": Role.RELAY, "observers": Role.OBSERVER}


class City(Protocol):
    """What faults need of the simulated city. Verbs return False if there was nothing to do."""

    @property
    def topology(self) -> Topology:
        """Who there is."""
        ...

    @property
    def rules(self) -> RuleSet:
        """The network's rules in force."""
        ...

    def crash(self, peer: int, *, keep_disk: bool) -> bool:
        """Switch a peer off."""
        ...

    def restart(self, peer: int) -> bool:
        """Switch a peer on with what its disk holds."""
        ...

    def pause(self, peer: int) -> bool:
        """Let a peer stand still."""
        ...

    def resume(self, peer: int) -> bool:
        """Let a paused peer go on."""
        ...

    def fill_disk(self, peer: int) -> bool:
        """Let a peer's disk take nothing more, which its node does not survive."""
        ...

    def slow(self, peer: int, factor: float) -> None:
        """Work on a peer takes ``factor`` times as long as usual; 1 ends it."""
        ...

    def step_clock(self, peer: int, by_ns: int) -> None:
        """Set a peer's realtime clock forward or back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Some peers: ``indices``, or an ``amount`` of a role, of a region, or of all.

    An amount is a number, a percentage, "all", or "f": as many validators as may fail.
    """

    role: Role | None = None
    amount: str = "all"
    indices: tuple[int, ...] = ()
    region: str = ""

    def __str__(self) -> str:
        """As the command line would say it."""
        if self.indices:
            return "peers=" + ",".join(map(str, self.indices))
        word = "peers" if self.role is None else f"{self.role.value}s"
        region = f" region={self.region}" if self.region else ""
        return f"{word}={self.amount}{region}"

    def resolve(self, topology: Topology, generator: np.random.Generator) -> tuple[int, ...]:
        """Draw the peers, in ascending order; ConfigurationError if there are not so many."""
        if self.indices:
            for index in self.indices:
                if index >= len(topology.peers):
                    remedy = f"give numbers from 0 to {len(topology.peers) - 1}"
                    raise ConfigurationError("peers", index, remedy)
            return tuple(sorted(set(self.indices)))
        if self.region and self.region not in topology.regions:
            raise ConfigurationError(
                "region", self.region, suggest(self.region, topology.regions)
            )
        known = [
            peer.index for peer in topology.peers
            if self.role in (None, peer.role)
            and self.region in ("", topology.regions[peer.region])
        ]
        count = self._compute_count(len(known), len(topology.validators))
        if not 0 < count <= len(known):
            word = "peers" if self.role is None else f"{self.role.value}s"
            raise ConfigurationError(word, self.amount, f"give 1 to {len(known)} of them")
        chosen = generator.permutation(len(known))[:count].tolist()
        return tuple(sorted(known[place] for place in chosen))

    def _compute_count(self, known: int, validators: int) -> int:
        if self.amount == "all":
            return known
        if self.amount == "f":
            return (validators - 1) // 3
        if self.amount.endswith("%"):
            return round(known * float(self.amount[:-1]) / 100)
        return int(self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong at ``at_ns`` for ``for_ns``; 0 is until the end of the run.

    ``at_ns`` counts from local midnight, or from the run's start if ``since_start``.
    """

    verb: ClassVar[str] = ""
    example: ClassVar[str] = ""
    keys: ClassVar[tuple[str, ...]] = ()

    at_ns: int
    for_ns: int = 0
    who: Selection
    since_start: bool = False

    def __str__(self) -> str:
        """As the command line would say it, without the verb's own options."""
        at = format_time(self.at_ns)
        if self.since_start:
            at = f"+{format_duration(self.at_ns)}"
        lasts = f" for={format_duration(self.for_ns)}" if self.for_ns else ""
        return f"{self.verb} {self.who} at={at}{lasts}"

    def with_options(self, options: dict[str, str]) -> "Fault":
        """The same with its own options read; their names are among ``keys``."""
        assert not options
        return self

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """Do it; the result undoes it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(Fault):
    """Peers are switched off, and on again at the end, with or without their disks."""

    verb: ClassVar[str] = "crash"
    example: ClassVar[str] = "crash validators=f at=09:30 for=20m disk=lost"
    keys: ClassVar[tuple[str, ...]] = ("disk",)

    keep_disk: bool = True

    def with_options(self, options: dict[str, str]) -> "Crash":
        """``disk`` is kept or lost."""
        return replace(self, keep_disk=_parse_word(options, "disk", "kept", "lost"))

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """Only those that this fault switched off are switched on again."""
        mine = [peer for peer in peers if city.crash(peer, keep_disk=self.keep_disk)]

        def end() -> None:
            for peer in mine:
                city.restart(peer)

        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFull(Fault):
    """Disks are full: a node that cannot store goes off, and on again when there is room."""

    verb: ClassVar[str] = "disk-full"
    example: ClassVar[str] = "disk-full validators=1 at=09:30 for=5m"

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """What was stored before is still there."""
        mine = [peer for peer in peers if city.fill_disk(peer)]

        def end() -> None:
            for peer in mine:
                city.restart(peer)

        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Fault):
    """Peers stand still, as in a long collection of garbage or a migration."""

    verb: ClassVar[str] = "pause"
    example: ClassVar[str] = "pause peers=0,4 at=+90s for=10s"

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """Only those that this fault paused are resumed."""
        mine = [peer for peer in peers if city.pause(peer)]

        def end() -> None:
            for peer in mine:
                city.resume(peer)

        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowPeer(Fault):
    """Processors take ``factor`` times as long."""

    verb: ClassVar[str] = "slow-peer"
    example: ClassVar[str] = "slow-peer relays=10% factor=4 at=10:00"
    keys: ClassVar[tuple[str, ...]] = ("factor",)

    factor: float = 4.0

    def with_options(self, options: dict[str, str]) -> "SlowPeer":
        """``factor`` is from 1 to 1000."""
        return replace(self, factor=_parse_number(options, "factor", 1, 1_000, self.factor))

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """Of two on one peer the later counts, and the first end ends both."""
        for peer in peers:
            city.slow(peer, self.factor)

        def end() -> None:
            for peer in peers:
                city.slow(peer, 1.0)

        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset(Fault):
    """Realtime clocks are set wrong by ``offset_ns``, and right again at the end."""

    verb: ClassVar[str] = "clock"
    example: ClassVar[str] = "clock validators=1 offset=-30s at=08:00"
    keys: ClassVar[tuple[str, ...]] = ("offset",)

    offset_ns: int = 15 * SECOND_NS

    def with_options(self, options: dict[str, str]) -> "ClockOffset":
        """``offset`` is a duration, with a minus if clocks fall behind."""
        text = options.get("offset")
        if text is None:
            return self
        sign = -1 if text.startswith("-") else 1
        return replace(self, offset_ns=sign * parse_duration_ns("offset", text.lstrip("+-")))

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """Timers do not notice."""
        for peer in peers:
            city.step_clock(peer, self.offset_ns)

        def end() -> None:
            # back by as much, for clocks also drift of their own meanwhile
            for peer in peers:
                city.step_clock(peer, -self.offset_ns)

        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFault(Fault):
    """Peers are cut off from all others; one way, they only are not heard."""

    verb: ClassVar[str] = "partition"
    example: ClassVar[str] = "partition region=south at=12:00 for=5m"
    keys: ClassVar[tuple[str, ...]] = ("oneway",)

    one_way: bool = False

    def with_options(self, options: dict[str, str]) -> "PartitionFault":
        """``oneway`` is yes or no."""
        return replace(self, one_way=not _parse_word(options, "oneway", "no", "yes"))

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """A rule of the network."""
        count = len(city.topology.peers)
        return _enforce(city, Partition(count, (peers,), one_way=self.one_way))


@dataclass(frozen=True, slots=True, kw_only=True)
class LossFault(Fault):
    """A share of the frames to and from peers is lost for good."""

    verb: ClassVar[str] = "loss"
    example: ClassVar[str] = "loss observers=all ratio=0.05 at=12:00"
    keys: ClassVar[tuple[str, ...]] = ("ratio",)

    ratio: float = 0.1

    def with_options(self, options: dict[str, str]) -> "LossFault":
        """``ratio`` is from 0 to 1."""
        return replace(self, ratio=_parse_number(options, "ratio", 0, 1, self.ratio))

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """A rule of the network."""
        return _enforce(city, Loss(len(city.topology.peers), peers, self.ratio))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowLinkFault(Fault):
    """Links to and from peers take ``factor`` times as long and ``extra_ns`` more."""

    verb: ClassVar[str] = "slow-link"
    example: ClassVar[str] = "slow-link validators=all extra=80ms at=12:00"
    keys: ClassVar[tuple[str, ...]] = ("extra", "factor")

    extra_ns: int = 0
    factor: float = 1.0

    def with_options(self, options: dict[str, str]) -> "SlowLinkFault":
        """``extra`` is a duration, ``factor`` from 1 to 1000."""
        return replace(
            self,
            extra_ns=parse_duration_ns("extra", options.get("extra", "0s")),
            factor=_parse_number(options, "factor", 1, 1_000, self.factor),
        )

    def begin(self, city: City, peers: tuple[int, ...]) -> Callable[[], None]:
        """A rule of the network."""
        rule = SlowLink(
            len(city.topology.peers), peers, extra_ns=self.extra_ns, factor=self.factor
        )
        return _enforce(city, rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """A fault with its peers and virtual instants; ``end_ns`` is None if it does not end."""

    fault: Fault
    peers: tuple[int, ...]
    begin_ns: int
    end_ns: int | None


class FaultSchedule:
    """The faults of one run. ``planned`` is filled by ``install``, for reports to shade."""

    __slots__ = ("_faults", "planned")

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = tuple(faults)
        self.planned: tuple[PlannedFault, ...] = ()

    def install(
        self, kernel: Kernel, city: City, streams: Streams, *, midnight_ns: int, start_ns: int
    ) -> None:
        """Draw each fault's peers and put its begin on the kernel.

        ``midnight_ns`` and ``start_ns`` are virtual instants. Raises ConfigurationError for a
        fault before the start, or a selection that the city cannot fill. A fault's draws depend
        only on the seed and its place in the list.
        """
        assert not self.planned, "a schedule is installed once"
        planned = []
        for number, fault in enumerate(self._faults):
            begin_ns = fault.at_ns + (start_ns if fault.since_start else midnight_ns)
            if begin_ns < start_ns:
                opening = format_time(start_ns - midnight_ns)
                raise ConfigurationError(
                    f"{fault.verb} at", format_time(fault.at_ns),
                    f"the run starts at {opening}; give a later time",
                )
            # a stream for each: adding one at the end moves no other's peers
            peers = fault.who.resolve(city.topology, streams(f"faults.{number}"))
            planned.append(PlannedFault(
                fault=fault, peers=peers, begin_ns=begin_ns,
                end_ns=begin_ns + fault.for_ns if fault.for_ns else None,
            ))
        self.planned = tuple(planned)
        for plan in planned:
            kernel.at(plan.begin_ns, _begin, (plan, kernel, city))


def get_fault_kinds() -> dict[str, type[Fault]]:
    """Every kind that can be written, by its verb, in the alphabet's order."""
    # No table of verbs to edit: a class that exists can be written. A slotted dataclass is
    # made twice, and its first make may still be there: the later one of a verb is it.
    kinds = {kind.verb: kind for kind in Fault.__subclasses__()}
    return dict(sorted(kinds.items()))


def parse_fault(text: str) -> Fault:
    """Read a fault as the module shows them; ConfigurationError names what is wrong."""
    verb, *rest = text.split() or [""]
    kinds = get_fault_kinds()
    if verb not in kinds:
        raise ConfigurationError("fault", verb, suggest(verb, kinds))
    kind = kinds[verb]
    options: dict[str, str] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals or not value or key in options:
            raise ConfigurationError("fault", word, "write each option once, as name=value")
        options[key] = value
    known = (*ROLE_WORDS, "peers", "region", "at", "for", *kind.keys)
    for key in options:
        if key not in known:
            raise ConfigurationError(f"{verb} option", key, suggest(key, known))
    if "at" not in options:
        raise ConfigurationError("fault", text, "say when: at=09:30, or at=+90s from the start")
    at = options["at"]
    fault = kind(
        at_ns=_parse_at_ns(at),
        since_start=at.startswith("+"),
        for_ns=parse_duration_ns("for", options["for"]) if "for" in options else 0,
        who=_parse_selection(text, options),
    )
    return fault.with_options({key: options[key] for key in kind.keys if key in options})


def _begin(planned: tuple[PlannedFault, Kernel, City]) -> None:
    plan, kernel, city = planned
    undo = plan.fault.begin(city, plan.peers)
    if plan.end_ns is not None:
        kernel.at(plan.end_ns, _end, undo)


def _end(undo: Callable[[], None]) -> None:
    undo()


def _enforce(city: City, rule: Rule) -> Callable[[], None]:
    city.rules.add(rule)
    return lambda: city.rules.remove(rule)


def _parse_selection(text: str, options: dict[str, str]) -> Selection:
    ways = [key for key in (*ROLE_WORDS, "peers") if key in options]
    region = options.get("region", "")
    if len(ways) > 1 or (not ways and not region):
        raise ConfigurationError("fault", text, "say who, once: validators=3 or peers=0,4")
    if not ways:
        return Selection(region=region)
    amount = options[ways[0]]
    if ways[0] != "peers":
        if not re.fullmatch(r"all|f|[1-9]\d*|\d+(\.\d+)?%", amount):
            raise ConfigurationError(ways[0], amount, "give a number, 10%, all or f")
        return Selection(role=ROLE_WORDS[ways[0]], amount=amount, region=region)
    if re.fullmatch(r"all|\d+(\.\d+)?%", amount):
        return Selection(amount=amount, region=region)
    if region or not re.fullmatch(r"\d+(,\d+)*", amount):
        raise ConfigurationError("peers", amount, "give numbers such as 0,4,7 without region")
    return Selection(indices=tuple(int(index) for index in amount.split(",")))


def _parse_at_ns(text: str) -> int:
    if text.startswith("+"):
        return parse_duration_ns("at", text[1:])
    try:
        return parse_time_ns("at", text)
    except ConfigurationError as error:
        remedy = f"{error.remedy}, or +90s from the run's start"
        raise ConfigurationError("at", text, remedy) from error


def _parse_number(
    options: dict[str, str], key: str, low: float, high: float, default: float
) -> float:
    text = options.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ConfigurationError(key, text, f"give a number from {low:g} to {high:g}")
    return value


def _parse_word(options: dict[str, str], key: str, default: str, other: str) -> bool:
    word = options.get(key, default)
    if word not in (default, other):
        raise ConfigurationError(key, word, f"give {default} or {other}")
    return word == default
