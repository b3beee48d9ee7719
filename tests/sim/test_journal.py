"""The journal and its digest."""

from pathlib import Path

import numpy as np
import pytest

from node.events import BlockFinal, InputRefused, RoundChanged
from sim.errors import ConfigurationError
from sim.journal import PEER_BITS, TIMER, Journal, read_journal

D1, D2 = b"\x01" * 32, b"\x00" * 32


def fill(journal: Journal, records: int = 10) -> Journal:
    for number in range(records):
        journal.delivery(1_000 + number, number % 7, number % 5, number * number)
        journal.timer(1_000 + number, 3, ("round", number, 0))
    journal.event(2_000, 3, BlockFinal(1, D1))
    journal.event(2_001, 4, BlockFinal(1, D1))
    journal.event(2_002, 4, BlockFinal(2, D2))
    journal.event(2_003, 1, InputRefused(-1, "reject", "signature"))
    return journal


def test_equal_histories_have_equal_digests_and_others_do_not():
    digest = fill(Journal()).digest()
    assert fill(Journal()).digest() == digest
    assert len(digest) == 64
    for change in (
        lambda journal: journal.delivery(9_000, 0, 1, 5),
        lambda journal: journal.timer(9_000, 1, ("round", 5, 0)),
        lambda journal: journal.event(9_000, 1, RoundChanged(1, 1, "timeout")),
    ):
        changed = fill(Journal())
        change(changed)
        assert changed.digest() != digest


def test_every_part_of_a_record_counts():
    records = [(5, 1, 2, 3), (6, 1, 2, 3), (5, 2, 2, 3), (5, 1, 3, 3), (5, 1, 2, 4)]
    digests = set()
    for record in records:
        journal = Journal()
        journal.delivery(*record)
        digests.add(journal.digest())
    for timer in [("a", 1, 0), ("b", 1, 0), ("a", 2, 0), ("a", 1, 1)]:
        journal = Journal()
        journal.timer(5, 1, timer)
        digests.add(journal.digest())
    assert len(digests) == 9


def test_asking_for_the_digest_does_not_change_it():
    asked, not_asked = Journal(), Journal()
    for number in range(100):
        asked.delivery(number, 1, 2, number)
        not_asked.delivery(number, 1, 2, number)
        asked.digest()
    assert asked.digest() == not_asked.digest()
    assert asked.records == 100


def test_checkpoints_are_made_every_so_often_and_find_the_first_difference():
    def run(odd_at: int) -> Journal:
        journal = Journal(checkpoint_every_ns=20_000)
        for number in range(50_000):
            journal.delivery(number * 2, 1, 2, 1 if number == odd_at else 0)
        return journal

    one, other = run(-1), run(30_000)
    assert len(one.checkpoints) == 3
    equal = [a == b for a, b in zip(one.checkpoints, other.checkpoints, strict=True)]
    first = equal.index(False)
    assert one.checkpoints[first - 1].at_ns < 60_000 <= one.checkpoints[first].at_ns


def test_events_are_kept_as_columns_with_codes_for_bytes_and_words():
    journal = fill(Journal())
    final = journal.get_events(BlockFinal)
    assert final["at_ns"].tolist() == [2_000, 2_001, 2_002]
    assert final["by"].tolist() == [3, 4, 4]
    assert final["height"].tolist() == [1, 1, 2]
    values = journal.get_values()
    assert [values[code] for code in final["digest"].tolist()] == [D1, D1, D2]
    refused = journal.get_events(InputRefused)
    assert values[refused["reason"].tolist()[0]] == "signature"
    assert (refused["by"].tolist(), refused["peer"].tolist()) == ([1], [-1])


def test_reading_changes_no_digest_even_for_events_that_never_were():
    journal = fill(Journal())
    digest = journal.digest()
    assert journal.get_events(RoundChanged)["at_ns"].tolist() == []
    assert journal.digest() == digest


def test_deliveries_are_kept_only_when_asked_for():
    assert fill(Journal()).get_deliveries()["at_ns"].size == 0
    kept = fill(Journal(keep_deliveries=True)).get_deliveries()
    assert kept["way"].tolist()[:4] == [0, TIMER | 3, 1 << PEER_BITS | 1, TIMER | 3]


def test_a_saved_journal_reads_back_and_equal_ones_are_equal_bytes(tmp_path: Path):
    journal = fill(Journal(keep_deliveries=True, checkpoint_every_ns=1), 9_000)
    journal.save(tmp_path / "a.npz")
    fill(Journal(keep_deliveries=True, checkpoint_every_ns=1), 9_000).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    saved = read_journal(tmp_path / "a.npz")
    assert saved.digest == journal.digest()
    assert list(saved.checkpoints) == journal.checkpoints
    assert len(saved.checkpoints) == 2
    assert list(saved.values) == journal.get_values()
    for kind in journal.get_kinds():
        for field, column in journal.get_events(kind).items():
            assert saved.events[kind.__name__][field].tolist() == column.tolist()
    assert saved.deliveries["tag"].size == 18_000


def test_another_file_is_refused_by_its_path(tmp_path: Path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"not a journal")
    with pytest.raises(ConfigurationError, match=r"x\.npz"):
        read_journal(path)


def test_values_of_other_sizes_are_refused(tmp_path: Path):
    path = tmp_path / "a.npz"
    fill(Journal(checkpoint_every_ns=1), 10).save(path)
    with np.load(path) as loaded:
        arrays = dict(loaded)
    arrays["values.size"][0] += 1
    np.savez(path, **arrays)
    with pytest.raises(ConfigurationError, match="damaged"):
        read_journal(path)
