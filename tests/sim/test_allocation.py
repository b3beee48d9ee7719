"""The judge's own reckoning of who gets which place, and its measure of order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.allocation import Filed, allocate, find_pool_of
from sim.inversions import count_inversions
from sim.slots import Slots

VEGETABLES, MEAT = 1, 2
INDIVIDUALS, FARMERS, FIRMS = 0, 1, 2


def file(slot, row, pool, *, site=0, trade=VEGETABLES, periods=(0,)):
    return Filed(slot, row, site, trade, pool, tuple(periods))


def test_first_come_is_first_served():
    filed = [file(slot, slot, INDIVIDUALS) for slot in (5, 2, 9)]
    verdict = allocate(filed, {(0, VEGETABLES, 0): [2, 0, 0]})
    assert verdict.granted == {(5, 0), (2, 0)}
    assert verdict.waiting == {((0, VEGETABLES, 0), INDIVIDUALS): [9]}


def test_an_individual_gets_one_place_a_weekend_anywhere():
    filed = [file(0, 7, INDIVIDUALS), file(1, 7, INDIVIDUALS, site=1)]
    stalls = {(0, VEGETABLES, 0): [1, 0, 0], (1, VEGETABLES, 0): [1, 0, 0]}
    verdict = allocate(filed, stalls)
    assert verdict.granted == {(0, 0)}
    assert not verdict.waiting


def test_a_firm_gets_more_at_another_site_but_after_everyones_first():
    filed = [file(0, 7, FIRMS, trade=MEAT), file(1, 7, FIRMS, trade=MEAT, site=1),
             file(2, 8, FIRMS, trade=MEAT, site=1)]
    stalls = {(0, MEAT, 0): [0, 0, 1], (1, MEAT, 0): [0, 0, 1]}
    assert allocate(filed, stalls).granted == {(0, 0), (2, 0)}
    stalls[1, MEAT, 0][2] = 2
    assert allocate(filed, stalls).granted == {(0, 0), (1, 0), (2, 0)}


def test_what_farmers_leave_goes_to_individuals_and_back():
    filed = [file(slot, slot, INDIVIDUALS) for slot in range(3)]
    verdict = allocate(filed, {(0, VEGETABLES, 0): [1, 1, 1]})
    assert len(verdict.granted) == 3
    filed = [file(slot, slot, FARMERS) for slot in range(3)]
    assert len(allocate(filed, {(0, VEGETABLES, 0): [2, 1, 0]}).granted) == 3


def test_farmers_of_other_goods_are_firms():
    assert find_pool_of(4, VEGETABLES) == FARMERS
    assert find_pool_of(4, MEAT) == FIRMS
    assert find_pool_of(0, VEGETABLES) == INDIVIDUALS


competitors = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 1_000)), max_size=40
)


@settings(max_examples=100)
@given(competitors)
def test_inversions_are_those_that_two_loops_find(entries):
    entries = [(*entry[:2], 1_000 * entry[2] + at) for at, entry in enumerate(entries)]
    groups, clicks, sequences = (
        np.array([entry[column] for entry in entries], np.int64) for column in range(3)
    )
    found = count_inversions(groups, clicks, sequences)
    inverted = pairs = 0
    for one in entries:
        for other in entries:
            if one[0] == other[0] and one[2] < other[2]:
                pairs += 1
                inverted += one[1] > other[1]
    assert found == (inverted, pairs)


def test_slots_and_rows_find_each_other():
    slots = Slots(10, np.array([2, 5, 9]))
    assert slots.count == 13
    assert slots.rows_of(np.array([3, 10, 12])).tolist() == [3, 2, 9]
    assert slots.seconds_of(np.array([0, 2, 5, 9])).tolist() == [-1, 10, 11, 12]
    assert Slots(2, np.zeros(0, np.int64)).seconds_of(np.array([1])).tolist() == [-1]
