"""Named streams of chance."""

import numpy as np
import pytest

from sim.errors import ConfigurationError
from sim.streams import BATCH, Streams, draw_integers, draw_strata


def test_a_stream_is_a_function_of_seed_and_name():
    first = Streams(7)("links").random(5).tolist()
    assert Streams(7)("links").random(5).tolist() == first
    assert Streams(8)("links").random(5).tolist() != first
    assert Streams(7)("faults").random(5).tolist() != first


def test_another_consumer_moves_no_ones_draws():
    alone = Streams(1)("links").random(3).tolist()
    streams = Streams(1)
    streams("newcomer").random(1000)
    assert streams("links").random(3).tolist() == alone


def test_batched_draws_are_the_vectors_values_and_go_on_after_a_batch():
    draw = draw_integers(Streams(1)("a"), 10**12)
    values = [draw() for _ in range(BATCH + 2)]
    vector = Streams(1)("a").integers(0, 10**12, BATCH).tolist()
    assert values[:BATCH] == vector[::-1]
    assert len(set(values)) == BATCH + 2
    assert all(type(value) is int for value in values)
    dice = draw_integers(Streams(1)("i"), 6)
    assert {dice() for _ in range(200)} == set(range(6))


def test_strata_cover_every_part_once():
    strata = draw_strata(Streams(1)("s"), 100)
    assert np.sort(strata).tolist() == pytest.approx([(i + 0.5) / 100 for i in range(100)])


@pytest.mark.parametrize("seed", [-1, 2**63, True, 1.5])
def test_an_impossible_seed_is_refused_with_its_value(seed: int):
    with pytest.raises(ConfigurationError, match="seed="):
        Streams(seed)
