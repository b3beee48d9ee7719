import ast
from pathlib import Path

import pytest

from node.consensus.authorities import make_authorities
from node.consensus.engine import CHECKED, Behind, Decide, Say
from node.consensus.qbft.controller import Controller
from node.consensus.qbft.messages import (
    Commit,
    Prepare,
    Proposal,
    RoundChange,
    decode_message,
    encode_message,
)
from node.consensus.qbft.phases import TRANSITIONS
from node.consensus.qbft.round import DOUBLE
from node.consensus.seals import verify_seals
from node.crypto import Identity, is_signature_valid
from node.effects import Emit, Persist, SetTimer, Worked
from node.errors import InvalidMessage
from node.params import Genesis, Params
from node.types import Now
from node.work import WorkKind
from tests.node.consensus.city import (
    EPOCH_NS,
    PARAMS,
    SECOND_NS,
    Application,
    Author,
    make_genesis,
    sign,
)

NODE = Path(__file__).parents[3] / "node"
START = Now(70 * SECOND_NS, EPOCH_NS)
DUE = Now(71 * SECOND_NS, EPOCH_NS + SECOND_NS)
LATER = Now(79 * SECOND_NS, EPOCH_NS + 9 * SECOND_NS)


class Desk:
    """The engine of one of four validators; the others are hands that sign."""

    def __init__(self, index, n=4, params=PARAMS):
        self.genesis = make_genesis(n, params)
        self.chain_id = self.genesis.compute_chain_id()
        self.authors = [Author(self.genesis, i) for i in range(n)]
        self.application = Application(self.genesis, self.genesis.validators[index])
        self.disk = None
        self.restart()

    def restart(self, *, now=START, lock=True):
        self.engine = Controller(
            self.genesis, self.chain_id, self.application.key, self.application,
            self.disk if lock else None,
        )
        head = self.application.head
        return self.keep(self.engine.upon_head(now, head, self.application.authorities))

    def make_block(self, index=0, salt=0):
        maker = Application(self.genesis, self.genesis.validators[index])
        maker.chain = self.application.chain
        return maker.make_block(EPOCH_NS + SECOND_NS, salt)

    def hear(self, message, now=DUE):
        return self.keep(self.engine.upon_message(now, encode_message(message)))

    def fire(self, kind, number, height=1, now=DUE):
        return self.keep(self.engine.upon_timer(now, (kind, height, number)))

    def keep(self, outcomes):
        for outcome in outcomes:
            if isinstance(outcome, Persist):
                self.disk = b"".join(outcome.parts)
        return outcomes

    def read(self, outcomes):
        return [decode_message(outcome.frame_payload, self.chain_id, self.genesis.params)
                for outcome in outcomes if isinstance(outcome, Say)]

    def prepare(self, block, number=0, authors=(0, 1)):
        """Let Prepares by ``authors`` come in; all that the engine said."""
        return [said for i in authors for said in self.read(
            self.hear(self.authors[i].prepare(1, number, block.header.digest)))]


def get_reasons(outcomes):
    return [outcome.event.reason for outcome in outcomes if isinstance(outcome, Emit)]


def get_types(messages):
    return [type(message) for message in messages]


def test_the_theory_names_the_transitions_of_the_table():
    source = (NODE / "consensus/qbft/controller.py").read_text(encoding="utf-8")
    theory = ast.get_docstring(ast.parse(source))  # a compiled module has none
    written = [line.split() for line in theory.splitlines() if "->" in line]
    named = [(words[0], words[-1]) for words in written]
    assert named == [(one.value, other.value) for one, other in TRANSITIONS]


def test_the_block_timer_follows_the_real_time_clock():
    desk = Desk(0)
    assert desk.restart() == [SetTimer(("block", 1, 0), 71 * SECOND_NS)]
    assert desk.engine.is_idle
    late = desk.restart(now=DUE)
    assert late[0] == SetTimer(("round", 1, 0), 72 * SECOND_NS)
    assert get_types(desk.read(late)) == [Proposal, Prepare]
    assert not desk.engine.is_idle


