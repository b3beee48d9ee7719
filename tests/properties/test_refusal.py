"""Whatever comes in, a node does not raise; and what it refuses leaves it as it was.

Frames are random bytes, random values in the codec's own form, and true frames of a living city
with some of their bytes changed; each goes to a validator, a relay and an observer.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.block import compute_seal_message, decode_block, make_block, make_header
from node.bundle import decode_bundle, make_bundle
from node.codec import encode
from node.consensus.qbft.messages import (
    Commit,
    Prepare,
    Proposal,
    RoundChange,
    compute_prepare_message,
    compute_proposal_message,
    compute_round_change_message,
    encode_message,
)
from node.effects import Disconnect, Emit
from node.events import BlockFinal, InputRefused
from node.execution import execute_bundles
from node.inputs import PeerJoined, Received, Submitted
from node.node import Node
from node.receipt import decode_receipt
from node.services import catalogue
from node.services.election import CREATE_VOTING, make_create_voting
from node.services.identity import ENABLE_SERVICE
from node.state import EMPTY_STATE
from node.transaction import make_transaction
from node.types import Now
from node.wire import (
    frame_block,
    frame_bundle,
    frame_consensus,
    frame_given,
    frame_status,
    frame_wanted,
)
from node.work import Work
from tests.node.nodenet import CHIEF, NodeNet

INDICES = (0, 4, 6)


def make_recorded_city():
    """A city with some history, the frames that made it, and frames still to come."""
    net = NodeNet(relays=2, observers=1)
    recorded = {}
    net.drop = lambda sender, receiver, frame: recorded.setdefault(frame) and False
    for nonce in range(1, 4):
        net.submit(4, net.make_grant(nonce))
        net.run(4)
    return net, list(recorded)


NET, RECORDED = make_recorded_city()
SOURCE = NET.nodes[1]


def make_node(index):
    """The node of the city as it stands, with links, for one example to play with."""
    known = NET.nodes[index].chain.copy()
    node = Node(NET.genesis, NET.identities[index], NET.get_role(index), Work(), known)
    now = Now(NET.now_ns, NET.now_ns)
    if node.engine is not None:
        node.engine.upon_head(now, known.head, known.authorities)
    for other in range(len(NET.nodes)):
        if NET.are_neighbours(index, other):
            node.handle(now, PeerJoined(
                other, NET.identities[other].public, NET.get_role(other)
            ))
    return node, now


def make_votes():
    """True votes of validator 1 for heights and rounds near and far."""
    author, head = NET.identities[1], NET.nodes[0].chain.height
    for height in (head - 1, head, head + 1, head + 2, head + 5, head + 50):
        for round_number in (0, 1, 7):
            place = (NET.chain_id, height, round_number)
            signed = compute_prepare_message(*place, bytes(32))
            yield Prepare(height, round_number, 1, bytes(32), author.sign(signed), signed)
            signed = compute_seal_message(*place, bytes(32))
            yield Commit(height, round_number, 1, bytes(32), author.sign(signed), signed)
            signed = compute_round_change_message(*place, None, None)
            yield RoundChange(
                height, round_number, 1, None, None, author.sign(signed), signed, None, ()
            )


def make_true_frames():
    chain = NET.nodes[0].chain
    bundle = make_bundle(NET.identities[4], NET.chain_id, 9, [NET.make_grant(9)])
    blocks = [chain.get_encoded(height) for height in range(1, chain.height + 1)]
    future = encode_future(blocks[-1])
    return [
        *RECORDED, frame_bundle(bundle), frame_given(blocks), frame_given([future]),
        frame_block(future), frame_status(2**50, bytes(32)), frame_wanted(1, 16),
        *(frame_consensus(encode_message(vote)) for vote in make_votes()),
    ]


def encode_future(encoded):
    """A block of a far height under seals that are not its own."""
    block = decode_block(encoded, NET.genesis.params)
    header = block.header
    moved = make_header(
        header.chain_id, header.height + 1, header.digest, header.time_ns + 5 * 10**9,
        header.proposer, header.bundles_root, header.receipts_root, header.state_root,
        header.validators, None,
    )
    return make_block(moved, block.round, block.seals, block.bundles).encoded


TRUE_FRAMES = make_true_frames()


@st.composite
def mutated(draw, originals):
    """One of the originals with a few bytes changed, cut, added or moved."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 3))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        deed = draw(st.sampled_from(("set", "cut", "insert", "end", "double")))
        if deed == "set":
            data[at] = draw(st.integers(0, 255))
        elif deed == "cut":
            del data[at : at + draw(st.integers(1, 8))]
        elif deed == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif deed == "end":
            del data[at:]
        else:
            data += data[at:]
    return bytes(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=70)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6), max_leaves=12,
)
TAGGED = st.builds(lambda tag, rest: encode([tag, *rest]), st.integers(0, 8),
                   st.lists(VALUES, max_size=5))
