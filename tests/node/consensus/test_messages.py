from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.codec import decode, encode
from node.consensus.qbft.messages import BALLOT_BYTES_MAX, decode_message, encode_message
from node.errors import InvalidMessage
from tests.node.consensus.city import Application, Author, make_genesis

GENESIS = make_genesis(4)
CHAIN_ID = GENESIS.compute_chain_id()
AUTHORS = [Author(GENESIS, index) for index in range(4)]
BLOCK = Application(GENESIS, AUTHORS[1].key).make_block(0)
DIGEST = BLOCK.header.digest
PREPARES = [author.prepare(1, 1, DIGEST) for author in AUTHORS[:3]]
CHANGES = [author.round_change(1, 2, 1, BLOCK, PREPARES) for author in AUTHORS[:3]]
MESSAGES = [
    PREPARES[0],
    AUTHORS[1].commit(1, 0, DIGEST),
    AUTHORS[2].round_change(1, 3),
    CHANGES[0],
    AUTHORS[0].proposal(1, 0, BLOCK),
    AUTHORS[1].proposal(1, 2, BLOCK, CHANGES, PREPARES),
]


def read(payload):
    return decode_message(payload, CHAIN_ID, GENESIS.params)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_encoding(message):
    assert read(encode_message(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_cut_of_a_message_is_refused(message):
    payload = encode_message(message)
    for end in range(0, len(payload), max(1, len(payload) // 40)):
        with pytest.raises(InvalidMessage):
            read(payload[:end])
    with pytest.raises(InvalidMessage):
        read(payload + b"\0")


@pytest.mark.parametrize(("place", "value"), [
    (0, 4), (0, True), (1, 0), (1, -1), (1, 2**53), (1, True), (2, -1), (2, 1_001),
    (3, -1), (3, 1_024), (3, None), (4, bytes(31)), (4, "x"), (5, bytes(63)), (5, None),
])
def test_a_field_out_of_range_is_refused(place, value):
    fields = decode(encode_message(PREPARES[0]), 1_000)
    fields[place] = value
    with pytest.raises(InvalidMessage):
        read(encode(fields))


@pytest.mark.parametrize(("place", "value"), [
    (4, -1), (4, 1_001), (4, True), (5, "x"), (6, b""), (7, b"x"), (7, 3), (8, None),
    (8, [b"x"]), (8, [encode_message(MESSAGES[1])]), (8, [bytes(BALLOT_BYTES_MAX + 1)]),
])
def test_a_round_change_with_a_wrong_field_is_refused(place, value):
    fields = decode(encode_message(CHANGES[0]), 10_000)
    fields[place] = value
    with pytest.raises(InvalidMessage):
        read(encode(fields))


def test_a_justification_carries_no_attachments():
    full = replace(MESSAGES[5], round_changes=())
    fields = decode(encode_message(full), 10_000)
    fields[6] = [encode_message(AUTHORS[0].claim(1, 2, 1, DIGEST, None, PREPARES[:1]))]
    with pytest.raises(InvalidMessage):
        read(encode(fields))


def test_a_ballot_fits_its_limit():
    largest = AUTHORS[0].claim(2**53 - 1, 1_000, 999, DIGEST)
    largest = replace(largest, author=1_023)
    assert len(encode_message(largest)) <= BALLOT_BYTES_MAX


def test_kinds_do_not_share_what_they_sign():
    signed = {message.signed for message in [
        AUTHORS[0].prepare(1, 2, DIGEST), AUTHORS[0].commit(1, 2, DIGEST),
        AUTHORS[0].proposal(1, 2, BLOCK), AUTHORS[0].claim(1, 2, None, None),
    ]}
    assert len(signed) == 4


@given(data=st.binary(max_size=300))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_bytes_are_a_message_or_refused(data):
    try:
        message = read(data)
    except InvalidMessage:
        return
    assert encode_message(message) == data
