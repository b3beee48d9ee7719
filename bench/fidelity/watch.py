"""What the processes of a town tell in their files, as far as a load has to know it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.cluster.follower import Follower, Told
from bench.cluster.places import Place


@dataclass(frozen=True, slots=True)
class Proposed:
    """A block that a validator built: when, who, and how many transactions are in it."""

    at_ns: int
    by: int
    transactions: int


class Watch:
    """Reads along. ``finals[peer]`` has (instant, digest) by height, ``final`` the number of
    transactions that the first relay holds in final blocks, ``height`` the last of those.
    """

    def __init__(self, places: Sequence[Place], first_relay: int) -> None:
        self.final = 0
        self.height = 0
        self.listening = [False] * len(places)
        self.proposed: dict[str, Proposed] = {}
        self.finals: list[dict[int, tuple[int, str]]] = [{} for _ in places]
        self.counters: list[dict[str, float]] = [{} for _ in places]
        self._first_relay = first_relay
        self._followers = [Follower(place.events) for place in places]

    @property
    def has_begun(self) -> bool:
        """Whether all listen and hold a block."""
        return all(self.listening) and all(self.finals)

    @property
    def final_ns(self) -> int:
        """When the first relay held its last block."""
        return self.finals[self._first_relay][self.height][0]

    def find_proposer(self, height: int) -> int:
        """Who built a block that the first relay holds."""
        return self.proposed[self.finals[self._first_relay][height][1]].by

    def look(self) -> None:
        """Take in what is new: validators first, so that a final block is known by then."""
        for peer, follower in enumerate(self._followers):
            for told in follower.read():
                self._upon(peer, told)
        finals = self.finals[self._first_relay]
        while (known := finals.get(self.height + 1)) is not None and known[1] in self.proposed:
            self.height += 1
            self.final += self.proposed[known[1]].transactions

    def _upon(self, peer: int, told: Told) -> None:
        fields = told.fields
        if told.name == "BlockProposed":
            count = fields["transactions"]
            assert isinstance(count, int)
            self.proposed[str(fields["digest"])] = Proposed(told.at_ns, peer, count)
        elif told.name == "BlockFinal":
            height = fields["height"]
            assert isinstance(height, int)
            self.finals[peer].setdefault(height, (told.at_ns, str(fields["digest"])))
        elif told.name == "Listening":
            self.listening[peer] = True
        elif told.name == "Stopped":
            counters = fields["counters"]
            assert isinstance(counters, dict)
            self.counters[peer] = {
                name: value for name, value in counters.items()
                if isinstance(value, int | float)
            }
