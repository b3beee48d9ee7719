"""A small city for tests of consensus: real engines, a fake application, virtual time.

Signatures are keyed hashes, which nobody here forges, because these tests are about agreement;
``test_controller`` runs one height with Ed25519 too.
"""

from dataclasses import replace
from hashlib import sha256
from heapq import heappop, heappush
from itertools import count

from node.block import Block, Header, Vote, make_block, make_genesis_block, make_header
from node.consensus import engine
from node.consensus.authorities import make_authorities
from node.consensus.engine import Behind, Decide, Say
from node.consensus.qbft.controller import Controller
from node.consensus.qbft.messages import (
    Commit,
    Prepare,
    Proposal,
    RoundChange,
    compute_prepare_message,
    compute_proposal_message,
    compute_round_change_message,
    compute_seal_message,
    decode_message,
    encode_message,
)
from node.consensus.seals import verify_seals
from node.effects import Persist, SetTimer
from node.errors import InvalidBlock, InvalidMessage
from node.params import Genesis, Params
from node.types import Now

SECOND_NS = 1_000_000_000
EPOCH_NS = 1_700_000_007 * SECOND_NS
PARAMS = Params(
    block_interval_ns=SECOND_NS, round_timeout_ns=SECOND_NS, round_timeout_max_ns=8 * SECOND_NS
)


def make_keys(n):
    """``n`` keys in ascending order."""
    return tuple(sorted(sha256(b"key %d" % i).digest() for i in range(n)))


def make_genesis(n, params=PARAMS):
    keys = make_keys(n)
    return Genesis(
        params=params, validators=keys, relays=(), registrar=keys[0], time_ns=EPOCH_NS
    )


def sign(key, message):
    return sha256(key + message).digest() * 2


def is_signed(key, message, signature):
    return sign(key, message) == signature


class Draws:
    """Repeatable numbers from a seed."""

    def __init__(self, seed):
        self._seed = b"%d" % seed
        self._counter = count()

    def below(self, limit):
        block = sha256(self._seed + b"/%d" % next(self._counter)).digest()
        return int.from_bytes(block[:8], "big") % limit

    def chance(self, ratio):
        return self.below(1_000_000) < ratio * 1_000_000


class Application(engine.Application):
    """A chain of empty blocks; ``salt`` tells the blocks of one proposer apart."""

    def __init__(self, genesis, key):
        self.genesis = genesis
        self.key = key
        self.chain = [make_genesis_block(genesis, bytes(32))]
        self.authorities = make_authorities(genesis)
        self.salt = count()
        self.refused = set()
        self.vote = None
        self.verified = []

    @property
    def head(self):
        return self.chain[-1].header

    def adopt(self, block):
        header = block.header
        assert header.parent == self.head.digest
        self.authorities = self.authorities.apply(header)
        self.chain.append(block)

    def make_block(self, time_ns, salt=None):
        head = self.head
        salt = next(self.salt) if salt is None else salt
        root = sha256(b"%d" % salt).digest()
        header = make_header(
            head.chain_id, head.height + 1, head.digest,
            max(time_ns, head.time_ns + self.genesis.params.block_interval_ns), self.key,
            root, root, root, self.authorities.validators, self.vote,
        )
        return make_block(header, 0, (), ())

    def propose(self, now, height):
        assert height == self.head.height + 1
        return self.make_block(now.realtime_ns)

    def verify(self, now, block):
        self.verified.append(block.header.digest)
        if block.header.digest in self.refused:
            raise InvalidBlock("refused", None, block.header.height)
        if block.header.time_ns < self.head.time_ns + self.genesis.params.block_interval_ns:
            raise InvalidBlock("too early", self.head.time_ns, block.header.time_ns)

    def check_signature(self, key, message, signature):
        return is_signed(key, message, signature)

    def sign(self, message):
        return sign(self.key, message)


