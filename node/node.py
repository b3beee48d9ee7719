"""The node behind its one door: ``Node.handle(now, input) -> effects``.

A pure state machine: no clock, no chance, no I/O, no log. This file only wires the parts; what
is done with an input is said in the file of the noun that it concerns.

    Received ─► wire ─► gossip / sync / mempool / engine ─► chain ─► effects
    Submitted ─► relay ─► bundle
    TimerFired ─► engine / relay / sync
"""

from typing import Final, assert_never

from node.block import Block, decode_block
from node.bundle import Bundle
from node.chain import Chain, Step, decode_bundles, describe_final
from node.consensus.authorities import compute_first_proposer
from node.consensus.engine import Behind, Decide, Engine, Outcome, Say
from node.consensus.qbft.controller import Controller
from node.consensus.qbft.messages import Message as ConsensusMessage
from node.consensus.qbft.messages import decode_message
from node.crypto import Identity, digest
from node.effects import Disconnect, Effect, Emit, Reply, Send, Spread, Worked
from node.errors import InvalidBlock, InvalidMessage
from node.events import ConflictSeen, InputRefused
from node.gossip import Gossip, is_spreader
from node.inputs import (
    Input,
    Other,
    PeerJoined,
    PeerLeft,
    Received,
    Role,
    Started,
    Submitted,
    TimerFired,
)
from node.machine import Machine
from node.mempool import Mempool
from node.params import Genesis
from node.producer import Producer
from node.relay import CLIENT, Relay
from node.seals import check_seals
from node.sync import Sync
from node.types import Digest, Now, PeerHandle
from node.validation import list_checking, verify_bundle
from node.verdict import Accept, Reject
from node.wire import (
    BlockCarried,
    BlocksGiven,
    BlocksWanted,
    BundleCarried,
    ConsensusCarried,
    Message,
    Status,
    decode_frame,
    frame_consensus,
    frame_given,
    frame_sealed,
    frame_status,
)
from node.work import Work, WorkKind

GIVEN_BYTES: Final = 8 * 1024 * 1024
_HANDLED: Final = Worked(WorkKind.HANDLE, 1)
_ADMITTED: Final = Worked(WorkKind.ADMIT, 1)
_OBSERVER: Final = Role.OBSERVER


