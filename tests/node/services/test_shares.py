from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.shares import combine_shares, split_secret

SECRETS = st.binary(min_size=32, max_size=32)


@settings(max_examples=20, deadline=None)
@given(SECRETS, SECRETS)
def test_any_three_of_five_shares_restore_the_secret(secret, seed):
    shares = split_secret(secret, seed, threshold=3, count=5)
    for chosen in combinations(range(1, 6), 3):
        assert combine_shares({index: shares[index - 1] for index in chosen}) == secret


@settings(max_examples=20, deadline=None)
@given(SECRETS, SECRETS, st.integers(1, 9), st.data())
def test_threshold_shares_restore_in_any_order_and_more_do_too(secret, seed, threshold, data):
    count = data.draw(st.integers(threshold, 9))
    shares = dict(enumerate(split_secret(secret, seed, threshold=threshold, count=count), 1))
    order = data.draw(st.permutations(sorted(shares)))
    for size in range(threshold, count + 1):
        assert combine_shares({index: shares[index] for index in order[:size]}) == secret


def test_two_of_three_needed_shares_fit_every_secret():
    # Perfect secrecy, seen from the algebra: for any first byte there is a third share.
    shares = split_secret(b"s" * 32, b"e" * 32, threshold=3, count=5)
    fitting = {
        combine_shares({1: shares[0], 2: shares[1], 3: bytes((value,)) * 32})[0]
        for value in range(256)
    }
    assert len(fitting) == 256


def test_two_shares_alone_do_not_give_the_secret():
    shares = split_secret(b"s" * 32, b"e" * 32, threshold=3, count=5)
    assert combine_shares({1: shares[0], 2: shares[1]}) != b"s" * 32


def test_one_wrong_share_gives_a_wrong_secret():
    shares = split_secret(b"s" * 32, b"e" * 32, threshold=3, count=5)
    assert combine_shares({1: shares[0], 2: shares[1], 3: bytes(32)}) != b"s" * 32


def test_a_share_under_another_index_gives_a_wrong_secret():
    shares = split_secret(b"s" * 32, b"e" * 32, threshold=3, count=5)
    assert combine_shares({1: shares[0], 2: shares[1], 4: shares[2]}) != b"s" * 32


def test_the_same_seed_gives_the_same_shares_and_another_seed_others():
    first = split_secret(b"s" * 32, b"e" * 32, threshold=3, count=5)
    assert first == split_secret(b"s" * 32, b"e" * 32, threshold=3, count=5)
    assert first != split_secret(b"s" * 32, b"f" * 32, threshold=3, count=5)


def test_one_seed_draws_unrelated_polynomials_for_two_secrets():
    one = split_secret(b"a" * 32, b"e" * 32, threshold=2, count=2)
    two = split_secret(b"b" * 32, b"e" * 32, threshold=2, count=2)
    differences = [
        int.from_bytes(left, "big") ^ int.from_bytes(right, "big")
        for left, right in zip(one, two, strict=True)
    ]
    assert differences[0] != differences[1]


def test_a_threshold_of_one_hands_out_the_secret_itself():
    assert split_secret(b"s" * 32, b"e" * 32, threshold=1, count=2) == (b"s" * 32,) * 2


def test_shares_match_a_known_vector():
    # By hand: f(x) = 7 + 5x over the field of AES at 1, 2, 3, with 5 and 7 put in as bytes.
    assert combine_shares({1: b"\x02" * 32, 2: b"\x0d" * 32}) == b"\x07" * 32
    assert combine_shares({2: b"\x0d" * 32, 3: b"\x08" * 32}) == b"\x07" * 32


@pytest.mark.parametrize(("threshold", "count"), [(0, 5), (6, 5), (3, 256)])
def test_impossible_thresholds_are_our_own_bug(threshold, count):
    with pytest.raises(AssertionError):
        split_secret(bytes(32), bytes(32), threshold=threshold, count=count)
