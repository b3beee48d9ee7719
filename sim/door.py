"""The waiting room: when the hall is full, who came first enters first.

Moscow 2021 let voters wait up to 15 minutes for a ballot, later 1.5; for 2024 a waiting room
was planned. Voters are rows in order of arrival, so that the queue is two numbers.
"""

from sim.errors import ConfigurationError


class Door:
    """Lets in at most ``concurrency_max`` sessions at a time.

    Raises ConfigurationError for a limit that is not positive.
    """

    __slots__ = ("_concurrency_max", "admitted", "arrived")

    def __init__(self, concurrency_max: int) -> None:
        if concurrency_max < 1:
            raise ConfigurationError("door_concurrency_max", concurrency_max, "give 1 or more")
        self._concurrency_max = concurrency_max
        self.arrived = 0
        self.admitted = 0

    @property
    def waiting(self) -> int:
        """How many stand outside."""
        return self.arrived - self.admitted

    def admit(self, arrived: int, active: int) -> range:
        """The rows that enter, given that rows up to ``arrived`` have come.

        ``active`` sessions are inside.
        """
        assert arrived >= self.arrived, (arrived, self.arrived)
        self.arrived = arrived
        room = max(0, min(self._concurrency_max - active, self.waiting))
        first = self.admitted
        self.admitted += room
        assert self.admitted <= self.arrived
        return range(first, self.admitted)
