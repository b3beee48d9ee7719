"""Whole scenarios of Besu, run against one real engine.

Where our engine decides otherwise, on purpose:

- Early round change is on (Besu's default is off): with f + 1 RoundChanges for a later round we
  join it and say our own, which then counts towards the quorum. So a quorum is reached one
  message earlier, and the message that the case puts last may come too late: in "highest
  prepared round wins" the unprepared one is moved to the end.
- Our own Commit counts once we said it, so Q - 1 foreign Commits without Prepares decide
  nothing; in "no round change after import" a third one is added.
- The table names Commit before Prepare when both follow at once; ours is the other order.
- Blocks hold no round: "re-stamped" is the same block.
"""

import re

import pytest

from node.consensus.engine import Decide, Say
from node.consensus.qbft.controller import Controller
from node.consensus.qbft.messages import Prepare, Proposal, RoundChange, encode_message
from node.consensus.quorum import compute_quorum
from node.errors import InvalidMessage
from node.types import Now
from tests.node.consensus.city import (
    EPOCH_NS,
    SECOND_NS,
    Application,
    Author,
    make_genesis,
)

EARLY_ROUND_CHANGE = "quorum of unprepared round changes makes the next proposer propose", (
    "highest prepared round wins"
)
EARLY_IMPORT = "no round change after import and before the new-head event"
NOW = Now(5 * SECOND_NS, EPOCH_NS + 2 * SECOND_NS)
EXPIRED = Now(99 * SECOND_NS, EPOCH_NS + 96 * SECOND_NS)
AT = re.compile(r"(Proposal|Prepare|Commit|RoundChange)s?\s?\(([1h]),(r?\+?\d+)\)")


def read_number(text):
    return int(text.replace("r+", ""))


class Stage:
    """One engine, and everybody else in its city as hands that sign."""

    def __init__(self, case):
        n = case["validators"]
        assert compute_quorum(n) == case["quorum"]
        self.n, self.quorum = n, case["quorum"]
        self.local = 0 if case["local"] == "proposer of (1,0)" else n - 1
        self.genesis = make_genesis(n)
        self.authors = [Author(self.genesis, index) for index in range(n)]
        self.application = Application(self.genesis, self.genesis.validators[self.local])
        self.engine = Controller(
            self.genesis, self.authors[0].chain_id, self.application.key, self.application
        )
        early = Now(SECOND_NS, EPOCH_NS)
        self.engine.upon_head(early, self.application.head)
        self.blocks = {}
        self.height = 0
        self.said = []

    def get_peers(self):
        return [author for author in self.authors if author.index != self.local]

    def get_others(self, number):
        """np0, np1...: the peers that do not propose in this round."""
        return [author for author in self.get_peers() if author.index != number % self.n]

    def get_block(self, label, number):
        if label not in self.blocks:
            key = self.authors[number % self.n].key
            maker = Application(self.genesis, key)
            self.blocks[label] = maker.make_block(EPOCH_NS + SECOND_NS, len(self.blocks))
        return self.blocks[label]

    def hear(self, message):
        self.take(self.engine.upon_message(NOW, encode_message(message)))

    def take(self, outcomes):
        for outcome in outcomes:
            if isinstance(outcome, Say):
                message = self.engine._decode(outcome.frame_payload)
                self.said.append(message)
                if isinstance(message, Proposal):
                    self.blocks.setdefault("B", message.block)
            elif isinstance(outcome, Decide):
                self.height += 1


def make_changes(stage, number, prepared=None, block=None, prepares=()):
    return [author.round_change(1, number, prepared, block, prepares)
            for author in stage.get_peers()]


def play_proposal(stage, number, rest):
    """A Proposal with the justification that its description asks for."""
    bound = re.search(r"prepared@(\d+)", rest)
    prepared = int(bound.group(1)) if bound else None
    block = stage.get_block("B", number if prepared is None else prepared)
    prepares, changes = [], []
    if prepared is not None:
        prepares = [author.prepare(1, prepared, block.header.digest)
                    for author in stage.get_peers()]
        if "two prepares only" in rest:
            prepares = prepares[:2]
        elif "one prepare is for round" in rest:
            wrong = int(rest.rsplit(" ", 1)[1])
            prepares[0] = stage.get_peers()[0].prepare(1, wrong, block.header.digest)
        else:
            assert "prepares of all peers" in rest, rest
    if number > 0:
        changes = make_changes(stage, number, prepared, block if bound else None)
    author = stage.authors[number % stage.n]
    proposal = author.proposal(1, number, block, changes, prepares)
    try:
        stage.hear(proposal)
    except InvalidMessage:
        assert "two prepares only" in rest or "one prepare is for" in rest


