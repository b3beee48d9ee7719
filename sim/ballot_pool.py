"""Worker processes that make a city's ballots ahead, and open the boxes when there is time."""

from functools import partial

from sim.ballots import CHUNK_ROWS, BallotMaker
from sim.electorate import BallotRules
from sim.workers import Maker, WorkerCrew

LOOKAHEAD_CHUNKS = 192
"""What quiet minutes can make for a busy hour: a quarter of the city's ballots, 180 MB."""

_INDEX_BYTES = 8
_MAKE, _OPEN = b"m", b"o"


class BallotPool:
    """A ``ChunkSource`` (sim.ballots): a bounded number of chunks is asked for ahead.

    ``close`` leaves no process.
    """

    __slots__ = ("_asked", "_chunks", "_crew", "_lookahead", "_next", "_numbers")

    def __init__(
        self, rules: BallotRules, workers: int, lookahead: int = LOOKAHEAD_CHUNKS
    ) -> None:
        assert lookahead >= 1
        self._chunks = -(-rules.users // CHUNK_ROWS)
        self._lookahead = lookahead
        self._asked = 0
        self._next = 0
        self._numbers: dict[tuple[bytes, int], int] = {}  # of requests, by kind and chunk
        self._crew = WorkerCrew(
            partial(make_ballot_maker, rules), min(workers, self._chunks)
        )
        try:
            self._ask_ahead(0)
        except BaseException:
            self.close()
            raise

    @property
    def process_ids(self) -> list[int]:
        """The workers' process ids, for whoever measures them."""
        return self._crew.process_ids

    def get(self, index: int) -> bytes:
        """The frame of chunk ``index``, waiting for it; raises WorkerDied."""
        assert 0 <= index < self._chunks
        self._ask_ahead(index)
        return self._take(_MAKE, index)

    def pump(self) -> None:
        """Take in finished answers; raises WorkerDied."""
        self._crew.pump()

    @property
    def is_idle(self) -> bool:
        """Whether the worker whose turn it is has answered everything."""
        return self._crew.is_free(self._next)

    def ask_opening(self, index: int, sealed: bytes) -> None:
        """Have these boxes opened."""
        self._ask(_OPEN, index, sealed)

    def get_opening(self, index: int) -> bytes:
        """What was in the boxes of chunk ``index``, waiting for it; raises WorkerDied."""
        return self._take(_OPEN, index)

    def close(self) -> None:
        """End the workers; closing twice is harmless."""
        self._crew.close()

    def _ask_ahead(self, index: int) -> None:
        upto = min(index + self._lookahead, self._chunks)
        for wanted in range(self._asked, upto):
            self._ask(_MAKE, wanted, wanted.to_bytes(_INDEX_BYTES, "big"))
        self._asked = max(self._asked, upto)

    def _ask(self, kind: bytes, index: int, request: bytes) -> None:
        number = self._next
        assert (kind, index) not in self._numbers
        self._numbers[kind, index] = number
        self._next += 1
        self._crew.ask(number, kind + request)

    def _take(self, kind: bytes, index: int) -> bytes:
        return self._crew.get(self._numbers.pop((kind, index)))


def make_ballot_maker(rules: BallotRules) -> Maker:
    """Makes the chunk of ballots whose index is the request, or opens the boxes that are it."""
    maker = BallotMaker(rules)

    def answer(request: bytes) -> bytes:
        kind, rest = request[:1], request[1:]
        if kind == _OPEN:
            return maker.open_chunk(rest)
        assert kind == _MAKE, kind
        return maker.make_chunk(int.from_bytes(rest, "big"))

    return answer
