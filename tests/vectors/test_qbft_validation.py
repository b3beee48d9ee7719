"""Besu's cases of single messages, each run against our engine or its checks.

Where ours differ: a message of a later round or height is not invalid here, it is kept for
later, so "invalid" means that the round in progress does not count it; "another block" takes
the place of a block that is stamped with another round, for our blocks hold no round.
"""

from dataclasses import replace

import pytest

from node.consensus.qbft.controller import Controller
from node.consensus.qbft.messages import encode_message
from node.consensus.qbft.seat import make_seat
from node.consensus.qbft.validation import verify_proposal, verify_round_change
from node.errors import InvalidMessage
from node.types import Now
from tests.node.consensus.city import (
    EPOCH_NS,
    SECOND_NS,
    Application,
    Author,
    make_genesis,
)

N = 4
OUTSIDER = N
NOW = Now(99 * SECOND_NS, EPOCH_NS + 99 * SECOND_NS)


class Bench:
    """Four validators, a stranger with a fifth key, and a head below ``height``."""

    def __init__(self, height):
        self.genesis = make_genesis(N)
        strangers = make_genesis(N + 1)
        self.authors = [Author(self.genesis, index) for index in range(N)]
        stranger = Author(strangers, next(
            index for index, key in enumerate(strangers.validators)
            if key not in self.genesis.validators
        ))
        stranger.chain_id = self.authors[0].chain_id
        stranger.index = OUTSIDER
        self.authors.append(stranger)
        self.application = Application(self.genesis, self.genesis.validators[0])
        for _ in range(1, height):
            self.application.adopt(self.application.make_block(0))
        self.height = height
        self.seat = self.make_seat()

    def make_seat(self):
        return make_seat(
            self.genesis.params, self.authors[0].chain_id, self.application.head,
            self.genesis.validators, 0, self.application,
        )

    def make_block(self, number, salt=7):
        maker = Application(self.genesis, self.authors[self.seat.compute_proposer(number)].key)
        maker.chain = self.application.chain
        return maker.make_block(0, salt)

    def find_author(self, name):
        return self.authors[OUTSIDER if name == "outsider" else name]


def is_valid(check, *arguments):
    try:
        check(*arguments)
    except InvalidMessage:
        return False
    return True


def take(given, defaults):
    """The given values over their defaults; a key that nobody reads is an error."""
    unknown = set(given) - set(defaults)
    if unknown:
        pytest.fail(f"unknown fields {sorted(unknown)}")
    return {**defaults, **given}


def make_round_change(bench, item, at, block, prepares):
    number = item.get("round", at)
    prepared = item.get("prepared_round")
    author = bench.find_author(item["by"])
    height = item.get("height", bench.height)
    if prepared is None:
        return author.round_change(height, number)
    return author.round_change(height, number, prepared, block, prepares)


def judge_proposal(given):
    bench = Bench(1)
    named = take(given, {
        "round": 0, "prepares": None, "round_changes": None, "prepares_round": 0,
        "prepares_block": None, "conflict": False,
    })
    number = named["round"]
    # The cases about prepares start from a justified proposal of a block prepared in round 0.
    is_bound = bool({"prepares_round", "prepares_block", "conflict"} & set(given))
    block = bench.make_block(0 if is_bound else number)
    digest = block.header.digest if named["prepares_block"] is None else bytes(31) + b"\1"
    changes, prepares = [], []
    if named["round_changes"] is not None:
        changes = [make_round_change(bench, item, number, block, ())
                   for item in named["round_changes"]]
    elif number > 0:
        prepared = {"prepared_round": 0} if is_bound else {}
        changes = [make_round_change(bench, {"by": i, **prepared}, number, block, ())
                   for i in range(3)]
    if named["conflict"]:
        other = bench.make_block(0, salt=8)
        changes[1] = bench.authors[1].round_change(1, number, 0, other)
    if named["prepares"] is not None:
        prepares = [
            bench.find_author(item["by"]).prepare(1, item["round"], block.header.digest)
            for item in named["prepares"]
        ]
    elif is_bound:
        prepares = [
            bench.authors[i].prepare(1, named["prepares_round"], digest) for i in range(3)
        ]
    author = bench.authors[bench.seat.compute_proposer(number)]
    proposal = author.proposal(1, number, block, changes, prepares)
    return is_valid(verify_proposal, bench.seat, NOW, proposal)


