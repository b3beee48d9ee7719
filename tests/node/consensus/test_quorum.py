from node.consensus.quorum import compute_faults, compute_quorum, compute_round_timeout_ns


def test_two_quorums_share_more_than_f_validators():
    for n in range(1, 1_025):
        assert 2 * compute_quorum(n) - n > compute_faults(n)


def test_a_quorum_can_be_reached_without_the_faulty():
    for n in range(1, 1_025):
        assert n - compute_faults(n) >= compute_quorum(n)


def test_25_validators_bear_8_faults_with_a_quorum_of_17():
    assert (compute_faults(25), compute_quorum(25)) == (8, 17)


def test_the_timeout_of_any_round_is_capped():
    assert compute_round_timeout_ns(4, 60, 3) == 32
    assert compute_round_timeout_ns(4, 60, 4) == 60
    assert compute_round_timeout_ns(4, 60, 10**9) == 60
