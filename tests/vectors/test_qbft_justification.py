"""Which proposals are justified, after GoQuorum's table.

The table's quorum is its number of validators, so the seat is given that quorum. Every row is
one proposal for round 10 with its round changes and prepares, judged by our own predicate.
"""

from dataclasses import replace

from node.consensus.qbft.seat import make_seat
from node.consensus.qbft.validation import verify_justification
from node.errors import InvalidMessage
from tests.node.consensus.city import EPOCH_NS, Application, Author, make_genesis

COLUMNS = [
    "quorum", "rc_nil", "rc_equal", "rc_lower", "prepares_match", "prepares_other_round",
    "justified",
]


class Table:
    """All signed messages that the rows of one quorum need."""

    def __init__(self, quorum):
        genesis = make_genesis(quorum)
        application = Application(genesis, genesis.validators[0])
        seat = make_seat(
            genesis.params, genesis.compute_chain_id(), application.head, genesis.validators,
            0, application,
        )
        self.seat = replace(seat, quorum=quorum)
        self.authors = [Author(genesis, index) for index in range(quorum)]
        self.block = block = application.make_block(EPOCH_NS)
        digest = block.header.digest
        self.unprepared = [author.claim(1, 10, None, None) for author in self.authors]
        self.equal = [author.claim(1, 10, 5, digest) for author in self.authors]
        self.lower = [
            author.claim(1, 10, 1 + author.index % 4, digest) for author in self.authors
        ]
        self.match = [author.prepare(1, 5, digest) for author in self.authors]
        self.other = [author.prepare(1, 4, digest) for author in self.authors]
        self.base = self.authors[0].proposal(1, 10, block)

    def is_justified(self, unprepared, equal, lower, match, other):
        kinds = [self.unprepared] * unprepared + [self.equal] * equal + [self.lower] * lower
        changes = tuple(kind[index] for index, kind in enumerate(kinds))
        votes = [self.match] * match + [self.other] * other
        prepares = tuple(kind[index] for index, kind in enumerate(votes))
        try:
            verify_justification(
                self.seat, replace(self.base, round_changes=changes, prepares=prepares)
            )
        except InvalidMessage:
            return False
        return True


def test_proposals_are_justified_as_by_goquorum(load, is_own_data):
    table = load("qbft")["justification"]
    assert table["columns"] == COLUMNS
    tables = {}
    checked = true_rows = 0
    for quorum, *counts, expected in table["rows"]:
        if quorum not in tables:
            tables[quorum] = Table(quorum)
        assert tables[quorum].is_justified(*counts) is expected, (quorum, *counts)
        checked += 1
        true_rows += expected
    assert checked == len(table["rows"])
    assert (checked, true_rows) == (1234, 108) or not is_own_data
