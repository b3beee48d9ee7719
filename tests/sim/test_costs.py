"""The table of costs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.work import WorkKind
from sim.costs import REFERENCE, Contention, CostTable, load_costs, price
from sim.errors import ConfigurationError
from sim.topology import HOME, SERVER


def make_table(**ns: float) -> CostTable:
    prices = tuple(ns.get(kind.name.lower(), 0) for kind in WorkKind)
    return CostTable(name="x", machine="a machine", cores=2, spread_ratio=0.1, ns=prices)


def test_the_reference_prices_every_kind_of_work_and_says_where_it_was_measured():
    table = load_costs()
    assert table.name == "reference-4"
    assert all(table.ns[kind] > 0 for kind in WorkKind if kind is not WorkKind.DISK_SYNC)
    assert table.ns[WorkKind.DISK_SYNC] == 0, "the hardware profile prices it"
    assert table.disk_sync_ns > 0
    assert table.cores > 0
    assert 0 < table.spread_ratio < 0.5
    written = json.loads(REFERENCE.read_text())
    assert sorted(written["versions"]) == ["libsodium", "msgpack", "pynacl", "python", "veche"]
    assert set(written["measured"]) == {kind.name.lower() for kind in WorkKind}


def test_checks_are_spread_over_the_cores_and_signing_is_not():
    table = make_table(check_signature=51_000, sign=17_000)
    prices = price(table, SERVER)
    one = prices.compute_ns(WorkKind.CHECK_SIGNATURE, 1)
    assert one == 51_000
    assert prices.compute_ns(WorkKind.CHECK_SIGNATURE, 8) == one
    assert prices.compute_ns(WorkKind.CHECK_SIGNATURE, 17) == 3 * one
    assert prices.compute_ns(WorkKind.SIGN, 8) == 8 * 17_000


def test_a_slower_machine_takes_longer_but_for_its_disk():
    table = make_table(sign=17_000, execute=9_000)
    server, home = price(table, SERVER), price(table, HOME)
    assert home.compute_ns(WorkKind.SIGN, 1) == int(17_000 / 0.7)
    assert home.compute_ns(WorkKind.DISK_SYNC, 1) == HOME.disk_sync_ns
    slowed = price(table, SERVER, 4.0)
    assert slowed.compute_ns(WorkKind.EXECUTE, 3) == 4 * server.compute_ns(WorkKind.EXECUTE, 3)
    assert slowed.compute_ns(WorkKind.DISK_SYNC, 1) == SERVER.disk_sync_ns


def test_the_disk_that_was_measured_is_charged_to_nobody():
    fast, slow = (replace(make_table(), disk_sync_ns=ns) for ns in (1.0, 1e9))
    assert price(fast, SERVER) == price(slow, SERVER)
    assert fast.digest == slow.digest


def test_a_digest_is_that_of_the_prices_alone():
    table = make_table(sign=17_000)
    assert len(table.digest) == 16
    assert replace(table, name="other", machine="other", cores=9).digest == table.digest
    assert make_table(sign=17_000.0).digest == table.digest
    assert make_table(sign=17_001).digest != table.digest


@pytest.mark.parametrize(("change", "message"), [
    ({"sign": None}, "costs.sign"), ({"fly": 3}, "costs.fly=3: known kinds"),
    ({"sign": -1}, "costs.sign=-1"), ({"sign": "fast"}, "costs.sign='fast'"),
    ({"sign": True}, "costs.sign=True"), ({"sign": float("nan")}, "costs.sign=nan"),
    ({"disk_sync": 5}, "costs.disk_sync=5: known kinds"),
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


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '"x"', '{"ns": 5}', "\x00",
    '{"name": "x", "spread_ratio": 0, "ns": {}, "machine": "a server"}',
    '{"name": "x", "spread_ratio": "wide", "ns": {}, "machine": {}}',
])
def test_what_is_no_table_is_refused_by_its_path(tmp_path: Path, text: str):
    path = tmp_path / "costs.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"costs=.*costs\.json.*: it "):
        load_costs(path)


def test_a_missing_table_is_refused_by_its_path(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_costs(tmp_path / "none.json")


def write_with(path: Path, contention: object) -> Path:
    table = {**json.loads(REFERENCE.read_text()), "contention": contention}
    path.write_text(json.dumps(table))
    return path


def test_a_table_that_is_silent_says_that_cores_take_nothing_from_one_another():
    assert load_costs().contention == Contention(ratio=1.0, spread_ratio=0.0)


def test_contention_is_read_and_is_no_price(tmp_path: Path):
    written = {"ratio": 1.3, "spread_ratio": 0.05, "about": "how it was measured"}
    table = load_costs(write_with(tmp_path / "costs.json", written))
    assert table.contention == Contention(ratio=1.3, spread_ratio=0.05)
    assert table.digest == load_costs().digest
    assert price(table, SERVER) == price(load_costs(), SERVER)


@pytest.mark.parametrize(("contention", "message"), [
    (1.3, "contention=1.3: give"), ({"ratio": 0.9}, "contention.ratio=0.9: give 1 to 10"),
    ({"ratio": 11}, "contention.ratio=11"), ({"ratio": True}, "contention.ratio=True"),
    ({"ratio": float("nan")}, "contention.ratio=nan"),
    ({"ratio": "much"}, "contention.ratio='much': give a number"),
    ({"spread_ratio": -1}, "contention.spread_ratio=-1"),
    ({"rate": 1.3}, "contention.rate=1.3: known entries: ratio, spread_ratio"),
])
def test_wrong_contention_is_refused_by_its_entry(
    tmp_path: Path, contention: object, message: str
):
    with pytest.raises(ConfigurationError) as caught:
        load_costs(write_with(tmp_path / "costs.json", contention))
    assert str(caught.value).startswith(message)
