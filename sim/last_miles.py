"""How far users are from their relay: half on fibre, half mobile, whoever hosts the city."""

from typing import Final

import numpy as np

from sim.cityface import Nanoseconds
from sim.streams import Streams
from sim.topology import HOME, MOBILE

_MILES: Final = 1 << 16


class LastMiles:
    """One way between each user and a relay, drawn from the stream "last mile"."""

    __slots__ = ("_miles",)

    def __init__(self, streams: Streams) -> None:
        generator = streams("last mile")
        mobile = generator.random(_MILES) < 0.5
        spread = generator.exponential(1.0, _MILES)
        self._miles: Nanoseconds = np.where(
            mobile, MOBILE.access_ns + spread * MOBILE.jitter_ns,
            HOME.access_ns + spread * HOME.jitter_ns,
        ).astype(np.int64)

    def get_ns(self, rows: Nanoseconds) -> Nanoseconds:
        """The same for a row whenever asked."""
        assert len(self._miles) == _MILES
        miles: Nanoseconds = self._miles[(rows * 40_503) & (_MILES - 1)]
        return miles