def judge_proposal_payload(given):
    bench = Bench(4)
    named = take(given, {
        "block_valid": True, "author": None, "round": "+0", "height": "+0",
        "block_height": "+0",
    })
    block = bench.make_block(3)
    number, height = 3 + int(named["round"]), 4 + int(named["height"])
    if not named["block_valid"]:
        bench.application.refused.add(block.header.digest)
    if int(named["block_height"]):
        bench.application.adopt(block)
        block = bench.make_block(3)
    changes = [author.round_change(height, number) for author in bench.authors[:3]]
    index = bench.seat.compute_proposer(3) + (named["author"] == "other")
    proposal = bench.authors[index % N].proposal(height, number, block, changes)
    return is_valid(verify_proposal, bench.seat, NOW, proposal)


def judge_round_change_payload(given):
    named = take(given, {"round": 1, "by": 1, "prepared_round": None})
    bench = Bench(1)
    block = bench.make_block(0)
    prepared = named["prepared_round"]
    prepares = [author.prepare(1, prepared, block.header.digest)
                for author in bench.authors[:3] if prepared is not None]
    change = make_round_change(bench, named, 1, block, prepares)
    return is_valid(verify_round_change, bench.seat, change)


def judge_round_change_message(given):
    named = take(given, {
        "payload_valid": True, "prepares": 3, "metadata_round": 2, "prepares_round": 2,
        "prepares_height": 3, "metadata": True,
    })
    bench = Bench(3)
    if given in ({}, {"payload_valid": False}):
        change = bench.authors[1].round_change(3, 3)
        if not named["payload_valid"]:
            change = replace(change, signature=bytes(64))
        return is_valid(verify_round_change, bench.seat, change)
    block = bench.make_block(2)
    signers = named["prepares"]
    prepares = [
        bench.find_author(i).prepare(
            named["prepares_height"], named["prepares_round"], block.header.digest
        )
        for i in (range(signers) if isinstance(signers, int) else signers)
    ]
    if named["metadata"] is None:
        change = bench.authors[1].claim(3, 3, None, None, block, prepares)
    else:
        change = bench.authors[1].round_change(
            3, 3, named["metadata_round"], block, prepares
        )
    return is_valid(verify_round_change, bench.seat, change)


def judge_ballot(kind, given):
    """Whether the round in progress counts it, for each of the four validators at its turn."""
    named = take(given, {"by": None, "round": 0, "height": 1, "digest": None})
    verdicts = set()
    for by in range(N) if named["by"] is None else [named["by"]]:
        bench = Bench(1)
        engine = Controller(
            bench.genesis, bench.authors[0].chain_id, bytes(32), bench.application
        )
        engine.upon_head(NOW, bench.application.head)
        block = bench.make_block(0)
        engine.upon_message(NOW, encode_message(bench.authors[0].proposal(1, 0, block)))
        before = engine._height.round.describe()
        digest = block.header.digest if named["digest"] is None else bytes(32)
        ballot = getattr(bench.find_author(by), kind)(named["height"], named["round"], digest)
        judged = is_valid(engine.upon_message, NOW, encode_message(ballot))
        verdicts.add(judged and engine._height.round.describe() != before)
    assert len(verdicts) == 1
    return verdicts.pop()


def judge(group, given):
    match group.split(" (")[0]:
        case "proposal":
            return judge_proposal(given)
        case "proposal payload":
            return judge_proposal_payload(given)
        case "round change payload":
            return judge_round_change_payload(given)
        case "round change message":
            return judge_round_change_message(given)
        case "prepare" | "commit" as kind:
            return judge_ballot(kind, given)
    pytest.fail(f"unknown group {group}")


def test_messages_are_judged_as_by_besu(load, is_own_data):
    cases = load("qbft")["validation"]["cases"]
    for case in cases:
        assert judge(case["group"], case["given"]) is case["valid"], case
    assert len(cases) == 29 or not is_own_data


@pytest.mark.parametrize("number", [0, 1])
def test_the_proposals_from_which_the_cases_start_are_valid(number):
    assert judge_proposal({"round": number})
    assert judge_proposal({"round": 1, "prepares_round": 0})
    assert judge_proposal_payload({})
    assert judge_round_change_message({"prepares": 3})
    assert judge_ballot("prepare", {})
    assert judge_ballot("commit", {})
