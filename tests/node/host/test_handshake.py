import pytest
from nacl.bindings import crypto_secretstream_xchacha20poly1305_TAG_REKEY as TAG_REKEY

from node.crypto import digest
from node.host import handshake
from node.host.cipher import SEAL_OVERHEAD_BYTES, Ephemeral, Opener, Sealer
from node.host.errors import HandshakeFailed, LinkBroken, LinkRefused
from node.host.handshake import (
    GENESIS_BYTES_MAX,
    HELLO_BYTES,
    PROOF_BYTES,
    VERDICT_BYTES,
    GenesisAsker,
    Initiator,
    Refusal,
    Responder,
    give_genesis,
)
from node.inputs import Role
from tests.node.host.wires import (
    ALICE,
    BOB,
    CHAIN_ID,
    make_parties,
    make_seed,
    make_terms,
    shake,
)
from tests.node.samples import make_identity

P = 2**255 - 19
LOW_ORDER_POINTS = [
    number.to_bytes(32, "little")
    for number in (
        0, 1, P - 1, P, P + 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
]


def record(seed=""):
    """All flights of one good handshake, by name."""
    flights = {}
    shake(*make_parties(seed), tap=lambda name, flight: flights.setdefault(name, flight))
    return flights


def test_both_sides_learn_who_the_other_is():
    alice, bob = shake(*make_parties(role=Role.RELAY))
    assert (alice.identity, alice.role) == (BOB.public, Role.RELAY)
    assert (bob.identity, bob.role) == (ALICE.public, Role.RELAY)


def test_the_streams_go_on_in_both_directions():
    alice, bob = shake(*make_parties())
    for number in range(5):
        said = b"word %d" % number
        assert bob.opener.open(alice.sealer.seal(said)) == (said, False)
        assert alice.opener.open(bob.sealer.seal(said, is_last=number == 4)) == (
            said, number == 4,
        )


def test_a_stream_changes_its_key_now_and_then_and_goes_on():
    alice, bob = shake(*make_parties())
    tags = []
    for number in range(4096 + 10):
        said = number.to_bytes(2)
        assert bob.opener.open(alice.sealer.seal(said)).plain == said
        tags.append(bob.opener._state.tagbuf[0])
    # Alice's first record was her claim
    assert [number for number, tag in enumerate(tags, 2) if tag == TAG_REKEY] == [4096]


def test_the_streams_keys_depend_on_all_that_was_said():
    mine, other = Ephemeral(make_seed("mine")), Ephemeral(make_seed("other"))
    keys = {
        handshake._derive_streams(mine, other.public, said, b"there", b"back")[1]
        for said in (b"this", b"that")
    }
    assert len(keys) == 2


def test_every_flight_has_a_fixed_size():
    sizes = {name: len(flight) for name, flight in record().items()}
    assert sizes == {"hello": HELLO_BYTES, "reply": 15 + 32 + PROOF_BYTES,
                     "proof": PROOF_BYTES, "verdict": VERDICT_BYTES}
    assert sizes == {"hello": 47, "reply": 185, "proof": 138, "verdict": 18}


def test_no_identity_is_seen_on_the_wire():
    said = b"".join(record().values())
    assert ALICE.public not in said
    assert BOB.public not in said


def test_another_chain_is_refused_with_the_reason():
    alice = Initiator(make_terms(ALICE), make_seed("a"))
    bob = Responder(make_terms(BOB, chain_id=b"no chain"), make_seed("b"))
    with pytest.raises(HandshakeFailed, match="other chain"):
        bob.receive(alice.hello)
    with pytest.raises(HandshakeFailed, match="other chain"):
        alice.receive(bob.farewell)


def test_whoever_answers_for_another_chain_is_not_believed():
    alice, bob = make_parties()
    reply = bytearray(bob.receive(alice.hello))
    reply[10] ^= 1
    with pytest.raises(HandshakeFailed, match="other chain"):
        alice.receive(bytes(reply[: alice.wanted]))


def test_another_version_is_refused_with_the_reason():
    alice, bob = make_parties()
    with pytest.raises(HandshakeFailed, match="other version"):
        bob.receive(b"veche\x02" + alice.hello[6:])
    with pytest.raises(HandshakeFailed, match="other version"):
        alice.receive(bob.farewell)


def test_garbage_gets_no_answer():
    _, bob = make_parties()
    with pytest.raises(HandshakeFailed, match="not veche"):
        bob.receive(b"GET / HTTP/1.1\r\nHost: veche.example\r\nAccept: */*"[:HELLO_BYTES])
    assert bob.farewell == b""


def test_the_other_side_of_an_expected_identity_is_that_one():
    shake(*make_parties(expected=BOB.public))
    with pytest.raises(HandshakeFailed, match="other identity"):
        shake(*make_parties(expected=make_identity("carol").public))


def test_two_processes_with_one_key_get_no_link():
    alice = Initiator(make_terms(BOB), make_seed("a"))
    with pytest.raises(HandshakeFailed, match="own identity"):
        shake(alice, make_parties()[1])


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point[:2].hex())
def test_points_of_low_order_are_refused(point):
    alice, bob = make_parties()
    with pytest.raises(HandshakeFailed, match="low-order point"):
        bob.receive(alice.hello[:15] + point)
    reply = make_parties()[1].receive(alice.hello)
    alice.receive(reply[:15])
    with pytest.raises(HandshakeFailed, match="low-order point"):
        alice.receive(point + reply[47:])


