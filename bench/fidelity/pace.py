"""What the machine was like just before and just after a run, against its own cost table.

A machine is not always equally fast, nor do its cores always take equally much from one
another: another machine's work may come and go beside it. Both are asked in turns, at the same
moments, and answered on the same base, a pass on a core that works alone. So nothing counts
twice: speed is how far that differs from its price, contention what work beside others adds.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.ballots import make_identity
from bench.contention import Contention, Round, compute_contention, compute_ratios
from bench.trials import SIGNATURES, time_best_ns
from node.crypto import is_signature_valid
from node.work import WorkKind
from sim.costs import CostTable

ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a core is that works alone, against the table, and what others take from it."""

    speed_ratio: float = 1.0
    contention_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One look at the machine: what a check took alone, and rounds of all cores at work."""

    check_ns: float
    rounds: tuple[Round, ...]


def probe(contention: Contention) -> Probe:
    """Look now; some seconds in which nothing else should run."""
    checks, rounds = [], []
    for _ in range(ROUNDS):
        checks.append(time_check_ns())
        rounds.append(contention.measure())
    return Probe(statistics.median(checks), tuple(rounds))


def time_check_ns() -> float:
    """What a check of a signature takes on a core that works alone, timed as for a price."""
    identity, message = make_identity(1), bytes(32)
    signature = identity.sign(message)

    def check() -> None:
        for _ in range(SIGNATURES):
            is_signature_valid(identity.public, message, signature)

    return time_best_ns(check) / SIGNATURES


def compute_pace(costs: CostTable, probes: Sequence[Probe]) -> Pace:
    """The mean of what was found before and after."""
    check_ns = statistics.fmean(one.check_ns for one in probes)
    rounds = [each for one in probes for each in one.rounds]
    return Pace(
        costs.ns[WorkKind.CHECK_SIGNATURE] / check_ns,
        compute_contention(compute_ratios(rounds)),
    )
