"""A cluster that stays up when its day is over, for citizens who join it."""

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cluster.places import Place
from node.host.settings import LOOPBACK, Address
from node.inputs import Role
from sim.times import SECOND_NS, format_duration

CHECKPOINT = "city.checkpoint"


@dataclass(frozen=True, slots=True)
class Stay:
    """For how long, by the wall clock; ``for_s`` is infinite if only Ctrl-C ends it."""

    for_s: float

    def say(self, lines: Sequence[str]) -> None:
        """On standard error, for the result is what standard output is for."""
        sys.stderr.write("\n".join(["", *lines, ""]))
        sys.stderr.flush()


def describe_stay(places: Sequence[Place], chain_id: bytes, for_s: float) -> list[str]:
    """Where a citizen joins, and with which words."""
    until = "until Ctrl-C"
    if for_s != math.inf:
        until = f"for {format_duration(int(for_s * SECOND_NS))}, or {until}"
    relay = next(place for place in places if place.role is Role.RELAY)
    join = f"veche node --join {Address(LOOPBACK, relay.port)} --chain-id {chain_id.hex()}"
    lines = [
        f"  The day is over; its {len(places)} nodes stay up {until}.",
        "  The verdict and the page come after that.",
        "  A citizen syncs, recounts, and says whether the published result agrees:",
        f"    {join}",
    ]
    if relay.http_port is not None:
        lines += ["  A page on which a ballot's proof is checked in the browser:",
                  f"    http://{Address(LOOPBACK, relay.http_port)}/"]
    config = shlex.quote(str(shorten(relay.config)))
    return [
        *lines, "  From a checkpoint, without the blocks before it:",
        f"    veche node checkpoint --config {config} --out {CHECKPOINT}",
        f"    {join} --checkpoint {CHECKPOINT}",
    ]


def shorten(path: Path) -> Path:
    """As it is named from here, if it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