class Node(Machine):
    """One validator, relay or observer.

    ``chain`` and ``lock`` are what a restart read back from disk; without them the node starts
    from genesis. Whatever an input holds, ``handle`` never raises for it: a refusal is an
    ``InputRefused`` event and leaves the state as it was.
    """

    __slots__ = ("chain", "engine", "genesis", "gossip", "identity", "mempool", "params",
                 "producer", "relay", "role", "sync", "work")

    def __init__(
        self, genesis: Genesis, identity: Identity, role: Role, work: Work,
        chain: Chain | None = None, lock: bytes | None = None, sequence: int = 0,
    ) -> None:
        self.genesis = genesis
        self.params = genesis.params
        self.identity = identity
        self.role = role
        self.work = work
        self.chain = Chain(genesis) if chain is None else chain
        self.gossip = Gossip()
        self.sync = Sync(genesis.params)
        self.mempool: Mempool | None = None
        self.producer: Producer | None = None
        self.engine: Engine | None = None
        self.relay: Relay | None = None
        if role is Role.VALIDATOR:
            self.mempool = Mempool(genesis.params)
            self.producer = Producer(self.chain, self.mempool, identity, work)
            self.engine = Controller(
                genesis, self.chain.chain_id, identity.public, self.producer, lock,
                self._decode_consensus,
            )
        elif role is Role.RELAY:
            self.relay = Relay(
                genesis.params, self.chain.chain_id, identity, work, sequence
            )

    def handle(self, now: Now, happened: Input) -> tuple[Effect, ...]:
        """What the host must do about one input, in order. Raises nothing for any bytes."""
        effects: list[Effect] = []
        if type(happened) is Received:  # nearly all are
            self._upon_frame(now, happened.peer, happened.frame, effects)
        else:
            self._upon_other(now, happened, effects)
        return tuple(effects)

    def _upon_other(
        self, now: Now, happened: Other, effects: list[Effect]
    ) -> None:
        match happened:
            case TimerFired(timer):
                self._upon_timer(now, timer, effects)
            case Submitted(client, transaction):
                self._upon_submitted(now, client, transaction, effects)
            case PeerJoined(peer):
                self.gossip.upon_joined(happened)
                effects.append(
                    Send(peer, frame_status(self.chain.height, self.chain.head.digest))
                )
            case PeerLeft(peer):
                self.gossip.upon_left(peer)
                self.sync.upon_peer_left(peer)
            case Started():
                if self.engine is not None:
                    outcomes = self.engine.upon_head(
                        now, self.chain.head, self.chain.authorities
                    )
                    self._carry_out(now, outcomes, effects)
            case _:
                assert_never(happened)

    def compute_digest(self) -> Digest:
        """Names everything this node would act upon; a refused input leaves it the same."""
        parts = [self.chain.head.digest, self.gossip.compute_digest(),
                 self.sync.compute_digest()]
        parts += [
            part.compute_digest()
            for part in (self.mempool, self.engine, self.relay)
            if part is not None
        ]
        return digest(b"node", b"".join(digest(b"part", part) for part in parts))

    def _upon_frame(
        self, now: Now, peer: PeerHandle, frame: bytes, effects: list[Effect]
    ) -> None:
        effects.append(_HANDLED)
        try:
            message: Message = self.work.once(
                decode_frame, frame, frame, self.params, self.work
            )
            if type(message) is ConsensusCarried:
                self._upon_consensus(now, peer, message.payload, effects)
                return
            match message:
                case BlockCarried(block):
                    self._upon_block(now, peer, block, frame, effects)
                case BundleCarried(bundle):
                    self._upon_bundle(peer, bundle, frame, effects)
                case BlocksWanted(first, count):
                    self._upon_wanted(peer, first, count, effects)
                case BlocksGiven(blocks):
                    self._upon_given(now, peer, blocks, effects)
                case Status(height, _):
                    self.sync.upon_peer_height(now, peer, height, self.chain.height, effects)
                case _:
                    assert_never(message)
        except (InvalidMessage, InvalidBlock) as error:
            effects.append(Emit(InputRefused(peer, "reject", error.reason)))
            effects.append(Disconnect(peer, error.reason))

    def _upon_block(
        self, now: Now, peer: PeerHandle, block: Block, frame: bytes, effects: list[Effect]
    ) -> None:
        chain = self.chain
        header = block.header
        ahead = header.height - chain.head.height
        if ahead <= 0:
            is_here = header.height >= chain.first
            if is_here and header.digest != chain.get_digest(header.height):
                self._upon_other_block(block, effects)
            return
        if ahead > 1:
            self.sync.upon_peer_height(now, peer, header.height, chain.height, effects)
            return
        step = chain.plan_step(frame, block, self.work)
        effects += self._select_checked(step)
        onward = self.gossip.get_onward(peer)
        if onward:
            effects.append(Spread(onward, frame, header.digest))
        self._take(now, step, effects)

    def _upon_other_block(self, block: Block, effects: list[Effect]) -> None:
        """Only a block that is sealed by the validators of its place proves a broken chain."""
        height = block.header.height
        mine = self.chain.get_header(height)
        if block.header.validators != mine.validators or block.header.parent != mine.parent:
            raise InvalidBlock("other block", mine.digest.hex(), block.header.digest.hex())
        check_seals(block.encoded, block, self.work)
        effects.append(Emit(ConflictSeen(height, mine.digest, block.header.digest)))

    def _select_checked(self, step: Step) -> tuple[Worked, ...]:
        """Who holds bundles knows most of a block already; what is new is told with them."""
        if self.role is _OBSERVER:
            return step.checked
        block = step.block
        rest_bytes = block.size - sum(map(len, block.bundles))
        assert step.checked[0].kind is WorkKind.DECODE_BYTES
        return Worked(WorkKind.DECODE_BYTES, rest_bytes), *step.checked[1:]

    def _take(self, now: Now, step: Step, effects: list[Effect]) -> None:
        """Execute a block that others made final, and put it upon the head."""
        self.chain.take(step)
        if self.role is _OBSERVER:
            effects += step.done
            return
        block = step.block
        bundles = decode_bundles(
            block.header.bundles_root, block.bundles, self.genesis, self.work
        )
        holder = self.relay or self.mempool
        assert holder is not None, "who is no observer holds bundles"
        effects += list_checking(bundles, holder.held)
        effects += step.output.executed
        effects += describe_final(block)
        self._upon_adopted(now, block, effects)

    def _upon_adopted(self, now: Now, block: Block, effects: list[Effect]) -> None:
        """The head has moved on: whoever waits for what is in it is told."""
        header = block.header
        bundles = decode_bundles(header.bundles_root, block.bundles, self.genesis, self.work)
        if self.relay is not None:
            receipts = sum(len(bundle.transactions) for bundle in bundles)
            if receipts:
                effects.append(Worked(WorkKind.INDEX, receipts))
            self.relay.upon_final(header.height, bundles, self.gossip.validators, effects)
        elif self.engine is not None:
            assert self.mempool is not None
            self.mempool.upon_final(header.height, bundles)
            outcomes = self.engine.upon_head(now, header, self.chain.authorities)
            self._carry_out(now, outcomes, effects)

    def _upon_bundle(
        self, peer: PeerHandle, bundle: Bundle, frame: bytes, effects: list[Effect]
    ) -> None:
        if self.mempool is None:
            effects.append(Emit(InputRefused(peer, "ignore", "not a validator")))
            return
        effects.append(Worked(WorkKind.DECODE_BYTES, len(frame)))
        if self.mempool.is_known(bundle.digest):
            effects.append(Emit(InputRefused(peer, "ignore", "known bundle")))
            return
        effects.append(Worked(WorkKind.CHECK_SIGNATURE, 1 + len(bundle.transactions)))
        self.work.once(
            verify_bundle, bundle.digest + bundle.signature, bundle, self.genesis,
            self.chain.chain_id, self.work,
        )
        verdict = self.mempool.add(bundle)
        if isinstance(verdict, Reject):
            raise InvalidMessage(verdict.reason)
        if not isinstance(verdict, Accept):
            effects.append(Emit(InputRefused(peer, "ignore", verdict.reason)))
            return
        effects.append(Worked(WorkKind.HANDLE, len(bundle.transactions)))
        if self.gossip.get_role(peer) is not Role.VALIDATOR:
            self._pass_on(frame, effects)

    def _pass_on(self, frame: bytes, effects: list[Effect]) -> None:
        """Give a relay's bundle to the validators who propose next, also if rounds fail."""
        head = self.chain.head
        validators = self.chain.authorities.validators
        by_key = self.gossip.validators_by_key
        first = compute_first_proposer(validators, head.proposer)
        targets = []
        for turn in range(first, first + min(self.params.bundle_targets, len(validators))):
            proposer = validators[turn % len(validators)]
            if proposer in by_key:
                targets.append(by_key[proposer])
        if targets:
            effects.append(Spread(tuple(targets), frame, b""))

    def _upon_wanted(
        self, peer: PeerHandle, first: int, count: int, effects: list[Effect]
    ) -> None:
        blocks: list[bytes] = []
        size = 0
        if first < self.chain.first:
            count = 0  # who asks turns to another for what is not here
        for height in range(first, min(first + count, self.chain.height + 1)):
            encoded = self.chain.get_encoded(height)
            size += len(encoded)
            if blocks and size > GIVEN_BYTES:
                break
            blocks.append(encoded)
        effects.append(Send(peer, frame_given(blocks)))

    def _upon_given(
        self, now: Now, peer: PeerHandle, blocks: tuple[bytes, ...], effects: list[Effect]
    ) -> None:
        for encoded in blocks:
            block: Block = self.work.once(decode_block, encoded, encoded, self.params)
            if block.header.height == self.chain.height + 1:
                step = self.chain.plan_step(encoded, block, self.work)
                effects += self._select_checked(step)
                self._take(now, step, effects)
        self.sync.upon_progress(now, peer, self.chain.height, effects)

    def _upon_consensus(
        self, now: Now, peer: PeerHandle, payload: bytes, effects: list[Effect]
    ) -> None:
        if self.engine is None:
            raise InvalidMessage("consensus to a non-validator")
        outcomes = self.engine.upon_message(now, payload)
        if outcomes:
            self._carry_out(now, outcomes, effects, peer)

    def _decode_consensus(self, payload: bytes) -> ConsensusMessage:
        return self.work.once(
            decode_message, payload, payload, self.chain.chain_id, self.params
        )

    def _upon_timer(
        self, now: Now, timer: tuple[str, int, int], effects: list[Effect]
    ) -> None:
        name, number, _ = timer
        if name == "sync":
            self.sync.upon_timer(now, number, self.chain.height, effects)
        elif name == "bundle":
            assert self.relay is not None
            self.relay.upon_timer(
                number, self.chain.height, self.gossip.validators, effects
            )
        else:
            assert self.engine is not None
            self._carry_out(now, self.engine.upon_timer(now, timer), effects)

    def _upon_submitted(
        self, now: Now, client: int, encoded: bytes, effects: list[Effect]
    ) -> None:
        effects.append(_HANDLED)
        if self.relay is None:
            effects.append(Emit(InputRefused(CLIENT, "reject", "not a relay")))
            effects.append(Reply(client, b"", "not a relay"))
            return
        effects.append(_ADMITTED)
        self.relay.upon_submitted(now, client, encoded, self.chain.head.time_ns, effects)
        if self.relay.is_full():
            self.relay.publish(self.chain.height, self.gossip.validators, effects)

    def _carry_out(
        self, now: Now, outcomes: list[Outcome], effects: list[Effect],
        peer: PeerHandle | None = None,
    ) -> None:
        assert self.producer is not None
        effects += self.producer.take_account()
        for outcome in outcomes:
            if type(outcome) is Worked:
                effects.append(outcome)
            elif isinstance(outcome, Say):
                frame = frame_consensus(outcome.frame_payload)
                effects.append(Spread(self.gossip.validators, frame, b""))
            elif isinstance(outcome, Decide):
                self._upon_decided(now, outcome.block, effects)
            elif isinstance(outcome, Behind):
                if peer is not None:
                    self.sync.upon_peer_height(
                        now, peer, outcome.height - 1, self.chain.height, effects
                    )
            else:
                effects.append(outcome)

    def _upon_decided(self, now: Now, block: Block, effects: list[Effect]) -> None:
        if block.header.height != self.chain.height + 1:
            return
        onward = self.gossip.get_onward(None)
        if onward and is_spreader(block.header, self.identity.public):
            # many seal a block with the same seals; one process then holds one frame of them,
            # with the bundles' signatures as the first of them had them: each is valid
            frame = self.work.once(frame_sealed, block.head, block)
            effects.append(Spread(onward, frame, block.header.digest))
        step = self.chain.adopt(block, self.chain.verify_next(block, self.work))
        effects += step.done
        self._upon_adopted(now, block, effects)
