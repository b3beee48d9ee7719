from dataclasses import replace

import pytest

from node.block import (
    Seal,
    Vote,
    compute_seal_message,
    decode_block,
    decode_header,
    make_block,
    make_genesis_block,
    make_header,
    seal_block,
)
from node.codec import encode
from node.crypto import digest
from node.errors import InvalidMessage
from node.params import Genesis
from tests.node.samples import CHAIN, KEYS, PARAMS

ROOT = bytes(range(32))
FIELDS = [CHAIN, 7, ROOT, 10**18, KEYS[0], ROOT, ROOT, ROOT, KEYS, None]
HEADER = make_header(CHAIN, 7, ROOT, 10**18, KEYS[0], ROOT, ROOT, ROOT, KEYS, None)
SEALS = (Seal(0, bytes(64)), Seal(3, b"s" * 64))


@pytest.mark.parametrize("bundles", [(), (b"one",), (b"one", b"x" * 70_000) * 20])
def test_a_sealed_block_is_the_block_with_other_seals(bundles):
    proposed = make_block(HEADER, 0, (), bundles)
    sealed = seal_block(proposed, 300, SEALS)
    assert sealed.body is proposed.body
    assert sealed.size == len(sealed.encoded)
    assert sealed == make_block(HEADER, 300, SEALS, bundles)
    assert seal_block(sealed, 0, ()) == proposed
    assert sealed.encoded == encode(
        [HEADER.encoded, 300, [[seal.validator, seal.signature] for seal in SEALS], bundles]
    )


def refuse_header(fields):
    with pytest.raises(InvalidMessage) as caught:
        decode_header(encode(fields))
    assert caught.value.reason == "header encoding"


def refuse_block(fields, params=PARAMS):
    with pytest.raises(InvalidMessage) as caught:
        decode_block(encode(fields), params)
    return caught.value.reason


@pytest.mark.parametrize(
    "vote", [None, Vote(KEYS[1], is_add=True), Vote(KEYS[2], is_add=False)]
)
def test_a_header_survives_the_wire(vote):
    header = make_header(CHAIN, 7, ROOT, 10**18, KEYS[0], ROOT, ROOT, ROOT, KEYS, vote)
    assert decode_header(header.encoded) == header
    assert header.digest == digest(b"header", header.encoded)


@pytest.mark.parametrize(("place", "wrong"), [
    (0, b"chain"), (0, None), (1, -1), (1, True), (1, 2**53), (2, ROOT[:31]), (2, None),
    (3, -1), (3, False), (3, 2**63), (4, b""), (5, ROOT + b"x"), (6, "r" * 32), (7, None),
    (8, []), (8, [KEYS[0], b"short"]), (8, [1]), (8, None), (8, [[KEYS[0]]]),
    (9, True), (9, [KEYS[0]]), (9, [KEYS[0], 1]), (9, [b"short", True]), (9, []),
])
def test_each_field_of_a_header_has_one_type_and_range(place, wrong):
    fields = list(FIELDS)
    fields[place] = wrong
    refuse_header(fields)


@pytest.mark.parametrize("fields", [[], FIELDS[:9], [*FIELDS, 1], None, b"header"])
def test_a_header_has_ten_fields(fields):
    refuse_header(fields)


@pytest.mark.parametrize("seals", [0, 16, 300])
@pytest.mark.parametrize("round_number", [0, 2, PARAMS.rounds_max])
@pytest.mark.parametrize("bundles", [(), (b"bundle", b"other"), (b"x" * 70_000,) * 16])
def test_a_block_survives_the_wire(seals, round_number, bundles):
    sealed = tuple(Seal(number, b"s" * 64) for number in range(seals))
    block = make_block(HEADER, round_number, sealed, bundles)
    assert decode_block(block.encoded, PARAMS) == block


def test_a_later_round_seals_the_identical_block():
    first, later = make_block(HEADER, 0, (), ()), make_block(HEADER, 5, SEALS, ())
    assert first.header.digest == later.header.digest
    assert compute_seal_message(CHAIN, 7, 0, HEADER.digest) != compute_seal_message(
        CHAIN, 7, 5, HEADER.digest
    )


@pytest.mark.parametrize(("fields", "reason"), [
    ([HEADER.encoded, True, [], []], "block encoding"),
    ([HEADER.encoded, -1, [], []], "block encoding"),
    ([HEADER.encoded, PARAMS.rounds_max + 1, [], []], "block encoding"),
    ([HEADER.encoded, 0, None, []], "block encoding"),
    ([HEADER.encoded, 0, [], [1]], "block encoding"),
    ([HEADER.encoded, 0, [[0, bytes(63)]], []], "block encoding"),
    ([HEADER.encoded, 0, [[True, bytes(64)]], []], "block encoding"),
    ([HEADER.encoded, 0, [[-1, bytes(64)]], []], "block encoding"),
    ([HEADER.encoded, 0, [[1024, bytes(64)]], []], "block encoding"),
    ([HEADER.encoded, 0, [[0]], []], "block encoding"),
    ([HEADER.encoded, 0, [5], []], "block encoding"),
    ([HEADER.encoded, 0, []], "block encoding"),
    ([b"header", 0, [], []], "header encoding"),
    ([HEADER.encoded[:-1], 0, [], []], "header encoding"),
])
def test_a_malformed_block_is_refused(fields, reason):
    assert refuse_block(fields) == reason


def test_a_block_of_too_many_bytes_is_refused():
    small = replace(PARAMS, block_bytes_max=1000, bundle_bytes_max=1000)
    assert decode_block(make_block(HEADER, 0, (), (bytes(1000),)).encoded, small)
    assert refuse_block([HEADER.encoded, 0, [], [bytes(1 << 18)]], small) == "block encoding"


def test_block_zero_is_the_same_for_everyone():
    genesis = Genesis(
        params=PARAMS, validators=KEYS, relays=(), registrar=KEYS[0], time_ns=10**18
    )
    block = make_genesis_block(genesis, ROOT)
    assert block == make_genesis_block(genesis, ROOT)
    assert (block.header.height, block.header.validators, block.seals) == (0, KEYS, ())
    other = replace(genesis, time_ns=10**18 + 1)
    assert make_genesis_block(other, ROOT).header.chain_id != block.header.chain_id
