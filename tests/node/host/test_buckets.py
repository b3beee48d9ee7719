from hypothesis import given
from hypothesis import strategies as st

from node.host.buckets import Buckets, compute_bucket

SECOND_NS = 1_000_000_000


def test_a_burst_is_served_at_once_and_then_one_an_interval():
    buckets = Buckets(rate_per_s=10, burst=3, addresses_max=8)
    assert [buckets.take("a", 0) for _ in range(4)] == [0, 0, 0, SECOND_NS // 10]
    assert buckets.take("a", SECOND_NS // 10) == 0
    assert buckets.take("a", SECOND_NS // 10) == SECOND_NS // 10
    assert buckets.take("b", 0) == 0


def test_a_refused_request_costs_nothing():
    buckets = Buckets(rate_per_s=1, burst=1, addresses_max=8)
    assert buckets.take("a", 0) == 0
    for _ in range(5):
        assert buckets.take("a", 0) == SECOND_NS
    assert buckets.take("a", SECOND_NS) == 0


def test_the_table_is_bounded_and_forgets_who_asked_longest_ago():
    buckets = Buckets(rate_per_s=1, burst=1, addresses_max=2)
    for address in "abac":
        buckets.take(address, 0)
    assert len(buckets) == 2
    assert buckets.take("a", 0) > 0
    assert buckets.take("b", 0) == 0


def test_a_home_s_network_has_one_bucket_however_it_is_written():
    assert compute_bucket("2001:db8::1") == compute_bucket("2001:0db8:0:0:ffff::2%eth0")
    assert compute_bucket("2001:db8:0:1::1") != compute_bucket("2001:db8::1")
    assert compute_bucket("::ffff:10.0.0.1") == compute_bucket("10.0.0.1") == "10.0.0.1"
    assert compute_bucket("not an address") == "not an address"


@given(
    st.lists(st.integers(0, SECOND_NS), max_size=200), st.integers(1, 20),
    st.sampled_from((0.5, 3, 50)),
)
def test_nobody_is_served_more_than_burst_and_rate_allow(gaps_ns, burst, rate_per_s):
    buckets = Buckets(rate_per_s, burst, 4)
    now_ns = served = 0
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        wait_ns = buckets.take("a", now_ns)
        served += wait_ns == 0
        assert served <= burst + rate_per_s * now_ns / SECOND_NS + 1e-6
        if wait_ns:
            assert wait_ns <= SECOND_NS / rate_per_s + 1
