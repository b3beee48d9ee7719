from node.consensus.qbft.buffer import Buffer
from node.params import Params
from tests.node.consensus.city import Application, Author, make_genesis

PARAMS = Params(future_messages_max=40)
GENESIS = make_genesis(4)
AUTHORS = [Author(GENESIS, index) for index in range(4)]
DIGEST = bytes(32)


def test_the_highest_round_of_the_same_author_leaves_first():
    buffer = Buffer(PARAMS, 4)
    assert buffer.add(AUTHORS[1].prepare(1, 999, DIGEST))
    for number in range(100):
        added = buffer.add(AUTHORS[0].prepare(1, 100 - number, DIGEST))
        assert added
    assert buffer.count() == 11
    kept = [message.round for message in buffer.get_messages() if message.author == 0]
    assert sorted(kept) == list(range(1, 11))


def test_a_message_above_a_full_share_finds_no_room():
    buffer = Buffer(PARAMS, 4)
    for number in range(10):
        assert buffer.add(AUTHORS[0].commit(2, number, DIGEST))
    before = buffer.get_messages()
    assert not buffer.add(AUTHORS[0].commit(3, 0, DIGEST))
    assert buffer.get_messages() == before


def test_a_round_is_taken_once():
    buffer = Buffer(PARAMS, 4)
    messages = [AUTHORS[i].prepare(1, 2, DIGEST) for i in (2, 0)]
    for message in messages:
        buffer.add(message)
    buffer.add(AUTHORS[0].prepare(1, 3, DIGEST))
    assert buffer.take_round(1, 2) == messages[::-1]
    assert buffer.take_round(1, 2) == []
    assert buffer.count() == 1


def test_the_first_of_a_kind_is_known():
    buffer = Buffer(PARAMS, 4)
    buffer.add(AUTHORS[0].prepare(1, 2, DIGEST))
    assert buffer.has(AUTHORS[0].prepare(1, 2, bytes([1]) * 32))
    assert not buffer.has(AUTHORS[0].commit(1, 2, DIGEST))
    assert not buffer.has(AUTHORS[1].prepare(1, 2, DIGEST))


def test_blocks_are_bounded_by_their_bytes():
    params = Params(block_bytes_max=256 * 1024)
    application = Application(GENESIS, GENESIS.validators[0])
    plain = application.make_block(0)
    large = type(plain)(plain.header, 0, (), (), b"", bytes(200_000))
    buffer = Buffer(params, 4)
    sizes = []
    for number in range(1, 30):
        buffer.add(AUTHORS[0].proposal(5, number, large))
        sizes.append(buffer.count())
    assert max(sizes) == sizes[-1] == 3
    assert [message.round for message in buffer.get_messages()] == [1, 2, 3]
