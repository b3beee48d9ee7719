"""Agreement and liveness of QBFT on random schedules; proof that the checkers can fail."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.block import Vote
from node.consensus.engine import Behind
from node.consensus.qbft.controller import Controller
from node.consensus.qbft.messages import Commit, encode_message
from node.consensus.quorum import compute_faults
from node.consensus.seals import verify_seals
from node.effects import Emit
from node.errors import InvalidMessage
from node.events import InputRefused
from node.types import Now
from tests.node.consensus.city import (
    EPOCH_NS,
    PARAMS,
    SECOND_NS,
    Application,
    Author,
    Draws,
    Liar,
    Mute,
    Network,
    is_signed,
    make_genesis,
)

SEEDS = st.integers(min_value=0, max_value=2**32)
CHAOS_NS = 20 * SECOND_NS
PATIENCE_NS = 120 * SECOND_NS


def disturb(network, draws):
    """Loss, copies, delays, partitions, wrong clocks and crashes until chaos ends."""
    network.chaos_until_ns = EPOCH_NS + CHAOS_NS
    network.loss_ratio = draws.below(40) / 100 * draws.below(2)
    network.copy_ratio = draws.below(30) / 100
    network.delay_max_ns = (1 + draws.below(15)) * 100_000_000
    for peer in network.peers:
        peer.skew_ns = draws.below(600_000_000) - 300_000_000

    def divide(_):
        sides = [draws.below(2) for _ in network.peers]
        network.partition = sides if draws.chance(0.6) else None

    def crash(index):
        peer = network.peers[index]
        if draws.chance(0.5):
            peer.crash()
        else:
            peer.crash_after = draws.below(6)
        network.at(draws.below(4 * SECOND_NS), None, revive, peer)

    def revive(peer):
        peer.crash_after = None
        peer.restart()

    for _ in range(6):
        network.at(draws.below(CHAOS_NS), None, divide, None)
        network.at(draws.below(CHAOS_NS - 5 * SECOND_NS), None, crash,
                   draws.below(len(network.peers)))


def run_city(n, seed, faulty_type):
    draws = Draws(seed ^ 0x5EED)
    faulty = set()
    while len(faulty) < compute_faults(n):
        faulty.add(draws.below(n))
    network = Network(n, seed, faulty, faulty_type)
    disturb(network, draws)
    network.start()
    network.run(EPOCH_NS + CHAOS_NS)
    return network


def expect_progress(network, blocks=3):
    """After the network healed every honest validator gets on, within a bound."""
    for peer in network.peers:
        peer.crash_after = None
        peer.restart()
    goal = max(peer.height for peer in network.honest) + blocks
    deadline_ns = network.now_ns + PATIENCE_NS

    def is_done():
        return all(peer.height >= goal for peer in network.honest)

    network.run(deadline_ns, is_done)
    assert is_done(), [
        (peer.height, peer.engine._height.round.number, peer.engine._height.round.phase)
        for peer in network.peers
    ]


@pytest.mark.slow
@given(n=st.integers(4, 7), seed=SEEDS, faulty_type=st.sampled_from([Liar, Mute]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_honest_validators_agree_and_get_on(n, seed, faulty_type):
    network = run_city(n, seed, faulty_type)
    assert network.forks == []
    expect_progress(network)
    assert network.forks == []
    for peer in network.honest:
        for block in peer.application.chain[1:]:
            assert network.decided[block.header.height] == block.header.digest
            verify_seals(block, block.header.validators, is_signed)


@pytest.mark.slow
@given(n=st.integers(4, 7), seed=SEEDS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_city_without_liars_refuses_nobody(n, seed):
    network = Network(n, seed)
    disturb(network, Draws(seed))
    network.start()
    network.run(EPOCH_NS + CHAOS_NS)
    expect_progress(network)
    assert network.forks == []
    assert network.refused == {}


@pytest.mark.parametrize(("n", "faulty"), [(4, {1, 2}), (7, {1, 2, 4})])
def test_one_liar_too_many_forks_the_chain(n, faulty):
    assert len(faulty) == compute_faults(n) + 1
    forks = 0
    for seed in range(8):
        network = Network(n, seed, faulty)
        network.start()
        network.run(EPOCH_NS + 30 * SECOND_NS, lambda network=network: network.forks)
        forks += bool(network.forks)
    assert forks > 0


def finalise_at_one_and_restart_the_rest(*, keeps_lock):
    """Validator 0 alone hears the Commits of height 1 and is cut off; the others restart."""
    network = Network(4, 1)
    network.is_dropped = lambda receiver, message: (
        isinstance(message, Commit) and receiver.index != 0
    )
    network.start()
    first, *rest = network.peers
    network.run(EPOCH_NS + 5 * SECOND_NS, lambda: first.height == 1)
    assert [peer.height for peer in network.peers] == [1, 0, 0, 0]
    first.crash()
    network.is_dropped = None
    for peer in rest:
        peer.crash()
        peer.keeps_lock = keeps_lock
        peer.restart()
    return network, rest


def test_validators_that_restart_with_their_lock_decide_the_same_block():
    network, rest = finalise_at_one_and_restart_the_rest(keeps_lock=True)
    network.run(EPOCH_NS + 30 * SECOND_NS, lambda: all(peer.height >= 1 for peer in rest))
    assert all(peer.height >= 1 for peer in rest)
    assert network.forks == []


def test_validators_that_forget_their_lock_fork_the_chain():
    network, rest = finalise_at_one_and_restart_the_rest(keeps_lock=False)
    with pytest.raises(AssertionError, match=r"contradicts itself|forgot its lock|it left"):
        network.run(EPOCH_NS + 30 * SECOND_NS)
    for peer in rest:
        peer.promises.check = lambda message: None
    network.run(EPOCH_NS + 60 * SECOND_NS, lambda: network.forks)
    assert network.forks == [1]


def test_validators_in_different_rounds_meet_again():
    network = Network(7, 3)
    network.chaos_until_ns = EPOCH_NS + 40 * SECOND_NS
    network.partition = [0, 1, 2, 0, 1, 2, 0]
    network.start()
    for peer in network.peers[:3]:
        network.at((3 + 5 * peer.index) * SECOND_NS, None, crash_for_two_seconds, peer)
    network.run(network.chaos_until_ns)
    assert {peer.height for peer in network.peers} == {0}
    healed_ns = network.now_ns
    expect_progress(network, blocks=1)
    faults_ns = (compute_faults(7) + 2) * PARAMS.round_timeout_max_ns
    assert network.now_ns - healed_ns <= faults_ns


def crash_for_two_seconds(peer):
    peer.crash()
    peer.network.at(2 * SECOND_NS, None, lambda _: peer.restart(), None)


def test_a_dropped_validator_listens_until_it_is_added_again():
    network = Network(4, 5)
    subject = network.genesis.validators[3]
    sizes = []
    for is_add in (False, True):
        for peer in network.peers:
            peer.application.vote = Vote(subject, is_add)
        goal = max(peer.height for peer in network.peers) + 8
        network.start()
        network.run(
            network.now_ns + 60 * SECOND_NS,
            lambda goal=goal: all(peer.height >= goal for peer in network.peers),
        )
        sizes.append(len(network.peers[0].application.authorities.validators))
    assert sizes == [3, 4]
    assert network.forks == []
    assert len({peer.application.authorities for peer in network.peers}) == 1


class Speaker:
    """Random messages around height 1: good, stale, early, forged and contradictory."""

    def __init__(self, seed):
        self.draws = Draws(seed)
        self.genesis = make_genesis(4)
        self.authors = [Author(self.genesis, i) for i in range(4)]
        self.application = Application(self.genesis, self.genesis.validators[3])
        makers = [Application(self.genesis, author.key) for author in self.authors]
        self.blocks = [maker.make_block(0, salt) for maker in makers for salt in (0, 1)]
        self.engine = Controller(
            self.genesis, self.authors[0].chain_id, self.application.key, self.application
        )

    def make_message(self):
        below = self.draws.below
        author, number = self.authors[below(4)], below(4)
        height = 1 if below(8) else below(15) + 1
        block = self.blocks[below(3)]
        digest = block.header.digest
        match below(4):
            case 0:
                return author.prepare(height, number, digest)
            case 1:
                return author.commit(height, number, digest)
            case 2:
                return self.make_round_change(author, height, number + 1, block)
        changes, prepares = [], []
        if number and below(4):
            prepared = below(2)
            changes = [self.make_round_change(other, height, number, block, prepared)
                       for other in self.authors[:2 + below(3)]]
            prepares = [other.prepare(1, 0, digest) for other in self.authors[:3 * prepared]]
        if below(3):
            author = self.authors[number]
        return author.proposal(height, number, block, changes, prepares)

    def make_round_change(self, author, height, number, block, prepared=None):
        if prepared is None:
            prepared = self.draws.below(2)
        if not prepared:
            return author.round_change(height, number)
        prepares = [other.prepare(1, 0, block.header.digest) for other in self.authors[:3]]
        return author.round_change(height, number, 0, block, prepares[self.draws.below(2):])

    def make_payload(self):
        payload = bytearray(encode_message(self.make_message()))
        if self.draws.below(6) == 0:
            payload[self.draws.below(len(payload))] ^= 1 << self.draws.below(8)
        return bytes(payload)


def is_ignored(outcomes):
    """Whether a message was dropped, or taken for no more than a hint to ask for blocks."""
    return all(
        isinstance(outcome, Behind)
        or (isinstance(outcome, Emit) and isinstance(outcome.event, InputRefused))
        for outcome in outcomes
    )


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_message_that_is_refused_or_ignored_changes_nothing(seed):
    speaker = Speaker(seed)
    now = Now(SECOND_NS, EPOCH_NS + 2 * SECOND_NS)
    engine = speaker.engine
    engine.upon_head(now, speaker.application.head)
    before = engine.compute_digest()
    for _ in range(60):
        try:
            changed = not is_ignored(engine.upon_message(now, speaker.make_payload()))
        except InvalidMessage:
            changed = False
        after = engine.compute_digest()
        assert changed or after == before
        before = after