def test_a_reflected_hello_is_no_reply():
    alice, _ = make_parties()
    with pytest.raises(HandshakeFailed, match="unknown status"):
        alice.receive(alice.hello[: alice.wanted])


def test_a_reflected_ephemeral_is_refused():
    alice, bob = make_parties()
    reply = bob.receive(alice.hello)
    alice.receive(reply[:15])
    with pytest.raises(HandshakeFailed, match="reflection"):
        alice.receive(alice.hello[15:] + reply[47:])


def test_a_reflected_claim_is_refused():
    alice, bob = make_parties()
    reply = bob.receive(alice.hello)
    with pytest.raises(HandshakeFailed, match="forged record"):
        bob.receive(reply[-PROOF_BYTES:])


def test_a_replayed_handshake_is_refused():
    old = record("yesterday")
    _, bob = make_parties("today")
    bob.receive(old["hello"])
    with pytest.raises(HandshakeFailed, match="forged record"):
        bob.receive(old["proof"])
    alice, _ = make_parties("today")
    alice.receive(old["reply"][:15])
    with pytest.raises(HandshakeFailed, match="forged record"):
        alice.receive(old["reply"][15:])


class Mallory:
    """Does the arithmetic of a handshake as an initiator, and claims what she likes."""

    def __init__(self, bob):
        ephemeral = Ephemeral(make_seed("mallory"))
        hello = b"veche\x01L" + CHAIN_ID + ephemeral.public
        reply = bob.receive(hello)
        transcript = digest(b"link", hello + reply[:47])
        self.sealer, key = handshake._derive_streams(
            ephemeral, reply[15:47], transcript, b"veche initiator", b"veche responder"
        )
        _, claim = handshake._open_claim(key, reply[47:])
        self.said = transcript + claim

    def prove(self, claim, *, is_last=False):
        return self.sealer.header + self.sealer.seal(claim, is_last=is_last)


def make_claim(identity, said, direction=b"veche initiator"):
    return handshake._make_claim(make_terms(identity), direction, said)


def test_mallory_may_come_as_herself():
    _, bob = make_parties()
    mallory = Mallory(bob)
    bob.receive(mallory.prove(make_claim(make_identity("mallory"), mallory.said)))
    assert bob.agreed.identity == make_identity("mallory").public


