from dataclasses import replace

import pytest

from node.mempool import Mempool
from node.verdict import Accept, Ignore, Reject
from tests.node.samples import PARAMS, make_sample_bundle, make_sample_transaction


def fill(*relays, each=1, params=PARAMS):
    pool = Mempool(params)
    for sequence in range(each):
        for relay in relays:
            assert pool.add(make_sample_bundle(relay, sequence)) == Accept()
    return pool


def name(bundles):
    relays = {make_sample_bundle(relay).relay: relay for relay in "abcdef"}
    return [f"{relays[bundle.relay]}{bundle.sequence}" for bundle in bundles]


def refuse(pool, bundle, verdict):
    before = pool.compute_digest()
    assert pool.add(bundle) == verdict
    assert pool.compute_digest() == before
    assert pool.select(1 << 30, 1 << 30) is not None


def test_relays_take_turns_in_order_of_arrival():
    pool = fill("b", "a", "c", each=2)
    assert name(pool.select(1 << 20, 100)) == ["b0", "a0", "c0", "b1", "a1", "c1"]
    assert name(pool.select(1 << 20, 100)) == ["b0", "a0", "c0", "b1", "a1", "c1"]


def test_one_loud_relay_does_not_starve_the_others():
    pool = fill("a", each=50)
    pool.add(make_sample_bundle("b", 0))
    assert name(pool.select(1 << 20, 3)) == ["a0", "b0", "a1"]


def test_a_served_relay_goes_to_the_end_of_the_line():
    pool = fill("a", "b", "c", each=3)
    served = []
    for height in range(1, 10):
        chosen = pool.select(1 << 20, 1)
        served += name(chosen)
        pool.upon_final(height, chosen)
    assert served == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    assert len(pool) == pool.size_bytes == 0


def test_sequence_decides_within_a_relay():
    pool = Mempool(PARAMS)
    for sequence in (3, 1, 2, 0):
        pool.add(make_sample_bundle("a", sequence))
    assert name(pool.select(1 << 20, 100)) == ["a0", "a1", "a2", "a3"]


def test_a_bundle_that_does_not_fit_holds_back_its_relay_alone():
    items = [make_sample_transaction(f"voter {i}") for i in range(5)]
    pool = Mempool(PARAMS)
    pool.add(make_sample_bundle("a", 0, items))
    pool.add(make_sample_bundle("a", 1))
    pool.add(make_sample_bundle("b", 0))
    assert name(pool.select(1 << 20, 4)) == ["b0"]
    small = make_sample_bundle("b", 0)
    assert name(pool.select(len(small.encoded), 100)) == ["b0"]
    assert pool.select(len(small.encoded) - 1, 100) == ()


def test_limits_of_a_block_are_met_exactly():
    pool = fill("a", "b")
    sizes = sum(len(bundle.encoded) for bundle in pool.select(1 << 20, 100))
    assert len(pool.select(sizes, 2)) == 2
    assert len(pool.select(sizes - 1, 2)) == len(pool.select(sizes, 1)) == 1


def test_a_known_bundle_is_ignored_while_it_waits_and_after():
    pool = fill("a")
    bundle = make_sample_bundle("a")
    refuse(pool, bundle, Ignore("known bundle"))
    pool.upon_final(1, [bundle])
    assert pool.is_known(bundle.digest)
    refuse(pool, bundle, Ignore("known bundle"))


def test_a_bundle_that_was_final_before_it_came_is_known():
    pool = Mempool(PARAMS)
    pool.upon_final(1, [make_sample_bundle("a")])
    refuse(pool, make_sample_bundle("a"), Ignore("known bundle"))