def test_the_proposer_proposes_and_prepares_once():
    desk = Desk(0)
    outcomes = desk.fire("block", 0)
    assert get_types(desk.read(outcomes)) == [Proposal, Prepare]
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds.index(Persist) < kinds.index(Say)
    assert desk.fire("block", 0) == []


def test_nobody_but_the_proposer_proposes():
    desk = Desk(1)
    outcomes = desk.fire("block", 0)
    assert outcomes == [SetTimer(("round", 1, 0), DUE.monotonic_ns + SECOND_NS)]


def test_a_quorum_of_prepares_locks_the_block():
    desk = Desk(3)
    block = desk.make_block()
    desk.hear(desk.authors[0].proposal(1, 0, block))
    assert desk.hear(desk.authors[0].prepare(1, 0, block.header.digest)) == [CHECKED]
    outcomes = desk.hear(desk.authors[1].prepare(1, 0, block.header.digest))
    assert [type(outcome) for outcome in outcomes] == [Worked, Persist, Worked, Say]
    [commit] = desk.read(outcomes)
    assert (type(commit), commit.digest) == (Commit, block.header.digest)
    assert desk.hear(desk.authors[2].prepare(1, 0, block.header.digest)) == []


def test_a_quorum_of_commits_decides_with_their_seals():
    desk = Desk(3)
    block = desk.make_block()
    desk.hear(desk.authors[0].proposal(1, 0, block))
    for i in range(2):
        assert desk.hear(desk.authors[i].commit(1, 0, block.header.digest)) == [CHECKED]
    [checked, decided] = desk.hear(desk.authors[2].commit(1, 0, block.header.digest))
    assert checked == CHECKED
    assert isinstance(decided, Decide)
    check = desk.application.check_signature
    assert verify_seals(decided.block, desk.genesis.validators, check) == 3
    assert desk.fire("round", 0) == []
    assert desk.hear(desk.authors[1].round_change(1, 1)) == []


def test_a_height_is_decided_with_ed25519():
    identities = sorted((Identity(bytes([i]) * 32) for i in range(4)), key=lambda i: i.public)
    keys = tuple(identity.public for identity in identities)
    genesis = Genesis(params=PARAMS, validators=keys, relays=(), registrar=keys[0],
                      time_ns=EPOCH_NS)
    engines, waiting, decided = [], [], []
    for identity in identities:
        application = Application(genesis, identity.public)
        application.sign = identity.sign
        application.check_signature = is_signature_valid
        engine = Controller(
            genesis, genesis.compute_chain_id(), identity.public, application
        )
        engines.append(engine)
        outcomes = engine.upon_head(DUE, application.head)
        waiting += [(engine, o.frame_payload) for o in outcomes if isinstance(o, Say)]
    while waiting:
        sender, payload = waiting.pop(0)
        for engine in engines:
            if engine is sender:
                continue
            outcomes = engine.upon_message(DUE, payload)
            waiting += [(engine, o.frame_payload) for o in outcomes if isinstance(o, Say)]
            decided += [o.block for o in outcomes if isinstance(o, Decide)]
    assert len(decided) == 4
    assert len({block.header.digest for block in decided}) == 1
    for block in decided:
        verify_seals(block, keys, is_signature_valid)


def test_one_validator_alone_decides_at_its_timer():
    desk = Desk(0, n=1)
    outcomes = desk.fire("block", 0)
    assert isinstance(outcomes[-1], Decide)