def play_round_changes(stage, number, rest):
    if match := re.fullmatch(r" from (\d) peers", rest):
        for author in stage.get_peers()[:int(match.group(1))]:
            stage.hear(author.round_change(1, number))
        return
    assert rest.startswith(": "), rest
    descriptions = rest[2:].split(", ")
    descriptions.sort(key=lambda text: text == "unprepared")
    assert len(descriptions) == len(stage.get_peers())
    for author, text in zip(stage.get_peers(), descriptions, strict=True):
        if text == "unprepared":
            stage.hear(author.round_change(1, number))
            continue
        prepared, label = re.fullmatch(r"prepared@(\d) (\w+)", text).groups()
        block = stage.get_block(label, int(prepared))
        prepares = [other.prepare(1, int(prepared), block.header.digest)
                    for other in stage.get_peers()[:stage.quorum]]
        stage.hear(author.round_change(1, number, int(prepared), block, prepares))


def find_speakers(stage, event, number):
    others = stage.get_others(number)
    if match := re.search(r"from (np(\d)|v(\d)|proposer)", event):
        if match.group(1) == "proposer":
            return [stage.authors[number % stage.n]]
        return [others[int(match.group(2) or match.group(3))]]
    if "from all three peers" in event:
        return stage.get_peers()
    if "from the two non-proposers" in event:
        return others[:2]
    if event.startswith("third "):
        return others[2:3] or [stage.authors[number % stage.n]]
    pytest.fail(f"unknown speakers in {event!r}")


def play(stage, event):
    """Carry out one event of the table; fail for one that is not understood."""
    if match := re.fullmatch(r"(block|round) timer \(1,(\d)\)", event):
        timer = (match.group(1), 1, int(match.group(2)))
        return stage.take(stage.engine.upon_timer(
            NOW if match.group(1) == "block" else EXPIRED, timer
        ))
    if event == "2 prepares and 2 commits for (1,5), one of each for (1,6)":
        for number, amount in ((5, 2), (6, 1)):
            digest = stage.get_block("B", 5).header.digest
            for author in stage.get_others(number)[:amount]:
                stage.hear(author.prepare(1, number, digest))
                stage.hear(author.commit(1, number, digest))
        return None
    if " and RoundChange" in event:
        for part in event.split(" and "):
            number = read_number(AT.match(part).group(3))
            [author] = find_speakers(stage, part, 0)
            stage.hear(author.round_change(1, number))
        return None
    match = AT.search(event)
    kind = match.group(1) if match else event.removeprefix("third ").split(" ")[0].rstrip("s")
    number = read_number(match.group(3)) if match else 0
    rest = event[match.end():] if match else ""
    if kind == "Proposal":
        return play_proposal(stage, number, rest)
    if kind == "RoundChange":
        return play_round_changes(stage, number, rest)
    assert kind in ("Prepare", "Commit"), event
    digest = stage.get_block("B", number).header.digest
    for author in find_speakers(stage, event, number):
        stage.hear(getattr(author, kind.lower())(1, number, digest))
    return None


def is_as_described(stage, message, text):
    kind, _, number = AT.match(text).groups()
    if (type(message).__name__, message.round) != (kind, read_number(number)):
        return False
    label = re.search(r"\b(B\d?)\b", text)
    digest = getattr(message, "digest", None)
    if isinstance(message, Proposal):
        digest = message.block.header.digest
        if "new block" in text:
            assert message.block.header.proposer == stage.application.key
        if amount := re.search(r"(\d) round changes", text):
            assert len(message.round_changes) == int(amount.group(1))
        if "no prepares" in text:
            assert not message.prepares
        if "with B2's prepares" in text:
            assert {prepare.digest for prepare in message.prepares} == {digest}
            assert len(message.prepares) >= stage.quorum
    if isinstance(message, RoundChange) and "unprepared" in text:
        assert message.prepared_round is None
    return label is None or digest == stage.blocks[label.group(1)].header.digest


def run(case):
    """Play a case; returns how many steps were compared."""
    stage = Stage(case)
    for step in case["steps"]:
        stage.said = []
        play(stage, step["event"])
        said = stage.said
        if case["name"] in EARLY_ROUND_CHANGE:
            assert isinstance(said[0], RoundChange)
            assert said[0].author == stage.local
            said = said[1:]
        if case["name"] == EARLY_IMPORT and step.get("height") == 1:
            assert (stage.height, said) == (0, [])
            play(stage, "Commit from np2")
        expected = sorted(step["local_sends"], key=lambda text: "Commit" in text)
        assert len(said) == len(expected), (case["name"], step, said)
        for message, text in zip(said, expected, strict=True):
            assert is_as_described(stage, message, text), (case["name"], text, message)
        assert stage.height == step.get("height", stage.height), (case["name"], step)
    return len(case["steps"])


def test_scenarios_go_as_with_besu(load, is_own_data):
    cases = load("qbft")["scenarios"]["cases"]
    steps = sum(run(case) for case in cases)
    assert steps == sum(len(case["steps"]) for case in cases)
    assert (len(cases), steps) == (15, 35) or not is_own_data


def test_two_commits_and_our_prepare_decide_nothing():
    case = {"validators": 4, "quorum": 3, "local": "proposer of (1,0)", "steps": []}
    stage = Stage(case)
    play(stage, "block timer (1,0)")
    assert [type(message) for message in stage.said] == [Proposal, Prepare]
    play(stage, "Commit from np0")
    play(stage, "Commit from np1")
    assert stage.height == 0
