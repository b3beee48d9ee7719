"""Real nodes joined by a fake wire: one heap of virtual time, bytes across, disks that survive.

Peers are numbered: validators, then relays, then observers. Validators are linked to all
validators and relays, observers to all relays. What a node asks of its host is done at once and
in order; frames arrive ``LATENCY_NS`` later unless ``drop`` says otherwise.
"""

from collections import Counter
from heapq import heappop, heappush

from node.block import decode_block
from node.chain import Chain
from node.effects import Disconnect, Emit, Persist, Reply, Send, SetTimer, Spread, Worked
from node.events import BlockFinal, InputRefused
from node.inputs import (
    PeerJoined,
    PeerLeft,
    Received,
    Role,
    Started,
    Submitted,
    TimerFired,
)
from node.node import Node
from node.params import Genesis, Params
from node.services.identity import GRANT_RIGHT, REGISTER, make_grant_right
from node.transaction import make_transaction
from node.types import Now
from node.work import Work
from tests.node.samples import make_identity

SECOND_NS = 1_000_000_000
START_NS = 1_000 * SECOND_NS
LATENCY_NS = 5_000_000
CHIEF = make_identity("registrar")


class NodeNet:
    """Nodes by index; ``events``, ``replies`` and ``lost`` (disconnects) are what they said."""

    def __init__(self, validators=4, relays=2, observers=1, params=None, late=()):
        self.now_ns = START_NS
        keys = [make_identity(f"validator {n}") for n in range(validators)]
        keys.sort(key=lambda identity: identity.public)
        keys += [make_identity(f"relay {n}") for n in range(relays)]
        keys += [make_identity(f"observer {n}") for n in range(observers)]
        self.identities = keys
        self.validators = list(range(validators))
        self.relays = list(range(validators, validators + relays))
        self.observers = list(range(validators + relays, len(keys)))
        self.genesis = Genesis(
            params=params or Params(),
            validators=tuple(keys[n].public for n in self.validators),
            relays=tuple(keys[n].public for n in self.relays),
            registrar=CHIEF.public, time_ns=START_NS,
        )
        self.chain_id = self.genesis.compute_chain_id()
        self.skew_ns = [0] * len(keys)
        self.nodes = [None] * len(keys)
        self.blocks = [[] for _ in keys]
        self.slots = [{} for _ in keys]
        self.lives = [0] * len(keys)
        self.links = set()
        self.events = [[] for _ in keys]
        self.replies = []
        self.lost = []
        self.worked = Counter()
        self.drop = lambda sender, receiver, frame: False
        self._heap = []
        self._seq = 0
        for index in range(len(keys)):
            if index not in late:
                self.start(index)

    # Hosts.

    def get_role(self, index):
        if index in self.validators:
            return Role.VALIDATOR
        return Role.RELAY if index in self.relays else Role.OBSERVER

    def start(self, index):
        """From genesis and what this peer's disk holds, read back as after a real restart."""
        assert self.nodes[index] is None
        chain = Chain(self.genesis)
        for encoded in self.blocks[index]:
            block = decode_block(encoded, self.genesis.params)
            chain.adopt(block, chain.verify_next(block, Work()))
        self.nodes[index] = Node(
            self.genesis, self.identities[index], self.get_role(index), Work(), chain,
            self.slots[index].get("lock"), self.now_ns,
        )
        self.tell(index, Started())
        for other in range(len(self.nodes)):
            if self.nodes[other] is not None and self.are_neighbours(index, other):
                self.link(index, other)

    def are_neighbours(self, one, other):
        roles = {self.get_role(one), self.get_role(other)}
        return one != other and roles in (
            {Role.VALIDATOR}, {Role.VALIDATOR, Role.RELAY}, {Role.RELAY, Role.OBSERVER},
        )

    def link(self, one, other):
        self.links |= {(one, other), (other, one)}
        for here, there in ((one, other), (other, one)):
            self.tell(here, PeerJoined(
                there, self.identities[there].public, self.get_role(there)
            ))

    def unlink(self, one, other):
        if (one, other) in self.links:
            self.links -= {(one, other), (other, one)}
            self.tell(one, PeerLeft(other))
            self.tell(other, PeerLeft(one))

    def crash(self, index, *, keep_disk=True):
        self.nodes[index] = None
        self.lives[index] += 1
        if not keep_disk:
            self.blocks[index], self.slots[index] = [], {}
        for other in range(len(self.nodes)):
            self.unlink(index, other)

    # Time.

    def read_clock(self, index):
        return Now(self.now_ns, self.now_ns + self.skew_ns[index])

    def later(self, at_ns, index, happened):
        self._seq += 1
        heappush(self._heap, (at_ns, self._seq, index, self.lives[index], happened))

    def run(self, seconds):
        """Let so much virtual time pass."""
        end_ns = self.now_ns + round(seconds * SECOND_NS)
        while self._heap and self._heap[0][0] <= end_ns:
            self._step()
        self.now_ns = end_ns

    def run_until(self, is_so, seconds=60):
        """Until ``is_so()``; fails after so much virtual time."""
        end_ns = self.now_ns + seconds * SECOND_NS
        while not is_so():
            assert self._heap, "nothing will happen any more"
            assert self._heap[0][0] <= end_ns, "it took too long"
            self._step()

    def _step(self):
        self.now_ns, _, index, life, happened = heappop(self._heap)
        if life != self.lives[index] or self.nodes[index] is None:
            return
        if type(happened) is Received and (index, happened.peer) not in self.links:
            return
        self.tell(index, happened)

    # What nodes hear and say.

    def tell(self, index, happened):
        """Hand one input to a node and do what it asks; returns its effects."""
        node = self.nodes[index]
        if node is None:
            return ()
        effects = node.handle(self.read_clock(index), happened)
        for effect in effects:
            match effect:
                case Send(peer, frame):
                    self._send(index, peer, frame)
                case Spread(peers, frame, _):
                    for peer in peers:
                        self._send(index, peer, frame)
                case SetTimer(timer, at_ns):
                    self.later(max(at_ns, self.now_ns), index, TimerFired(timer))
                case Persist("block", parts):
                    self.blocks[index].append(b"".join(parts))
                case Persist(slot, parts):
                    self.slots[index][slot] = b"".join(parts)
                case Reply():
                    self.replies.append((index, effect))
                case Emit(event):
                    self.events[index].append(event)
                case Disconnect(peer, reason):
                    self.lost.append((index, peer, reason))
                    self.unlink(index, peer)
                case Worked(kind, units):
                    self.worked[kind] += units
        return effects

    def _send(self, sender, receiver, frame):
        if (sender, receiver) in self.links and not self.drop(sender, receiver, frame):
            self.later(self.now_ns + LATENCY_NS, receiver, Received(sender, frame))

    def receive(self, index, peer, frame):
        """A frame out of the blue, handled now; its effects."""
        return self.tell(index, Received(peer, frame))

    def submit(self, relay, transaction, client=7):
        """The relay's verdict on a client's transaction."""
        self.tell(relay, Submitted(client, transaction))
        assert self.replies[-1][:1] == (relay,)
        return self.replies[-1][1].verdict

    # What tests ask.

    def make_grant(self, nonce, name="clerk", sender=CHIEF):
        """An ordinary transaction of the registrar's; it leaves a record in the state."""
        payload = make_grant_right(make_identity(f"{name} {nonce}").public, REGISTER)
        return make_transaction(sender, self.chain_id, GRANT_RIGHT, nonce, payload)

    def get_heights(self):
        return [None if node is None else node.chain.height for node in self.nodes]

    def reach(self, height, seconds=60):
        """Run until all that are up hold ``height``."""
        self.run_until(
            lambda: all(h is None or h >= height for h in self.get_heights()), seconds
        )

    def get_finals(self, index):
        return [event for event in self.events[index] if type(event) is BlockFinal]

    def get_refusals(self, index):
        return [event for event in self.events[index] if type(event) is InputRefused]

    def assert_one_chain(self):
        """At each height all hold the same block, and the state that it commits to."""
        digests = {}
        for node in self.nodes:
            if node is None:
                continue
            for height in range(node.chain.height + 1):
                digest = node.chain.get_digest(height)
                assert digests.setdefault(height, digest) == digest
            assert node.chain.state.root == node.chain.head.state_root


def get_reasons(effects, verdict="reject"):
    """Reasons of the refusals among effects."""
    return [
        effect.event.reason for effect in effects
        if type(effect) is Emit and type(effect.event) is InputRefused
        and effect.event.verdict == verdict
    ]
