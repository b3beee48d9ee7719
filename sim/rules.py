"""The network's rules while faults last: a pure router below a list of verdicts.

A rule says of a frame about to leave: ``PASS``, ``DROP``, or so many nanoseconds of extra
delay. A dropped frame is gone for good, as on a connection that dies in a partition; the nodes
must fetch what they missed. A new fault adds one class here and edits none.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

from librt.vecs import vec
from mypy_extensions import i32

from sim.links import MASK, TABLE

Verdict: TypeAlias = int
"""``PASS``, ``DROP``, or a delay in nanoseconds above 0."""

PASS: Final = 0
DROP: Final = -1
RULE_STEP: Final = 7_919


class Rule(Protocol):
    """One fault of the network while it lasts."""

    def judge(self, sender: int, receiver: int, latency_ns: int, chance: int) -> Verdict:
        """``chance`` is an even draw from 0 to below ``TABLE``, independent for each frame."""
        ...


class Partition:
    """Groups that cannot hear each other; peers in no group hear everyone.

    A single group is cut off from all who are not in it. ``one_way``: only frames that leave
    the first group are lost, so it hears but is not heard.
    """

    __slots__ = ("_group", "_one_way")

    def __init__(
        self, peers: int, groups: Sequence[Sequence[int]], *, one_way: bool = False
    ) -> None:
        assert groups, "a partition has groups"
        # of two or more groups, those in none hear all (0); of one, they are the other (2)
        rest = 0 if len(groups) > 1 else 2
        self._group = [rest] * peers
        for number, members in enumerate(groups, start=1):
            for peer in members:
                assert self._group[peer] == rest, "groups do not overlap"
                self._group[peer] = number if number == 1 else number + 1
        self._one_way = one_way

    def judge(self, sender: int, receiver: int, latency_ns: int, chance: int) -> Verdict:
        """DROP between groups."""
        mine, other = self._group[sender], self._group[receiver]
        if mine == other or not mine or not other:
            return PASS
        return PASS if self._one_way and mine != 1 else DROP


class Loss:
    """A share of all frames to and from some peers is lost for good."""

    __slots__ = ("_below", "_is_touched")

    def __init__(self, peers: int, touched: Sequence[int], ratio: float) -> None:
        assert 0 <= ratio <= 1
        self._is_touched = _mark(peers, touched)
        self._below = round(ratio * TABLE)

    def judge(self, sender: int, receiver: int, latency_ns: int, chance: int) -> Verdict:
        """DROP by chance."""
        touched = self._is_touched[sender] or self._is_touched[receiver]
        return DROP if touched and chance < self._below else PASS


class SlowLink:
    """Links to and from some peers take ``factor`` times as long, and ``extra_ns`` more."""

    __slots__ = ("_extra_ns", "_is_touched", "_stretch_ppm")

    def __init__(
        self, peers: int, touched: Sequence[int], *, extra_ns: int = 0, factor: float = 1.0
    ) -> None:
        assert extra_ns >= 0
        assert factor >= 1
        self._is_touched = _mark(peers, touched)
        self._extra_ns = extra_ns
        # whole numbers: a delay must be the same on every machine
        self._stretch_ppm = round((factor - 1) * 1_000_000)

    def judge(self, sender: int, receiver: int, latency_ns: int, chance: int) -> Verdict:
        """The extra delay."""
        if not (self._is_touched[sender] or self._is_touched[receiver]):
            return PASS
        return self._extra_ns + latency_ns * self._stretch_ppm // 1_000_000


class RuleSet:
    """The rules in force. ``active`` is False when there are none: then nobody asks."""

    __slots__ = ("_chances", "_rules", "active")

    def __init__(self, chances: vec[i32]) -> None:
        assert len(chances) == TABLE
        self._chances = chances
        self._rules: list[Rule] = []
        self.active = False

    def add(self, rule: Rule) -> None:
        """Put a rule in force."""
        self._rules.append(rule)
        self.active = True

    def remove(self, rule: Rule) -> None:
        """End a rule that is in force."""
        self._rules = [other for other in self._rules if other is not rule]
        self.active = bool(self._rules)

    def judge(self, sender: int, receiver: int, latency_ns: int, index: int) -> Verdict:
        """DROP if any rule says so, else the sum of all delays."""
        delay_ns = 0
        for number, rule in enumerate(self._rules, start=1):
            # each rule looks at another place, or two equal rules would drop the same frames
            chance = int(self._chances[(index + number * RULE_STEP) & MASK])
            verdict = rule.judge(sender, receiver, latency_ns, chance)
            if verdict == DROP:
                return DROP
            delay_ns += verdict
        return delay_ns


def _mark(peers: int, touched: Sequence[int]) -> bytearray:
    marks = bytearray(peers)
    for peer in touched:
        marks[peer] = 1
    return marks
