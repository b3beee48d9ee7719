import pytest

from node.host.errors import SettingsError
from node.host.limits import Backoff, Holder, Limits, choose_crowded, choose_evicted

LIMITS = Limits(evictable_after_s=50)


@pytest.mark.parametrize(("field", "value"), [
    ("inbound_max", 0), ("inbound_max", 1.5), ("inbound_max", True), ("pending_max", "many"),
    ("idle_timeout_s", -1), ("idle_timeout_s", float("nan")), ("idle_timeout_s", float("inf")),
    ("ping_interval_s", 20), ("backoff_min_s", 31),
])
def test_a_limit_that_cannot_be_is_refused_by_name(field, value):
    with pytest.raises(SettingsError, match=rf"^limits\.{field}="):
        Limits(**{field: value})


def test_the_wait_doubles_up_to_its_cap():
    backoff = Backoff(Limits(backoff_min_s=1, backoff_max_s=10), lambda: 0.0)
    assert [backoff.compute_next_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_jitter_takes_up_to_half_off():
    backoff = Backoff(Limits(backoff_min_s=4, backoff_max_s=8), iter([0.5, 1.0]).__next__)
    assert [backoff.compute_next_s() for _ in range(2)] == [3, 4]


def test_the_oldest_of_the_most_crowded_address_goes_first():
    holders = [Holder("a", 1), Holder("b", 3), Holder("b", 2), Holder("a", 5), Holder("b", 9)]
    assert choose_crowded(holders) == 2
    assert choose_crowded([Holder("a", 2), Holder("b", 1)]) == 1


def test_a_newcomer_takes_a_place_from_an_address_that_has_many():
    holders = [Holder("a", 99), Holder("b", 98), Holder("b", 97)]
    assert choose_evicted(holders, "c", 100, LIMITS) == 2
    assert choose_evicted(holders, "a", 100, LIMITS) is None
    assert choose_evicted(holders, "b", 100, LIMITS) is None


def test_a_newcomer_takes_the_place_of_who_was_longest_of_no_use():
    holders = [Holder("a", 50), Holder("b", 40), Holder("c", 60)]
    assert choose_evicted(holders, "d", 100, LIMITS) == 1
    assert choose_evicted(holders, "d", 89, LIMITS) is None