NESTED = st.builds(lambda tag, inner: encode([tag, encode(inner)]),
                   st.sampled_from((2, 3, 6)), VALUES)
FRAMES = (
    st.binary(max_size=80) | VALUES.map(encode) | TAGGED | NESTED | mutated(TRUE_FRAMES)
)
TRANSACTION = NET.make_grant(7)
SUBMISSIONS = st.binary(max_size=80) | VALUES.map(encode) | mutated([
    TRANSACTION, make_transaction(NET.identities[6], b"another!", 10, 1, []),
]) | st.builds(lambda body, end: encode([encode(body), end]), VALUES,
               st.binary(min_size=64, max_size=64))


def check(node, now, happened):
    """``handle`` did not raise, and if it refused then nothing has changed."""
    before = node.compute_digest()
    effects = node.handle(now, happened)
    refusals = [
        effect.event for effect in effects
        if type(effect) is Emit and type(effect.event) is InputRefused
    ]
    ends = [effect for effect in effects if type(effect) is Disconnect]
    rejected = [refusal for refusal in refusals if refusal.verdict == "reject"]
    if type(happened) is Received:
        assert len(ends) == len(rejected) <= 1
    if ends:
        assert effects[-1] == ends[0]
        assert ends[0].reason == rejected[0].reason
    adopted = any(type(e) is Emit and type(e.event) is BlockFinal for e in effects)
    # Blocks come several in a frame and are judged one by one: good ones before a bad one stay.
    if rejected and not adopted:
        assert node.compute_digest() == before, rejected
    for refusal in refusals:
        assert 0 < len(refusal.reason) <= 60
    return effects


@st.composite
def signed_lies(draw):
    """Proposals and round changes by true validators, under true signatures, of odd content."""
    chain = NET.nodes[0].chain
    parent = chain.get_header(chain.height)
    encoded = draw(st.sampled_from([
        chain.get_encoded(height) for height in range(1, chain.height + 1)
    ]))
    block = decode_block(encoded, NET.genesis.params)
    author = draw(st.integers(0, 3))
    identity = NET.identities[author]
    odd = st.sampled_from((bytes(32), b"\x07" * 32, parent.state_root, identity.public))
    header = make_header(
        NET.chain_id, parent.height + draw(st.integers(0, 2)),
        draw(st.sampled_from((parent.digest, bytes(32)))),
        parent.time_ns + draw(st.sampled_from((0, 5 * 10**9, 2**61))),
        draw(st.sampled_from((identity.public, parent.proposer, bytes(32)))),
        draw(st.just(block.header.bundles_root) | odd), draw(odd), draw(odd),
        draw(st.sampled_from((parent.validators, parent.validators[:2], (bytes(32),)))), None,
    )
    bundles = draw(st.sampled_from((block.bundles, (), (b"garbage",))))
    seals = draw(st.sampled_from((block.seals, ())))
    lie = make_block(header, draw(st.integers(0, 3)), seals, bundles)
    height, number = parent.height + 1, draw(st.integers(0, 4))
    of = lie.header.digest
    votes = [vote for vote in make_votes() if draw(st.booleans())]
    prepares = tuple(vote for vote in votes if type(vote) is Prepare)[:6]
    changes = tuple(vote for vote in votes if type(vote) is RoundChange)[:6]
    if draw(st.booleans()):
        signed = compute_proposal_message(NET.chain_id, height, number, of)
        return encode_message(Proposal(
            height, number, author, lie, identity.sign(signed), signed, changes, prepares
        ))
    claim = draw(st.none() | st.integers(0, 4))
    named = draw(st.sampled_from((None, of, bytes(32))))
    signed = compute_round_change_message(NET.chain_id, height, number, claim, named)
    return encode_message(RoundChange(
        height, number, author, claim, named, identity.sign(signed), signed,
        draw(st.sampled_from((None, lie))), prepares,
    ))


