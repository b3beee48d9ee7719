from dataclasses import replace

import pytest

from node.block import Seal
from node.codec import encode
from node.errors import InvalidProof
from node.proof import (
    decode_inclusion_proof,
    decode_record_proof,
    encode_inclusion_proof,
    encode_record_proof,
    make_inclusion_proof,
    make_record_proof,
    verify_inclusion,
    verify_record_proof,
)
from node.receipt import decode_receipt
from node.state import EMPTY_STATE
from tests.node.samples import CHAIN, KEYS, make_receipts, make_sealed_block

RECEIPTS = make_receipts(5)
STATE = EMPTY_STATE.with_changes({b"stall/1": b"held by Anna", b"stall/2": b"free"})
BLOCK = make_sealed_block(RECEIPTS, STATE)
PROOF = make_inclusion_proof(BLOCK, RECEIPTS, 3)
RECORD = make_record_proof(BLOCK, STATE, b"stall/1")


def refuse(proof, validators=KEYS, chain_id=CHAIN):
    verify = verify_inclusion if hasattr(proof, "receipt") else verify_record_proof
    with pytest.raises(InvalidProof) as caught:
        verify(proof, validators, chain_id)
    return caught.value.reason


def reseal(**changes):
    return replace(PROOF, sealed=replace(PROOF.sealed, **changes))


def test_a_citizen_checks_a_receipt_with_the_validator_set_alone():
    for index, receipt in enumerate(RECEIPTS):
        proof = make_inclusion_proof(BLOCK, RECEIPTS, index)
        assert verify_inclusion(proof, KEYS, CHAIN) == decode_receipt(receipt)


def test_a_citizen_checks_a_record_and_its_absence():
    assert verify_record_proof(RECORD, KEYS, CHAIN) == b"held by Anna"
    absent = make_record_proof(BLOCK, STATE, b"stall/3")
    assert absent.value is None
    assert verify_record_proof(absent, KEYS, CHAIN) is None


def test_proofs_survive_the_wire():
    encoded = encode_inclusion_proof(PROOF)
    assert decode_inclusion_proof(encoded) == PROOF
    assert encode_inclusion_proof(decode_inclusion_proof(encoded)) == encoded
    for proof in (RECORD, make_record_proof(BLOCK, STATE, b"stall/3")):
        assert decode_record_proof(encode_record_proof(proof)) == proof


def test_two_of_four_validators_are_no_quorum():
    proof = make_inclusion_proof(make_sealed_block(RECEIPTS, sealers=(0, 2)), RECEIPTS, 0)
    assert refuse(proof) == "seals: too few seals"


@pytest.mark.parametrize("order", [(0, 0, 1), (1, 0, 3), (0, 1, 1)])
def test_one_validator_counts_once(order):
    proof = make_inclusion_proof(make_sealed_block(RECEIPTS, sealers=order), RECEIPTS, 0)
    assert refuse(proof) == "seals: seals not of distinct validators"


def test_a_seal_of_nobody_is_refused():
    seals = (*PROOF.sealed.seals[:2], Seal(4, bytes(64)))
    assert refuse(reseal(seals=seals)) == "seals: seals not of distinct validators"


def test_a_seal_covers_round_and_validator():
    assert refuse(reseal(round=3)) == "seals: seal signature"
    first, second, third = PROOF.sealed.seals
    moved = (first, replace(second, validator=2), third)
    assert refuse(reseal(seals=moved)) == "seals: seal signature"


def test_a_seal_covers_the_header():
    other = make_sealed_block(RECEIPTS, height=8)
    assert refuse(reseal(header=other.header.encoded)) == "seals: seal signature"


def test_the_header_is_of_this_chain_and_these_validators():
    assert refuse(PROOF, chain_id=b"otherone") == "header: another chain"
    assert refuse(PROOF, validators=KEYS[:3]) == "header: other validators"
    assert refuse(RECORD, validators=KEYS[::-1]) == "header: other validators"
    assert refuse(reseal(header=b"\x01")) == "header: wrong fields"


def test_a_path_leads_from_this_receipt_at_this_place():
    assert refuse(replace(PROOF, receipt=RECEIPTS[2])) == "path: another root"
    assert refuse(replace(PROOF, index=2)) == "path: another root"
    assert refuse(replace(PROOF, index=5)) == "path: index outside of the tree"
    assert refuse(replace(PROOF, path=PROOF.path[:-1])) == "path: too short"
    assert refuse(replace(PROOF, path=(*PROOF.path, bytes(32)))) == "path: too long"


def test_a_leaf_that_is_no_receipt_of_this_block_proves_nothing():
    elsewhere = make_receipts(5, height=6)
    block = make_sealed_block(elsewhere)
    assert refuse(make_inclusion_proof(block, elsewhere, 1)) == "receipt: of another place"
    shifted = RECEIPTS[1:]
    block = make_sealed_block(shifted)
    assert refuse(make_inclusion_proof(block, shifted, 1)) == "receipt: of another place"
    block = make_sealed_block((b"\x90",))
    assert "receipt: not" in refuse(make_inclusion_proof(block, (b"\x90",), 0))
    block = make_sealed_block((b"\x91",))
    assert "receipt: truncated" in refuse(make_inclusion_proof(block, (b"\x91",), 0))


def test_a_record_is_that_of_the_sealed_state():
    assert refuse(replace(RECORD, value=b"held by Boris")) == "state: another record"
    assert refuse(replace(RECORD, value=None)) == "state: the record exists"
    later = STATE.with_changes({b"stall/1": b"held by Boris"})
    stale = replace(RECORD, value=b"held by Boris", path=later.prove(b"stall/1"))
    assert refuse(stale) == "state: another root"


@pytest.mark.parametrize("fields", [
    None, [], 5, [[b"", 0, []], b"", 0, 1], [[b"", 0, []], b"", 1, 1, []],
    [[b"", 0, []], b"", False, 1, []], [[b"", 0, []], b"", 0, 1, [b"short"]],
    [[b"", 0, []], b"", 0, 1, [1]], [[b"", 0], b"", 0, 1, []],
    [[b"", True, []], b"", 0, 1, []], [[b"", -1, []], b"", 0, 1, []],
    [[b"", 0, [1]], b"", 0, 1, []], [[b"", 0, [[0, b"short"]]], b"", 0, 1, []],
])
def test_what_is_not_a_proof_does_not_decode(fields):
    for decode in (decode_inclusion_proof, decode_record_proof):
        with pytest.raises(InvalidProof, match="encoding: "):
            decode(encode(fields))
        with pytest.raises(InvalidProof, match="encoding: truncated"):
            decode(encode([fields])[:-1])


@pytest.mark.parametrize("fields", [
    [[b"", 0, []], "key", b"", b""], [[b"", 0, []], b"key", 5, b""],
    [[b"", 0, []], b"key", None, None], [[5, 0, []], b"key", None, b""],
])
def test_what_is_not_a_record_proof_does_not_decode(fields):
    with pytest.raises(InvalidProof, match="encoding: "):
        decode_record_proof(encode(fields))