def test_a_timeout_changes_the_round_with_the_lock():
    desk = Desk(3)
    block = desk.make_block()
    desk.hear(desk.authors[0].proposal(1, 0, block))
    desk.prepare(block)
    outcomes = desk.fire("round", 0, now=LATER)
    [change] = desk.read(outcomes)
    assert (change.round, change.prepared_round) == (1, 0)
    assert change.block == block
    assert [prepare.author for prepare in change.prepares] == [0, 1, 3]
    assert SetTimer(("round", 1, 1), LATER.monotonic_ns + 2 * SECOND_NS) in outcomes


def test_the_next_proposer_proposes_the_locked_block():
    desk = Desk(1)
    block = desk.make_block()
    prepares = [desk.authors[i].prepare(1, 0, block.header.digest) for i in (0, 2, 3)]
    desk.hear(desk.authors[2].round_change(1, 1, 0, block, prepares))
    outcomes = desk.hear(desk.authors[3].round_change(1, 1))
    change, proposal, prepare = desk.read(outcomes)
    assert get_types([change, proposal, prepare]) == [RoundChange, Proposal, Prepare]
    assert proposal.block == block
    assert proposal.prepares == tuple(prepares)
    assert [other.author for other in proposal.round_changes] == [1, 2, 3]


def test_a_proven_proposal_of_a_later_round_is_followed():
    desk = Desk(3)
    block = desk.make_block(2)
    changes = [desk.authors[i].round_change(1, 2) for i in range(3)]
    outcomes = desk.hear(desk.authors[2].proposal(1, 2, block, changes))
    [prepare] = desk.read(outcomes)
    assert (prepare.round, prepare.digest) == (2, block.header.digest)
    assert outcomes[0] == Worked(WorkKind.CHECK_SIGNATURE, 4)
    assert get_reasons(desk.hear(desk.authors[1].round_change(1, 1))) == ["past round"]
    assert get_reasons(desk.hear(desk.authors[0].prepare(1, 0, bytes(32)))) == ["past round"]


def test_f_plus_one_round_changes_lead_to_the_smallest_round():
    desk = Desk(3, n=7)
    said = []
    for i, number in ((0, 9), (1, 5), (1, 6), (2, 7)):
        said += desk.read(desk.hear(desk.authors[i].round_change(1, number)))
    assert [(type(change), change.round) for change in said] == [(RoundChange, 6)]


def test_commits_and_prepares_may_come_before_their_proposal():
    desk = Desk(3)
    block = desk.make_block()
    for i in range(3):
        desk.hear(desk.authors[i].commit(1, 0, block.header.digest))
    desk.hear(desk.authors[1].prepare(1, 0, bytes(32)))
    desk.hear(desk.authors[2].prepare(1, 0, block.header.digest))
    outcomes = desk.hear(desk.authors[0].proposal(1, 0, block))
    assert get_types(desk.read(outcomes)) == [Prepare]
    assert isinstance(outcomes[-1], Decide)


def test_messages_of_the_next_height_wait_for_it():
    desk = Desk(3)
    block = desk.make_block()
    desk.hear(desk.authors[0].proposal(1, 0, block))
    following = Application(desk.genesis, desk.authors[1].key)
    following.adopt(block)
    second = following.make_block(EPOCH_NS + 2 * SECOND_NS)
    for message in [desk.authors[1].proposal(2, 0, second),
                    desk.authors[1].prepare(2, 0, second.header.digest)]:
        assert desk.hear(message) == [CHECKED, Behind(2)]
        assert desk.hear(message) == [DOUBLE, Behind(2)]
    desk.application.adopt(block)
    outcomes = desk.engine.upon_head(LATER, block.header)
    assert get_types(desk.read(outcomes)) == [Prepare]
    assert outcomes[0] == SetTimer(("round", 2, 0), LATER.monotonic_ns + SECOND_NS)
    assert get_types(desk.prepare(second, 0, ())) == []
    assert get_reasons(desk.hear(desk.authors[0].prepare(1, 0, bytes(32)))) == []


