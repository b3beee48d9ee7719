"""The crypto floor: what a run's own cryptography costs when nothing else happens.

A shared machine's speed drifts by half within minutes, and two of its processors may be one
core's two threads, each slower while the other is busy. One sample before a run told a floor
between 140 and 214 seconds for the same run; so it is sampled throughout, beside the workers.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from hashlib import sha256

import numpy as np
from nacl import bindings

from node.services.election import encode_choice

SAMPLE = 20
"""Of each operation at a time: four milliseconds in all."""

SAMPLE_EVERY_S = 2.0

_NONCE_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorCosts:
    """Nanoseconds of each operation of a ballot, bare over PyNaCl."""

    key_pair_ns: float
    box_key_ns: float
    box_ns: float
    sign_ns: float
    check_ns: float
    open_ns: float

    @property
    def ballot_ns(self) -> float:
        """The crypto floor of one ballot: one of each."""
        return (
            self.key_pair_ns + self.box_key_ns + self.box_ns
            + self.sign_ns + self.check_ns + self.open_ns
        )


def measure_crypto_floor(clock: Callable[[], int], sample: int = 400) -> FloorCosts:
    """Time bare loops of ``sample`` operations each; ``clock`` gives CPU nanoseconds."""
    assert sample > 0
    seeds = [sha256(number.to_bytes(8, "big")).digest() for number in range(sample)]
    nonce, plain = bytes(_NONCE_BYTES), encode_choice(1)
    recipient, opener = bindings.crypto_box_seed_keypair(seeds[0])
    marks = [clock()]
    pairs = [bindings.crypto_sign_seed_keypair(seed) for seed in seeds]
    marks.append(clock())
    publics = [bindings.crypto_scalarmult_base(seed) for seed in seeds]
    marks.append(clock())
    boxes = [bindings.crypto_box(plain, nonce, recipient, seed) for seed in seeds]
    marks.append(clock())
    signed = [
        bindings.crypto_sign(seed, pair[1]) for seed, pair in zip(seeds, pairs, strict=True)
    ]
    marks.append(clock())
    for message, pair in zip(signed, pairs, strict=True):
        bindings.crypto_sign_open(message, pair[0])
    marks.append(clock())
    for box, public in zip(boxes, publics, strict=True):
        bindings.crypto_box_open(box, nonce, public, opener)
    marks.append(clock())
    costs_ns: list[float] = (np.diff(np.array(marks)) / sample).tolist()
    return FloorCosts(
        key_pair_ns=costs_ns[0], box_key_ns=costs_ns[1], box_ns=costs_ns[2],
        sign_ns=costs_ns[3], check_ns=costs_ns[4], open_ns=costs_ns[5],
    )


class FloorMeter:
    """Samples the floor while a run lasts, by two clocks: CPU nanoseconds and wall seconds."""

    __slots__ = ("_cpu_ns", "_next_s", "_samples", "_wall_s")

    def __init__(self, cpu_ns: Callable[[], int], wall_s: Callable[[], float]) -> None:
        self._cpu_ns = cpu_ns
        self._wall_s = wall_s
        self._next_s = wall_s()
        self._samples: list[FloorCosts] = []

    def sample_if_due(self) -> None:
        """Take a sample if ``SAMPLE_EVERY_S`` have passed since the last."""
        if self._wall_s() < self._next_s:
            return
        # the first of each kind finds cold caches, which a bare run would not
        measure_crypto_floor(self._cpu_ns, sample=2)
        self._samples.append(measure_crypto_floor(self._cpu_ns, SAMPLE))
        self._next_s = self._wall_s() + SAMPLE_EVERY_S

    @property
    def costs(self) -> FloorCosts:
        """The mean of the samples; at least one was taken."""
        assert self._samples
        return FloorCosts(**{
            part.name: float(np.mean([getattr(one, part.name) for one in self._samples]))
            for part in fields(FloorCosts)
        })
