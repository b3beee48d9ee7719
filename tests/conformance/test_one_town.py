"""Each case runs on virtual peers and on TCP processes, and must end in the same state.

One town of a host lives through all cases, as a city does: each case leaves everybody up and
level, but the late observer, who comes last.
"""

import pytest

from node.transaction import make_transaction
from tests.conformance.towns import (
    LATE,
    OBSERVER,
    RELAY,
    VALIDATORS,
    Plan,
    VirtualTown,
    make_tcp,
    make_virtual,
)

pytestmark = pytest.mark.slow
EVERYONE = range(LATE)


class Case:
    """A town, and what it has accepted so far."""

    def __init__(self, town):
        self.town = town
        self.accepted = 0
        self.founded = False

    async def give(self, count):
        """Submit transactions, all of which the relay takes."""
        for _ in range(count):
            assert await self.town.submit(self.town.plan.make_grant()) == "accepted"
            self.accepted += 1

    async def settle(self, *indices):
        """All reach one block after all that was accepted, and its state is the right one."""
        town = self.town
        everyone = indices or EVERYONE
        expected = await find_root(self.accepted)
        height = max(town.get_height(index) for index in everyone)
        for _ in range(12):  # a transaction waits for a few blocks at most
            await town.reach(height, *everyone)
            if await town.read_root(height) == expected:
                break
            height += 1
        assert await town.read_root(height) == expected
        assert len({town.get_digest(index, height) for index in everyone}) == 1


async def find_root(count):
    """The state that so many transactions lead to where nothing ever fails."""
    town = VirtualTown(Plan(10**18))
    await town.found()
    height = 1
    for _ in range(count):
        assert await town.submit(town.plan.make_grant()) == "accepted"
    await town.reach(1, RELAY)
    before = town.city.get_node(RELAY).chain.height
    await town.reach(before + 3, RELAY)
    height = town.city.get_node(RELAY).chain.height
    return await town.read_root(height)


@pytest.fixture(scope="module", params=[make_virtual, make_tcp], ids=["virtual", "tcp"])
def kept(request, tmp_path_factory):
    town = request.param(tmp_path_factory.mktemp("town") / "nodes")
    yield Case(town)
    town.close()


@pytest.fixture
async def case(kept):
    if not kept.founded:
        kept.founded = True
        await kept.town.found()
        await kept.town.reach(1, *EVERYONE)
    return kept


async def test_peers_join_and_are_one_chain(case):
    await case.town.reach(3, *EVERYONE)
    for height in (1, 2, 3):
        assert len({case.town.get_digest(index, height) for index in EVERYONE}) == 1


async def test_what_a_relay_accepts_is_proposed_and_in_the_state_of_all(case):
    await case.give(5)
    await case.settle()


async def test_what_breaks_a_rule_is_refused_with_the_same_words_and_changes_nothing(case):
    good = case.town.plan.make_grant()
    case.town.plan.nonce -= 1
    elsewhere = make_transaction(case.town.plan.chief, b"otherone", 1, 1, [])
    verdicts = [await case.town.submit(bad) for bad in (
        good[:-1] + bytes([good[-1] ^ 1]), elsewhere, b"garbage",
    )]
    assert verdicts == ["signature", "wrong chain", "encoding"]
    await case.give(1)
    await case.settle()


async def test_an_observer_that_was_off_catches_up(case):
    case.town.kill(OBSERVER)
    await case.give(2)
    await case.town.reach(case.town.get_height(0) + 4, 0)
    case.town.start(OBSERVER)
    await case.settle()


async def test_a_relay_that_was_off_is_linked_again_and_takes_more(case):
    case.town.kill(RELAY)
    height = case.town.get_height(0) + 2
    await case.town.reach(height, *VALIDATORS)
    case.town.start(RELAY)
    await case.town.reach(height + 1, RELAY)
    await case.give(2)
    await case.settle()


async def test_who_stood_still_goes_on_with_the_others(case):
    case.town.pause(OBSERVER)
    await case.town.reach(case.town.get_height(0) + 3, 0)
    case.town.resume(OBSERVER)
    await case.settle()


async def test_a_dead_proposer_costs_a_round_and_no_block(case):
    before = case.town.round_changes
    case.town.kill(2)
    await case.give(1)
    await case.town.wait_round_changes(before + 3)
    await case.settle(0, 1, 3, RELAY, OBSERVER)
    case.town.start(2)
    await case.settle()


async def test_a_bundle_whose_holder_dies_is_given_again(case):
    await case.give(3)
    case.town.kill(1)
    await case.give(3)
    await case.settle(0, 2, 3, RELAY, OBSERVER)
    case.town.start(1)
    await case.settle()


async def test_validators_that_all_died_go_on_from_their_disks_and_locks(case):
    await case.give(1)
    for index in VALIDATORS:
        case.town.kill(index)
    for index in VALIDATORS:
        case.town.start(index)
    await case.give(1)
    await case.settle()


async def test_who_had_no_room_on_its_disk_goes_on_when_there_is_some(case):
    await case.town.fill_disk(3)
    await case.give(1)
    await case.settle(0, 1, 2, RELAY, OBSERVER)
    case.town.start(3)
    await case.settle()


async def test_an_observer_that_comes_late_starts_from_genesis(case):
    case.town.start(LATE)
    await case.give(1)
    await case.settle(*EVERYONE, LATE)
    assert case.town.get_digest(LATE, 1) == case.town.get_digest(0, 1)