@pytest.mark.slow
@pytest.mark.parametrize("index", INDICES)
@settings(max_examples=600)
@given(frame=FRAMES)
def test_no_frame_raises_and_a_refused_one_changes_nothing(index, frame):
    node, now = make_node(index)
    check(node, now, Received(5 if index == 6 else 1, frame))


@pytest.mark.slow
@pytest.mark.parametrize("index", INDICES)
@settings(max_examples=300)
@given(transaction=SUBMISSIONS)
def test_no_submission_raises_and_a_refused_one_changes_nothing(index, transaction):
    node, now = make_node(index)
    check(node, now, Submitted(3, transaction))


@pytest.mark.slow
@pytest.mark.parametrize("index", INDICES)
@given(frames=st.lists(mutated(TRUE_FRAMES), min_size=1, max_size=12))
def test_no_sequence_of_frames_raises(index, frames):
    node, now = make_node(index)
    for frame in frames:
        check(node, now, Received(5 if index == 6 else 1, frame))
        now = Now(now.monotonic_ns + 10**9, now.realtime_ns + 10**9)


@pytest.mark.slow
@settings(max_examples=300)
@given(payloads=st.lists(signed_lies(), min_size=1, max_size=6))
def test_no_signed_lie_of_a_validator_raises(payloads):
    node, now = make_node(0)
    for payload in payloads:
        check(node, now, Received(1, frame_consensus(payload)))


def make_open_state():
    """A state with all services and a voting in it, as the registrar left it."""
    nonces = range(1, 1 + len(catalogue.SERVICES))
    items = [
        make_transaction(CHIEF, NET.chain_id, ENABLE_SERVICE, nonce, [service])
        for nonce, service in zip(nonces, catalogue.SERVICES, strict=True)
    ]
    items.append(make_transaction(
        CHIEF, NET.chain_id, CREATE_VOTING, len(items) + 1, make_create_voting(
            voting=1, districts=3, choices=4, open_ns=1, close_ns=10, grace_ns=5,
            holders=[CHIEF.public] * 3, threshold=2, box_public=bytes(31) + b"\x09",
        ),
    ))
    output = execute_all(EMPTY_STATE, items)
    assert {decode_receipt(receipt).status for receipt in output.receipts} == {"ok"}
    return output.state, len(items)


def execute_all(state, items):
    bundle = decode_bundle(make_bundle(CHIEF, NET.chain_id, 1, items), NET.genesis.params)
    return execute_bundles(state, 3, 7, [bundle], CHIEF.public, Work())


OPEN_STATE, NONCE = make_open_state()
SMALL = st.integers(-1, 4) | st.sampled_from((2**16, 2**32, 2**53, 2**63 - 1, 2**64 - 1))
PARTS = st.recursive(
    SMALL | st.booleans() | st.none() | st.sampled_from((b"", bytes(32), CHIEF.public, "on"))
    | st.binary(max_size=100) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5), max_leaves=10,
)


@pytest.mark.slow
@settings(max_examples=1_500)
@given(kind=st.sampled_from(sorted(catalogue.HANDLERS)), payload=st.lists(PARTS, max_size=9))
def test_no_transaction_whatever_it_asks_raises(kind, payload):
    nonce = 0 if kind in catalogue.SELF_ORDERED else NONCE + 1
    item = make_transaction(CHIEF, NET.chain_id, kind, nonce, payload)
    output = execute_all(OPEN_STATE, [item])
    status = decode_receipt(output.receipts[0]).status
    assert 0 < len(status) <= 40
    if status != "ok" and not nonce:
        assert output.state_root == OPEN_STATE.root


def test_true_frames_are_of_every_kind_so_that_mutations_reach_deep():
    assert {frame[1] for frame in TRUE_FRAMES} == {1, 2, 3, 4, 5, 6}
    assert SOURCE.chain.height >= 2