@pytest.mark.parametrize(("forge", "reason"), [
    (lambda said: ALICE.public + make_claim(make_identity("mallory"), said)[32:],
     "bad signature"),
    (lambda said: make_claim(ALICE, said + b"other"), "bad signature"),
    (lambda said: make_claim(ALICE, said, b"veche responder"), "bad signature"),
    (lambda said: make_claim(ALICE, said)[:32] + b"\x01" + make_claim(ALICE, said)[33:],
     "bad signature"),
    (lambda said: make_claim(ALICE, said)[:32] + b"\x00" + make_claim(ALICE, said)[33:],
     "unknown role"),
    (lambda said: make_claim(BOB, said), "own identity"),
])
def test_mallory_cannot_claim_what_is_not_hers(forge, reason):
    _, bob = make_parties()
    mallory = Mallory(bob)
    with pytest.raises(HandshakeFailed, match=reason):
        bob.receive(mallory.prove(forge(mallory.said)))
    assert bob.agreed is None


def test_a_claim_is_not_the_last_record_of_its_stream():
    _, bob = make_parties()
    mallory = Mallory(bob)
    claim = make_claim(ALICE, mallory.said)
    with pytest.raises(HandshakeFailed, match="forged record"):
        bob.receive(mallory.prove(claim, is_last=True))


def test_a_man_in_the_middle_cannot_pass_a_claim_on():
    """Mallory has a session with Alice, who dialled her, and another with Bob."""
    alice = Initiator(make_terms(ALICE), make_seed("a"))
    carol = Responder(make_terms(make_identity("mallory")), make_seed("m"))
    reply = carol.receive(alice.hello)
    alice.receive(reply[:15])
    proof = alice.receive(reply[15:])
    _, claim = handshake._open_claim(carol._key, proof)
    assert claim.startswith(ALICE.public)
    _, bob = make_parties()
    with pytest.raises(HandshakeFailed, match="bad signature"):
        bob.receive(Mallory(bob).prove(claim))


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refusal_names_its_reason(refusal):
    with pytest.raises(LinkRefused, match=refusal.reason):
        shake(*make_parties(), verdict=lambda bob: bob.refuse(refusal))


def test_a_forged_verdict_makes_no_link():
    with pytest.raises(HandshakeFailed, match="forged record"):
        shake(*make_parties(), verdict=lambda bob: bytes(VERDICT_BYTES))


def test_who_steals_both_keys_later_cannot_read_what_was_recorded():
    """All that identities add to the streams' keys is nothing: those need an ephemeral."""
    recorded = {}

    def tap(name, flight):
        return recorded.setdefault(name, flight)

    alice, bob = make_parties("that day")
    shake(alice, bob, tap=tap)
    thief = Initiator(make_terms(ALICE), make_seed("the thief's own"), BOB.public)
    thief.hello = recorded["hello"]
    thief.receive(recorded["reply"][:15])
    with pytest.raises(HandshakeFailed, match="forged record"):
        thief.receive(recorded["reply"][15:])


def test_the_genesis_is_given_to_whoever_asks():
    asker = GenesisAsker()
    _, bob = make_parties()
    assert bob.receive(asker.hello) == b""
    assert bob.asks_genesis
    assert not bob.wanted
    answer = give_genesis(CHAIN_ID, b"in the beginning")
    while asker.wanted:
        said, answer = answer[: asker.wanted], answer[asker.wanted :]
        assert asker.receive(said) == b""
    assert asker.genesis == b"in the beginning"
    assert answer == b""


@pytest.mark.parametrize("length", [0, GENESIS_BYTES_MAX + 1, 2**32 - 1])
def test_a_genesis_of_a_strange_size_is_not_waited_for(length):
    asker = GenesisAsker()
    asker.receive(give_genesis(CHAIN_ID, b"x")[:15])
    with pytest.raises(HandshakeFailed, match="genesis size"):
        asker.receive(length.to_bytes(4))


def test_a_record_too_short_to_be_one_is_forged():
    key = make_seed("key")
    opener = Opener(key, Sealer(key).header)
    with pytest.raises(LinkBroken, match="forged record"):
        opener.open(bytes(SEAL_OVERHEAD_BYTES - 1))