def test_a_height_above_the_window_is_told_but_not_kept():
    desk = Desk(3)
    before = desk.engine.compute_digest()
    outcomes = desk.hear(desk.authors[1].prepare(12, 0, bytes(32)))
    assert outcomes == [CHECKED, Behind(12)]
    assert desk.engine.compute_digest() == before


def test_a_height_that_nobody_signed_for_is_not_told():
    desk = Desk(3)
    message = desk.authors[1].prepare(5, 0, bytes(32))
    forged = type(message)(5, 0, 1, bytes(32), bytes(64), message.signed)
    assert get_reasons(desk.hear(forged)) == ["unverifiable"]


def test_a_block_from_the_future_costs_the_turn_only():
    desk = Desk(3)
    maker = Application(desk.genesis, desk.authors[0].key)
    block = maker.make_block(DUE.realtime_ns + PARAMS.future_block_ns + 1)
    proposal = desk.authors[0].proposal(1, 0, block)
    assert get_reasons(desk.hear(proposal)) == ["future block"]
    later = Now(DUE.monotonic_ns + 1, DUE.realtime_ns + 1)
    assert get_types(desk.read(desk.hear(proposal, later))) == [Prepare]


def test_an_engine_does_not_propose_what_it_would_refuse():
    desk = Desk(0)
    desk.application.refused.add(desk.make_block(0, 0).header.digest)
    outcomes = desk.fire("block", 0)
    assert desk.read(outcomes) == []
    assert get_reasons(outcomes) == ["own proposal"]


def test_a_stranger_listens_and_decides_in_silence():
    desk = Desk(0)
    desk.application.key = bytes(32)
    desk.restart()
    assert desk.fire("block", 0) == [SetTimer(("round", 1, 0), DUE.monotonic_ns + SECOND_NS)]
    block = desk.make_block()
    outcomes = desk.hear(desk.authors[0].proposal(1, 0, block))
    for i in range(3):
        outcomes += desk.hear(desk.authors[i].prepare(1, 0, block.header.digest))
    outcomes += desk.fire("round", 0)
    assert desk.read(outcomes) == []
    assert desk.disk is None


def test_the_last_round_repeats_itself():
    desk = Desk(3, params=Params(rounds_max=2, round_timeout_ns=SECOND_NS))
    desk.hear(desk.authors[0].round_change(1, 2))
    [change] = desk.read(desk.hear(desk.authors[1].round_change(1, 2)))
    assert desk.engine._height.round.is_joined
    assert change.round == 2
    for seconds in (10, 20):
        now = Now(LATER.monotonic_ns + seconds * SECOND_NS, LATER.realtime_ns)
        outcomes = desk.fire("round", 2, now=now)
        assert desk.read(outcomes) == [change]
        assert outcomes[-1] == SetTimer(("round", 1, 2), now.monotonic_ns + 4 * SECOND_NS)


def test_a_later_round_takes_its_time_from_when_a_quorum_is_there():
    desk = Desk(3)
    [change] = desk.read(desk.fire("round", 0))
    first = Now(DUE.monotonic_ns + 2 * SECOND_NS, DUE.realtime_ns)
    outcomes = desk.fire("round", 1, now=first)
    assert desk.read(outcomes) == [change]
    assert outcomes[-1] == SetTimer(("round", 1, 1), first.monotonic_ns + 2 * SECOND_NS)
    second = Now(first.monotonic_ns + SECOND_NS, DUE.realtime_ns)
    desk.hear(desk.authors[0].round_change(1, 1), second)
    outcomes = desk.hear(desk.authors[1].round_change(1, 1), second)
    assert outcomes == [
        CHECKED, SetTimer(("round", 1, 1), second.monotonic_ns + 2 * SECOND_NS)
    ]
    stale = Now(first.monotonic_ns + 2 * SECOND_NS, DUE.realtime_ns)
    assert desk.fire("round", 1, now=stale) == []
    [change] = desk.read(desk.fire("round", 1, now=LATER))
    assert change.round == 2


