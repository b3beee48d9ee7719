"""The proposer of a round after Besu's and GoQuorum's tests.

Ours is the rule that moves on with each block. A sticky proposer (``change_each_block`` false)
whose maker is still there is ours one turn later: its round r is our round r - 1.
"""

from node.block import make_header
from node.consensus.qbft.seat import make_seat
from node.params import Params
from tests.node.consensus.city import Application, make_genesis

GENESIS = make_genesis(4)
SPECTATOR = Application(GENESIS, GENESIS.validators[0])
"""A seat has one, though nobody proposes here."""


def make_key(number):
    return number.to_bytes(32, "big")


def get_proposer(validators, previous, number, *, moves_on):
    keys = tuple(map(make_key, validators))
    nothing = bytes(32)
    parent = make_header(
        bytes(8), 6, nothing, 0, make_key(previous), nothing, nothing, nothing, keys, None
    )
    seat = make_seat(Params(), bytes(8), parent, keys, None, SPECTATOR)
    if moves_on or previous not in validators:
        return validators[seat.compute_proposer(number)]
    if number == 0:
        return validators[seat.compute_proposer(0) - 1]
    return validators[seat.compute_proposer(number - 1)]


def test_proposers_are_those_of_besu(load, is_own_data):
    cases = load("bft_proposer")["cases"]
    checked = 0
    for case in cases:
        for expected in case["expect"]:
            proposer = get_proposer(
                case["validators"], case["prev_block_proposer"], expected["round"],
                moves_on=case["change_each_block"],
            )
            assert proposer == expected["proposer"], case["name"]
            checked += 1
    assert checked == sum(len(case["expect"]) for case in cases) > 0
    assert (len(cases), checked) == (4, 6) or not is_own_data


def test_proposers_of_two_validators_are_those_of_goquorum(load, is_own_data):
    cases = load("bft_proposer")["goquorum_cases_two_validators"]
    for case in cases:
        # No previous proposer stands for block 0, whose proposer is the zero key.
        proposer = get_proposer(
            [1, 2], case["prev"] or 0, case["round"], moves_on=case["policy"] == "round_robin"
        )
        assert proposer == case["proposer"], case
    assert len(cases) == 3 or not is_own_data
