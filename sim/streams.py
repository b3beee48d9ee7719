"""Named streams of chance from one seed: adding a consumer moves no other's draws."""

from collections.abc import Callable
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from sim.errors import require_whole

BATCH = 4096
SEED_MAX = 2**63 - 1


class Streams:
    """``streams(name)`` is a function of (seed, name) alone.

    Asking twice for a name gives the same draws twice: every consumer owns its name.
    """

    __slots__ = ("seed",)

    def __init__(self, seed: int) -> None:
        require_whole("seed", seed, 0, SEED_MAX)
        self.seed = seed

    def __call__(self, name: str) -> np.random.Generator:
        """A fresh generator at the beginning of the stream."""
        # named explicitly: numpy's default generator may change between its versions
        return np.random.Generator(np.random.PCG64(self.compute_key(name)))

    def compute_key(self, name: str) -> int:
        """A 256-bit number for consumers that derive keys instead of drawing."""
        assert name, "a stream has a name"
        digest = sha256(f"veche stream {self.seed} {name}".encode()).digest()
        return int.from_bytes(digest, "big")


class Batched:
    """Python ints from a generator's vectors: a call costs a list's pop.

    A scalar draw of numpy is ten times dearer than this.
    """

    __slots__ = ("_refill", "_values")

    def __init__(self, refill: Callable[[], list[int]]) -> None:
        self._refill = refill
        self._values: list[int] = []

    def __call__(self) -> int:
        if not self._values:
            self._values = self._refill()
            assert self._values, "a refill gives values"
        return self._values.pop()


def draw_integers(generator: np.random.Generator, below: int) -> Batched:
    """Ints in [0, below)."""
    assert below > 0
    return Batched(lambda: generator.integers(0, below, BATCH).tolist())


def draw_strata(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """``count`` numbers in (0, 1), one from the middle of each of ``count`` equal parts.

    Their order is chance; their law is exact, so rare events are as rare as they should be.
    """
    assert count > 0
    strata: NDArray[np.float64] = (generator.permutation(count) + 0.5) / count
    return strata
