"""Work that is shared by content, and how much of it is remembered."""

from node.effects import Worked
from node.execution import BlockOutput
from node.merkle import MerkleTree
from node.state import EMPTY_STATE
from node.work import WorkKind
from sim.shared import REMEMBERED_PER_FUNCTION, WRITTEN_PER_UNIT, SharedWork


def make_output(written: int) -> BlockOutput:
    executed = (Worked(WorkKind.STATE_WRITE, written),)
    return BlockOutput(EMPTY_STATE, (), (), MerkleTree(()), executed, executed)


def count_computed(outputs: int, written: int) -> int:
    """How often the first of so many outputs is made, if all are asked for before it again."""
    work, made = SharedWork(), []

    def make(number: int) -> BlockOutput:
        made.append(number)
        return make_output(written)

    for number in [*range(outputs), 0]:
        work.once(make, number.to_bytes(4, "big"), number)
    return made.count(0)


def test_what_was_computed_is_remembered_up_to_two_generations():
    assert count_computed(2 * REMEMBERED_PER_FUNCTION, 0) == 1
    assert count_computed(2 * REMEMBERED_PER_FUNCTION + 1, 0) == 2


def test_a_snapshot_counts_by_the_records_that_its_block_wrote():
    hundred_blocks = 99 * WRITTEN_PER_UNIT
    assert count_computed(2 * (REMEMBERED_PER_FUNCTION // 100), hundred_blocks) == 1
    assert count_computed(2 * (REMEMBERED_PER_FUNCTION // 100) + 1, hundred_blocks) == 2


def test_a_result_larger_than_all_room_is_still_remembered():
    assert count_computed(1, 2 * REMEMBERED_PER_FUNCTION * WRITTEN_PER_UNIT) == 1