class Author:
    """Signs any message as one validator, for tests that speak in its name."""

    def __init__(self, genesis, index):
        self.chain_id = genesis.compute_chain_id()
        self.index = index
        self.key = genesis.validators[index]

    def prepare(self, height, number, digest):
        signed = compute_prepare_message(self.chain_id, height, number, digest)
        return Prepare(height, number, self.index, digest, sign(self.key, signed), signed)

    def commit(self, height, number, digest):
        signed = compute_seal_message(self.chain_id, height, number, digest)
        return Commit(height, number, self.index, digest, sign(self.key, signed), signed)

    def round_change(self, height, number, prepared_round=None, block=None, prepares=()):
        digest = None if block is None else block.header.digest
        return self.claim(height, number, prepared_round, digest, block, prepares)

    def claim(self, height, number, prepared_round, digest, block=None, prepares=()):
        signed = compute_round_change_message(
            self.chain_id, height, number, prepared_round, digest
        )
        return RoundChange(
            height, number, self.index, prepared_round, digest, sign(self.key, signed), signed,
            block, tuple(prepares),
        )

    def proposal(self, height, number, block, changes=(), prepares=()):
        signed = compute_proposal_message(self.chain_id, height, number, block.header.digest)
        bare = tuple(replace(change, block=None, prepares=()) for change in changes)
        return Proposal(
            height, number, self.index, block, sign(self.key, signed), signed, bare,
            tuple(prepares),
        )


class Promises:
    """The checker of what one honest validator says, over all its restarts."""

    def __init__(self):
        self.said = {}
        self.floor = {}
        self.locked = {}

    def check(self, message):
        key = (type(message).__name__, message.height, message.round)
        first = self.said.setdefault(key, message.signed)
        assert first == message.signed, f"contradicts itself in {key}"
        height = message.height
        assert message.round >= self.floor.get(height, 0), f"votes in a round it left: {key}"
        self.floor[height] = message.round
        if isinstance(message, Commit):
            self.locked[height] = message.round
        if isinstance(message, RoundChange) and height in self.locked:
            assert message.prepared_round is not None, f"forgot its lock: {key}"
            assert message.prepared_round >= self.locked[height], f"forgot its lock: {key}"


class Peer:
    """A validator with a disk: its chain and its lock survive ``restart``."""

    def __init__(self, network, index):
        self.network = network
        self.index = index
        self.key = network.genesis.validators[index]
        self.application = Application(network.genesis, self.key)
        # Two peers never make the same block, nor one peer after a restart.
        self.application.salt = count(1_000_000 * index)
        self.disk = None
        self.keeps_lock = True
        self.promises = Promises()
        self.incarnation = 0
        self.is_up = False
        self.skew_ns = 0
        self.crash_after = None

    @property
    def height(self):
        return self.application.head.height

    def now(self):
        at_ns = self.network.now_ns
        return Now(at_ns - EPOCH_NS + 17 * (self.index + 1), at_ns + self.skew_ns)

    def restart(self):
        if self.is_up:
            return
        self.incarnation += 1
        self.is_up = True
        self.engine = Controller(
            self.network.genesis, self.network.chain_id, self.key, self.application,
            self.disk if self.keeps_lock else None, self.network.decode,
        )
        self.carry_out(self.start_height())

    def start_height(self):
        return self.engine.upon_head(
            self.now(), self.application.head, self.application.authorities
        )

    def crash(self):
        self.is_up = False

    def receive(self, payload):
        try:
            outcomes = self.engine.upon_message(self.now(), payload)
        except InvalidMessage as error:
            self.network.refused[error.reason] = self.network.refused.get(error.reason, 0) + 1
            return
        self.carry_out(outcomes)

    def carry_out(self, outcomes):
        for outcome in outcomes:
            if self.crash_after is not None:
                self.crash_after -= 1
                if self.crash_after < 0:
                    self.crash_after = None
                    self.crash()
            if not self.is_up:
                return
            match outcome:
                case Say(payload):
                    self.say(payload)
                case Persist(slot, parts):
                    assert slot == "lock"
                    self.disk = b"".join(parts)
                case SetTimer(timer, at_ns):
                    self.network.at(
                        at_ns - self.now().monotonic_ns, self, self.fire, timer
                    )
                case Decide(block):
                    self.adopt(block)
                case Behind(height):
                    self.network.at(50_000_000, self, self.sync, height)

    def fire(self, timer):
        self.carry_out(self.engine.upon_timer(self.now(), timer))

    def say(self, payload):
        self.promises.check(self.network.decode(payload))
        for other in self.network.peers:
            if other is not self:
                self.network.send(self, other, payload)

    def adopt(self, block):
        verify_seals(block, self.application.authorities.validators, is_signed)
        self.application.adopt(block)
        self.network.record(self, block)
        self.carry_out(self.start_height())

    def sync(self, height):
        for other in self.network.peers:
            if other.is_up and self.network.is_linked(self, other):
                for block in other.application.chain[self.height + 1:]:
                    if block.header.parent == self.application.head.digest:
                        self.adopt(block)


