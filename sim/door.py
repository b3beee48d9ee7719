"""The waiting room: when the hall is full, who came first enters first.

Moscow 2021 let voters wait up to 15 minutes for a ballot, later 1.5; for 2024 a waiting room
was planned. Voters are rows in order of arrival, so that the queue is two numbers.
"""

from sim.errors import ConfigurationError

_SECOND_NS = 1_000_000_000


class Door:
    """Lets in at most ``concurrency_max`` sessions at a time, and so many per second.

    A rate of None does not limit. Raises ConfigurationError for a limit that is not positive.
    """

    __slots__ = ("_concurrency_max", "_enough_ns", "_rate_per_s", "_since_ns", "admitted",
                 "arrived", "longest")

    def __init__(self, concurrency_max: int, rate_per_s: int | None = None) -> None:
        if concurrency_max < 1:
            raise ConfigurationError("door_concurrency_max", concurrency_max, "give 1 or more")
        if rate_per_s is not None and rate_per_s < 1:
            raise ConfigurationError("door_rate_per_s", rate_per_s, "give 1 or more")
        self._concurrency_max = concurrency_max
        self._rate_per_s = rate_per_s
        self._since_ns: int | None = None
        self._enough_ns = 0
        self.arrived = 0
        self.admitted = 0
        self.longest = 0

    @property
    def waiting(self) -> int:
        """How many stand outside."""
        return self.arrived - self.admitted

    def admit(self, arrived: int, active: int, now_ns: int) -> range:
        """The rows that enter, given that rows up to ``arrived`` have come.

        ``active`` sessions are inside.
        """
        assert arrived >= self.arrived, (arrived, self.arrived)
        self.arrived = arrived
        room = max(0, min(self._concurrency_max - active, self.waiting))
        if self._rate_per_s is not None:
            room = min(room, self._take_allowance(now_ns, room))
        first = self.admitted
        self.admitted += room
        self.longest = max(self.longest, self.waiting)
        assert self.admitted <= self.arrived
        return range(first, self.admitted)

    def _take_allowance(self, now_ns: int, wanted: int) -> int:
        # What is not used within a second is lost: an idle hour permits no stampede.
        assert self._rate_per_s is not None
        passed_ns = 0 if self._since_ns is None else now_ns - self._since_ns
        self._since_ns = now_ns
        self._enough_ns = min(
            self._enough_ns + passed_ns * self._rate_per_s, _SECOND_NS * self._rate_per_s
        )
        allowed = min(wanted, self._enough_ns // _SECOND_NS)
        self._enough_ns -= allowed * _SECOND_NS
        return allowed
