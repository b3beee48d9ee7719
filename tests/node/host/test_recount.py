from dataclasses import replace

import pytest

from node.host.recount import judge, recount
from tests.node.host.elections import make_election_chain


@pytest.fixture(scope="module")
def chain():
    return make_election_chain()


@pytest.fixture(scope="module")
def counted(chain):
    heights = []
    (counted,) = recount(chain, on_block=heights.append)
    assert heights == list(range(1, chain.height + 1))
    return counted


def test_an_honest_result_is_found_to_agree(counted):
    assert counted.agrees
    assert counted.tallies == counted.published.tallies
    assert sum(map(sum, counted.tallies)) > 50
    assert any(ballot.is_superseded for ballot in counted.count.ballots.values())


def move_one_vote(result):
    tally = list(result.tallies[0])
    full = max(range(1, len(tally)), key=tally.__getitem__)
    tally[full] -= 1
    tally[full % (len(tally) - 1) + 1] += 1
    return result._replace(tallies=(tuple(tally), *result.tallies[1:]))


@pytest.mark.parametrize(("change", "word"), [
    (move_one_vote, "district 1"),
    (lambda result: result._replace(tallies=result.tallies[:-1]), "districts"),
    (lambda result: result._replace(
        counters=result.counters._replace(stored=result.counters.stored + 1)), "stored"),
    (lambda result: result._replace(
        counters=result.counters._replace(superseded=0)), "superseded"),
    (lambda result: result._replace(
        counters=result.counters._replace(issued=1)), "issued"),
])
def test_a_result_that_is_not_the_count_is_told_by_what_differs(counted, change, word):
    judged = judge(counted.count, change(counted.published))
    assert not judged.agrees
    assert any(word in difference for difference in judged.differences)


def test_before_the_result_is_published_there_is_nothing_to_agree_with(counted):
    assert not judge(counted.count, None).agrees
    assert judge(counted.count, None).differences == ()


def test_without_the_key_no_result_can_be_right(counted):
    sealed = replace(counted.count, secret=b"")
    assert judge(sealed, None).differences == ()
    assert "key" in judge(sealed, counted.published).differences[0]