def test_timers_of_other_rounds_and_heights_do_nothing():
    desk = Desk(3)
    before = desk.engine.compute_digest()
    assert desk.fire("round", 1) == desk.fire("round", 0, height=2) == []
    assert desk.fire("block", 0, height=2) == desk.engine.upon_head(
        LATER, desk.application.head) == []
    assert desk.engine.compute_digest() == before


def test_authorities_are_needed_when_heads_are_skipped():
    desk = Desk(3)
    blocks = []
    for _ in range(3):
        block = desk.make_block()
        desk.application.adopt(block)
        blocks.append(block)
    with pytest.raises(AssertionError, match="authorities"):
        desk.engine.upon_head(LATER, blocks[2].header)
    authorities = make_authorities(desk.genesis)
    assert desk.engine.upon_head(LATER, blocks[2].header, authorities)


@pytest.mark.parametrize("reason", [
    "unknown author", "signature", "not the proposer", "invalid block", "justification",
    "prepares", "round change", "message encoding",
])
def test_a_refused_message_changes_nothing(reason):
    desk = Desk(3)
    block = desk.make_block()
    desk.hear(desk.authors[1].prepare(1, 0, block.header.digest))
    changes = [desk.authors[i].round_change(1, 1) for i in range(3)]
    bound = [desk.authors[i].round_change(1, 1, 0, block) for i in range(3)]
    stranger = Author(desk.genesis, 2)
    stranger.index = 9
    prepare = desk.authors[2].prepare(1, 0, block.header.digest)
    message = {
        "unknown author": stranger.prepare(1, 0, block.header.digest),
        "signature": type(prepare)(1, 0, 2, prepare.digest, bytes(64), prepare.signed),
        "not the proposer": desk.authors[1].proposal(1, 0, block),
        "invalid block": desk.authors[0].proposal(1, 0, desk.make_block(1)),
        "justification": desk.authors[0].proposal(1, 0, block, changes),
        "prepares": desk.authors[1].proposal(1, 1, block, bound),
        "round change": desk.authors[1].claim(1, 1, 1, block.header.digest),
        "message encoding": None,
    }[reason]
    before = desk.engine.compute_digest()
    with pytest.raises(InvalidMessage) as caught:
        desk.engine.upon_message(DUE, b"\x96\1" if message is None else encode_message(message))
    assert caught.value.reason == reason
    assert desk.engine.compute_digest() == before


def test_an_ignored_message_changes_nothing():
    desk = Desk(3)
    block, other = desk.make_block(), desk.make_block(salt=1)
    desk.hear(desk.authors[0].proposal(1, 0, block))
    desk.hear(desk.authors[1].prepare(1, 0, block.header.digest))
    before = desk.engine.compute_digest()
    for message, reason in [
        (desk.authors[0].proposal(1, 0, other), "double"),
        (desk.authors[1].prepare(1, 0, block.header.digest), "double"),
        (desk.authors[2].prepare(1, 0, other.header.digest), "other block"),
        (desk.authors[2].commit(1, 0, other.header.digest), "other block"),
    ]:
        assert get_reasons(desk.hear(message)) == [reason]
        assert desk.engine.compute_digest() == before


def test_after_a_restart_the_same_prepare_and_no_other():
    desk = Desk(3)
    block, other = desk.make_block(), desk.make_block(salt=1)
    [prepare] = desk.read(desk.hear(desk.authors[0].proposal(1, 0, block)))
    desk.restart()
    assert get_reasons(desk.hear(desk.authors[0].proposal(1, 0, other))) == ["voted otherwise"]
    assert desk.read(desk.hear(desk.authors[0].proposal(1, 0, block))) == [prepare]


