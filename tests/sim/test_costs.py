"""The table of costs."""

import json
from pathlib import Path

import pytest

from node.work import WorkKind
from sim.costs import REFERENCE, load_costs, price
from sim.errors import ConfigurationError
from sim.topology import HOME, SERVER


def test_the_reference_prices_every_kind_of_work():
    table = load_costs()
    assert table.name == "reference-1"
    assert all(table.ns[kind] > 0 for kind in WorkKind if kind is not WorkKind.DISK_SYNC)


def test_checks_are_spread_over_the_cores_and_signing_is_not():
    prices = price(load_costs(), SERVER)
    one = prices.compute_ns(WorkKind.CHECK_SIGNATURE, 1)
    assert one == 51_000
    assert prices.compute_ns(WorkKind.CHECK_SIGNATURE, 8) == one
    assert prices.compute_ns(WorkKind.CHECK_SIGNATURE, 17) == 3 * one
    assert prices.compute_ns(WorkKind.SIGN, 8) == 8 * 17_000


def test_a_slower_machine_takes_longer_but_for_its_disk():
    server, home = price(load_costs(), SERVER), price(load_costs(), HOME)
    assert home.compute_ns(WorkKind.SIGN, 1) == int(17_000 / 0.7)
    assert home.compute_ns(WorkKind.DISK_SYNC, 1) == HOME.disk_sync_ns
    slowed = price(load_costs(), SERVER, 4.0)
    assert slowed.compute_ns(WorkKind.EXECUTE, 3) == 4 * server.compute_ns(WorkKind.EXECUTE, 3)
    assert slowed.compute_ns(WorkKind.DISK_SYNC, 1) == SERVER.disk_sync_ns


@pytest.mark.parametrize(("change", "message"), [
    ({"sign": None}, "costs.sign"), ({"fly": 3}, "costs.fly=3: known kinds"),
    ({"sign": -1}, "costs.sign=-1"), ({"sign": "fast"}, "costs.sign='fast'"),
])
def test_a_wrong_table_is_refused_by_its_entry(
    tmp_path: Path, change: dict[str, object], message: str
):
    table = json.loads(REFERENCE.read_text())
    for key, value in change.items():
        if value is None:
            del table["ns"][key]
        else:
            table["ns"][key] = value
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(table))
    with pytest.raises(ConfigurationError) as caught:
        load_costs(path)
    assert str(caught.value).startswith(message)


def test_a_missing_table_is_refused_by_its_path(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_costs(tmp_path / "none.json")
