"""Quorum arithmetic, commit seals and round timers of Besu and of the formal specification.

Columns of the computed table about other engines (IBFT 2.0's prepares, Aura) are left out.
"""

import pytest

from node.block import Seal, compute_seal_message, make_block
from node.consensus.quorum import (
    compute_faults,
    compute_majority,
    compute_quorum,
    compute_round_timeout_ns,
)
from node.consensus.seals import verify_seals
from node.errors import InvalidBlock
from tests.node.consensus.city import Application, is_signed, make_genesis, sign

MS_NS = 1_000_000


def test_quorums_are_those_of_besu(load, is_own_data):
    table = load("bft_quorum")
    for row in table["besu_required_quorum"]:
        assert compute_quorum(row["n"]) == row["quorum"]
    for row in table["besu_future_round_change_quorum_f_plus_1"]:
        assert compute_faults(row["n"]) + 1 == row["value"]
    if is_own_data:
        assert len(table["besu_required_quorum"]) == 5
        assert len(table["besu_future_round_change_quorum_f_plus_1"]) == 4


def test_quorums_are_those_of_the_specification(load, is_own_data):
    table = load("bft_quorum")["computed_table"]
    for row in table:
        n = row["n"]
        assert compute_faults(n) == row["f"] == (n - 1) // 3
        assert compute_quorum(n) == row["quorum_ceil_2n_3"] == (2 * n - 1) // 3 + 1
        assert compute_faults(n) + 1 == row["f_plus_1"]
        assert 2 * compute_quorum(n) - n == row["quorum_intersection_min"]
        assert compute_majority(n) == row["clique_majority_and_limit"]
    assert len(table) == 21 or not is_own_data


def test_round_timers_double(load, is_own_data):
    rows = load("bft_quorum")["besu_round_expiry_ms"]
    for row in rows:
        base_ns = row["base_ms"] * MS_NS
        expected_ns = row["expiry_ms"] * MS_NS
        assert compute_round_timeout_ns(base_ns, 2**62, row["round"]) == expected_ns
        assert compute_round_timeout_ns(base_ns, base_ns, row["round"]) == base_ns
    assert len(rows) == 3 or not is_own_data


def is_sealed(n, committers):
    genesis = make_genesis(n)
    block = Application(genesis, genesis.validators[0]).make_block(0)
    header = block.header
    message = compute_seal_message(header.chain_id, header.height, 3, header.digest)
    seals = tuple(Seal(i, sign(genesis.validators[i], message)) for i in committers)
    sealed = make_block(header, 3, seals, ())
    try:
        return verify_seals(sealed, genesis.validators, is_signed) == len(seals)
    except InvalidBlock:
        return False


def test_commit_seals_are_judged_as_by_besu(load, is_own_data):
    rows = load("bft_quorum")["besu_commit_seals_valid"]
    for row in rows:
        committers = range(row["distinct_committers"])
        assert is_sealed(row["validators"], committers) is row["valid"], row
    assert len(rows) == 11 or not is_own_data


def test_special_commit_seals_are_judged_as_by_besu(load, is_own_data):
    committers = {"none": [], "the validator twice": [0, 0]}
    rows = load("bft_quorum")["besu_commit_seals_other"]
    for row in rows:
        if row["committers"] not in committers:
            pytest.fail(f"unknown case {row}")
        assert is_sealed(row["validators"], committers[row["committers"]]) is row["valid"]
    assert len(rows) == 2 or not is_own_data
