"""Arithmetic of Byzantine quorums and round timers.

A quorum is ceil(2N/3), never 2f+1: the two agree only for N = 3f+1, and with N = 6 two quorums
of 2f+1 = 3 need not share a member (GoQuorum's ``Ceil2Nby3Block``, Celo #253).
"""


def compute_faults(validators: int) -> int:
    """f, the number of faulty validators among ``validators`` that does no harm."""
    assert validators >= 1
    return (validators - 1) // 3


def compute_quorum(validators: int) -> int:
    """Q = ceil(2N/3); any two quorums share more than f validators."""
    assert validators >= 1
    quorum = (2 * validators + 2) // 3
    assert 2 * quorum - validators > compute_faults(validators)
    return quorum


def compute_majority(validators: int) -> int:
    """Votes that change the set of validators: floor(N/2) + 1 (EIP-225)."""
    assert validators >= 1
    return validators // 2 + 1


def compute_round_timeout_ns(base_ns: int, max_ns: int, round_number: int) -> int:
    """``base_ns`` doubled with each round, at most ``max_ns``.

    Without the cap round 15 of GoQuorum waited 327,680 s (quorum #1681).
    """
    assert base_ns > 0
    assert round_number >= 0
    return min(base_ns << min(round_number, 64), max_ns)