def test_without_the_lock_a_restart_contradicts_itself():
    desk = Desk(3)
    block, other = desk.make_block(), desk.make_block(salt=1)
    [prepare] = desk.read(desk.hear(desk.authors[0].proposal(1, 0, block)))
    desk.restart(lock=False)
    [again] = desk.read(desk.hear(desk.authors[0].proposal(1, 0, other)))
    assert (again.height, again.round) == (prepare.height, prepare.round)
    assert again.digest != prepare.digest


def test_after_a_restart_the_commit_is_said_again():
    desk = Desk(3)
    block = desk.make_block()
    desk.hear(desk.authors[0].proposal(1, 0, block))
    [commit] = desk.prepare(block)
    assert desk.read(desk.restart()) == [commit]
    [change] = desk.read(desk.fire("round", 0))
    assert (change.prepared_round, change.block) == (0, block)
    assert desk.read(desk.restart()) == [change]


def test_after_a_restart_the_proposer_does_not_propose_twice():
    desk = Desk(0)
    assert len(desk.read(desk.fire("block", 0))) == 2
    assert desk.read(desk.restart()) == []
    assert desk.read(desk.fire("block", 0)) == []


def test_a_lock_of_a_later_height_silences_the_heights_below():
    desk = Desk(3)
    first = desk.make_block()
    desk.application.adopt(first)
    desk.engine.upon_head(LATER, first.header)
    maker = Application(desk.genesis, desk.authors[1].key)
    maker.adopt(first)
    second = maker.make_block(EPOCH_NS + 2 * SECOND_NS)
    desk.hear(desk.authors[1].proposal(2, 0, second), LATER)
    chain = desk.application.chain
    desk.application.chain = chain[:1]
    desk.restart()
    assert desk.read(desk.hear(desk.authors[0].proposal(1, 0, desk.make_block()))) == []
    desk.application.chain = chain
    assert desk.engine.upon_head(LATER, first.header)
    forked = maker.make_block(EPOCH_NS + 2 * SECOND_NS)
    outcomes = desk.hear(desk.authors[1].proposal(2, 0, forked), LATER)
    assert get_reasons(outcomes) == ["voted otherwise"]


@pytest.mark.slow
def test_the_memory_for_a_million_tiny_messages_is_bounded():
    desk = Desk(3)
    desk.application.check_signature = lambda key, message, signature: True
    messages, digest, author = 0, bytes(32), desk.authors[0]
    template = author.prepare(1, 0, digest)
    handle = desk.engine._height.upon_message
    elsewhere = desk.engine._upon_other_height
    for step in range(1_000_000):
        kind = (Prepare, Commit)[step & 1]
        height = 1 + step % 13
        message = kind(height, step * 7 % 1_001, step % 4, digest, b"", template.signed)
        if height == 1:
            handle(DUE, message)
        else:
            elsewhere(message)
        messages += 1
    assert messages == 1_000_000
    assert desk.engine._buffer.count() <= PARAMS.future_messages_max


def test_every_valid_signature_is_charged_once():
    desk = Desk(3)
    checked = 0
    plain = desk.application.check_signature

    def check(key, message, signature):
        nonlocal checked
        checked += 1
        return plain(key, message, signature)

    desk.application.check_signature = check
    block = desk.make_block()
    prepares = [desk.authors[i].prepare(1, 0, block.header.digest) for i in range(3)]
    changes = [desk.authors[i].round_change(1, 1, 0, block, prepares) for i in range(3)]
    outcomes = desk.hear(desk.authors[1].proposal(1, 1, block, changes, prepares))
    outcomes += desk.hear(desk.authors[0].round_change(1, 2, 0, block, prepares))
    outcomes += desk.hear(desk.authors[0].prepare(1, 1, block.header.digest))
    charged = sum(outcome.units for outcome in outcomes if isinstance(outcome, Worked)
                  and outcome.kind is WorkKind.CHECK_SIGNATURE)
    assert charged == checked == 7 + 4 + 1
    assert sign(desk.authors[0].key, b"") != sign(desk.authors[1].key, b"")