def test_bytes_are_bounded_in_total_and_by_relay():
    size = len(make_sample_bundle("a").encoded)
    pool = fill("a", "b", params=replace(PARAMS, mempool_bytes_max=3 * size - 1))
    refuse(pool, make_sample_bundle("c"), Ignore("pool full"))
    pool = fill("a", "b", "c", params=replace(PARAMS, mempool_bytes_max=3 * size))
    refuse(pool, make_sample_bundle("d"), Ignore("pool full"))
    pool = fill("a", "b", params=replace(PARAMS, mempool_relay_bytes_max=2 * size - 1))
    refuse(pool, make_sample_bundle("a", 1), Ignore("relay full"))
    assert pool.add(make_sample_bundle("c")) == Accept()
    pool.upon_final(1, [make_sample_bundle("a")])
    assert pool.add(make_sample_bundle("a", 1)) == Accept()


def test_what_fits_no_block_is_rejected():
    many = make_sample_bundle(
        "a", 0, [make_sample_transaction(f"voter {i}") for i in range(3)]
    )
    refuse(Mempool(replace(PARAMS, block_transactions_max=2)), many, Reject("oversized"))
    size = len(many.encoded)
    tight = replace(PARAMS, block_bytes_max=size - 1, bundle_bytes_max=size - 1)
    refuse(Mempool(tight), many, Reject("oversized"))
    fits = replace(PARAMS, block_bytes_max=size, bundle_bytes_max=size)
    assert Mempool(fits).add(many) == Accept()


def test_a_sequence_number_names_one_bundle():
    pool = fill("a")
    other = make_sample_bundle("a", 0, [make_sample_transaction("another voter")])
    refuse(pool, other, Ignore("sequence reused"))


def test_one_sender_cannot_fill_a_relays_queue():
    pool = Mempool(replace(PARAMS, sender_pending_max=3))

    def offer(relay, sequence, count):
        items = [make_sample_transaction("busy", 10 * sequence + i) for i in range(count)]
        return make_sample_bundle(relay, sequence, items)

    assert pool.add(offer("a", 0, 2)) == Accept()
    refuse(pool, offer("a", 1, 2), Ignore("sender full"))
    assert pool.add(offer("a", 1, 1)) == Accept()
    assert pool.add(offer("b", 0, 2)) == Accept()
    pool.upon_final(1, [offer("a", 0, 2), offer("a", 1, 1)])
    assert pool.add(offer("a", 2, 3)) == Accept()


def test_a_bundle_over_the_senders_bound_alone_still_gets_its_turn():
    pool = Mempool(replace(PARAMS, sender_pending_max=3))
    items = [make_sample_transaction("busy", i) for i in range(5)]
    assert pool.add(make_sample_bundle("a", 0, items)) == Accept()


def test_an_old_bundle_expires_and_may_come_again():
    pool = fill("a", params=replace(PARAMS, mempool_expiry_blocks=3))
    bundle = make_sample_bundle("a")
    pool.upon_final(1, [])
    pool.add(make_sample_bundle("b"))
    pool.upon_final(2, [])
    assert (len(pool), pool.expired) == (2, 0)
    pool.upon_final(3, [])
    assert (len(pool), pool.expired, pool.is_known(bundle.digest)) == (1, 1, False)
    assert pool.add(bundle) == Accept()
    pool.upon_final(4, [])
    assert name(pool.select(1 << 20, 10)) == ["a0"]


@pytest.mark.parametrize("first", range(1, 7))
def test_what_was_final_is_known_for_the_expiry_and_forgotten_by_twice_that(first):
    pool = Mempool(replace(PARAMS, mempool_expiry_blocks=3))
    bundle = make_sample_bundle("a")
    for height in range(1, first):
        pool.upon_final(height, [])
    pool.upon_final(first, [bundle])
    known = [pool.is_known(bundle.digest)]
    for height in range(first + 1, first + 7):
        pool.upon_final(height, [])
        known.append(pool.is_known(bundle.digest))
    assert known[:3] == [True] * 3
    assert known == sorted(known, reverse=True)
    assert not known[6]


def test_what_is_final_once_more_is_known_from_then_on():
    pool = Mempool(replace(PARAMS, mempool_expiry_blocks=2))
    bundle = make_sample_bundle("a")
    for height in range(1, 9):
        pool.upon_final(height, [bundle] if height in (1, 4, 5) else [])
        assert pool.is_known(bundle.digest) == (height < 8), height