class Liar(Peer):
    """An equivocating validator: it tells two halves of the city two different stories."""

    def say(self, payload):
        message = self.network.decode(payload)
        author = Author(self.network.genesis, self.index)
        height, number = message.height, message.round
        match message:
            case Proposal():
                twin = self.application.make_block(message.block.header.time_ns)
                for block, half in ((message.block, 0), (twin, 1)):
                    story = replace(
                        author.proposal(height, number, block),
                        round_changes=message.round_changes, prepares=message.prepares,
                    )
                    self.tell([story, *self.endorse(story)], half)
            case RoundChange():
                self.tell([author.claim(height, number, None, None)], None)
            case _:
                self.tell([message], None)

    def endorse(self, proposal):
        author = Author(self.network.genesis, self.index)
        at = (proposal.height, proposal.round, proposal.block.header.digest)
        return [author.prepare(*at), author.commit(*at)]

    def tell(self, messages, half):
        for other in self.network.peers:
            # Liars keep one another informed.
            is_meant = half in (None, other.index % 2) or isinstance(other, Liar)
            if other is not self and is_meant:
                for message in messages:
                    self.network.send(self, other, encode_message(message))

    def receive(self, payload):
        message = self.network.decode(payload)
        if isinstance(message, Proposal):
            half = None if message.prepares else self.network.draws.below(3)
            self.tell(self.endorse(message), None if half == 2 else half)
        super().receive(payload)


class Mute(Peer):
    """A validator that listens and says nothing."""

    def say(self, payload):
        pass


class Network:
    """A heap of events; ``chaos_until_ns`` ends loss, long delays, copies and partitions."""

    def __init__(self, n, seed, faulty=(), faulty_type=Liar, params=PARAMS):
        self.genesis = make_genesis(n, params)
        self.chain_id = self.genesis.compute_chain_id()
        self.draws = Draws(seed)
        self.now_ns = EPOCH_NS
        self.chaos_until_ns = EPOCH_NS
        self.loss_ratio = 0.0
        self.copy_ratio = 0.0
        self.delay_max_ns = 100_000_000
        self.partition = None
        self.is_dropped = None
        self.refused = {}
        self.decided = {}
        self.forks = []
        self._heap = []
        self._sequence = count()
        self._decoded = {}
        self.peers = [
            faulty_type(self, i) if i in faulty else Peer(self, i) for i in range(n)
        ]

    @property
    def honest(self):
        return [peer for peer in self.peers if type(peer) is Peer]

    def start(self):
        for peer in self.peers:
            peer.restart()

    def decode(self, payload):
        message = self._decoded.get(payload)
        if message is None:
            message = decode_message(payload, self.chain_id, self.genesis.params)
            self._decoded[payload] = message
        return message

    def at(self, delay_ns, peer, callback, argument):
        """Call back a peer after a delay, unless it has restarted or is down by then."""
        assert delay_ns >= 0
        incarnation = None if peer is None else peer.incarnation
        heappush(self._heap, (
            self.now_ns + delay_ns, next(self._sequence), peer, incarnation, callback, argument,
        ))

    def is_linked(self, one, other):
        if self.partition is None or self.now_ns >= self.chaos_until_ns:
            return True
        return self.partition[one.index] == self.partition[other.index]

    def send(self, sender, receiver, payload):
        if not receiver.is_up or not self.is_linked(sender, receiver):
            return
        if self.is_dropped is not None and self.is_dropped(receiver, self.decode(payload)):
            return
        copies, delay_ns = 1, 20_000_000
        if self.now_ns < self.chaos_until_ns:
            if self.draws.chance(self.loss_ratio):
                return
            copies += self.draws.chance(self.copy_ratio)
            delay_ns = self.delay_max_ns
        for _ in range(copies):
            self.at(1_000_000 + self.draws.below(delay_ns), receiver, receiver.receive, payload)

    def record(self, peer, block):
        if type(peer) is not Peer:
            return
        digest = self.decided.setdefault(block.header.height, block.header.digest)
        if digest != block.header.digest:
            self.forks.append(block.header.height)

    def run(self, until_ns, is_done=lambda: False):
        """Events in order until a time or a condition."""
        while self._heap and self._heap[0][0] <= until_ns and not is_done():
            self.now_ns, _, peer, incarnation, callback, argument = heappop(self._heap)
            if peer is None or (peer.is_up and peer.incarnation == incarnation):
                callback(argument)
        if not is_done():
            self.now_ns = until_ns


__all__ = [
    "EPOCH_NS", "PARAMS", "SECOND_NS", "Application", "Author", "Block", "Draws", "Header",
    "Liar", "Mute", "Network", "Peer", "Vote", "make_genesis", "make_keys", "sign",
]
