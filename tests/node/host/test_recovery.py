"""Kill -9, a power cut, a full disk, rot: all that was acknowledged is there, or a refusal.

The store is never asked what it acknowledged: each write's number is kept outside of it.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from node.codec import encode
from node.host.errors import DiskFull, StoreDamaged
from node.host.genesis import save_genesis
from node.host.store import Store
from tests.node.host.broken_disk import (
    DATABASE,
    LOG,
    NAMES,
    WITNESS,
    list_cuts,
    read_files,
    rot,
    write_files,
)
from tests.node.host.conftest import HEIGHT
from tests.node.host.writing import REFUSED, Writing, compute_height, get_number

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(scope="session")
def blocks(city):
    chain = city.nodes[0].chain
    return [chain.get_encoded(height) for height in range(1, HEIGHT + 1)]


@pytest.fixture(scope="session")
def source(city, blocks, tmp_path_factory):
    """A folder with what a writing process needs."""
    folder = tmp_path_factory.mktemp("source")
    save_genesis(city.genesis, folder / "genesis.json")
    (folder / "blocks").write_bytes(encode(blocks))
    return folder


def check_recovered(city, folder, least, most):
    """The store holds write n, all before it and nothing else, least <= n <= most; n."""
    store = Store.open(folder, city.genesis)
    try:
        loaded = store.load()
        number = get_number(loaded.lock)
        assert least <= number <= most
        chain, there = loaded.chain, city.nodes[0].chain
        assert chain.height == compute_height(number, HEIGHT)
        for height in range(chain.height + 1):
            assert chain.get_encoded(height) == there.get_encoded(height)
        assert chain.state.root == there.get_header(chain.height).state_root
        return number
    finally:
        store.close()


def start_writing(folder, source, limit_bytes=0):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.node.host.writing", folder, source, str(limit_bytes)],
        stdout=subprocess.PIPE, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def run_and_kill(folder, source, after_lines, turns):
    """Kill a writing process some time after so many lines; its last line."""
    with start_writing(folder, source) as process:
        for _ in range(after_lines):
            assert process.stdout.readline()
        for _ in range(turns):  # some microseconds, to meet every part of a write
            pass
        process.kill()
        lines = process.stdout.read().splitlines(keepends=True)
    whole = [int(line) for line in lines if line.endswith(b"\n")]
    return whole[-1] if whole else None


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_it_acknowledged(city, source, tmp_path):
    generator = np.random.default_rng(9)
    folder = tmp_path / "data"
    number = 0
    for _ in range(6):
        after_lines = int(generator.integers(1, 40))
        turns = int(generator.integers(0, 60_000))
        last = run_and_kill(folder, source, after_lines, turns)
        least = number + after_lines - 1 if last is None else last
        number = check_recovered(city, folder, least, least + 1)
    assert number > 6


@pytest.mark.slow
@pytest.mark.parametrize("limit_kb", [1, 30, 60, 100, 200])
def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(
    city, source, tmp_path, limit_kb
):
    folder = tmp_path / "data"
    with start_writing(folder, source, limit_kb * 1024) as process:
        *lines, said = process.stdout.read().decode().splitlines()
    assert process.returncode == REFUSED
    assert said.startswith("DiskFull ")
    last = int(lines[-1]) if lines else 0
    check_recovered(city, folder, last, last + 1)
    with start_writing(folder, source) as process:  # with room again
        assert int(process.stdout.readline()) in (last, last + 1)
        assert int(process.stdout.readline()) in (last + 1, last + 2)
        process.kill()


def test_errors_of_the_system_are_told_by_what_must_be_done(opened, writer):
    first = writer()
    os.close(first.store._witness._file)
    first.store._witness._file = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(DiskFull, match="No space left"):
        first.write(lock=b"1")


def record_writes(city, blocks, folder, count):
    """The files of a store after each of its writes, without ever closing it."""
    writing = Writing(folder, city.genesis, blocks)
    # a small log is put into the database often: that is written about, too
    writing.store._connection.execute("PRAGMA wal_autocheckpoint = 40")
    files = [read_files(folder)]
    for number in range(1, count + 1):
        assert writing.write() == number
        files.append(read_files(folder))
    writing.store.close()
    return files


@pytest.fixture(scope="module")
def recorded(city, blocks, tmp_path_factory):
    return record_writes(city, blocks, tmp_path_factory.mktemp("recorded") / "data", 60)


@pytest.mark.slow
def test_a_power_cut_loses_nothing_that_was_acknowledged(city, recorded, tmp_path):
    generator = np.random.default_rng(5)
    met = set()
    for number in range(0, 60, 2):
        cuts = list_cuts(recorded[number], recorded[number + 1], generator)
        for where, files in cuts:
            folder = write_files(tmp_path / f"{number} {where}", files)
            check_recovered(city, folder, number, number + 1)
            met.add(where)
    assert met == {"log header", "log", "database", "witness"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [20, 53])
def test_a_log_that_lost_acknowledged_writes_is_refused(city, recorded, tmp_path, number):
    generator = np.random.default_rng(number)
    files = recorded[number]
    kept = refused = 0
    for at in generator.integers(0, len(files[LOG]), 40):
        for content in (files[LOG][:at], rot(files[LOG], at, generator), b""):
            folder = write_files(tmp_path / str(kept + refused), files | {LOG: content})
            try:
                # what was put into the database needs no log
                check_recovered(city, folder, number, number)
                kept += 1
            except StoreDamaged:
                refused += 1
    assert refused > 40


@pytest.mark.slow
@pytest.mark.parametrize("name", [DATABASE, WITNESS])
def test_rot_is_refused_or_does_not_matter(city, recorded, tmp_path, name):
    generator = np.random.default_rng(11)
    folder = write_files(tmp_path / "whole", recorded[55])
    check_recovered(city, folder, 55, 55)  # which puts all of the log into the database
    whole = read_files(folder)
    assert whole[LOG] == b""
    kept = refused = 0
    for at in generator.integers(0, len(whole[name]), 100):
        files = whole | {name: rot(whole[name], at, generator)}
        folder = write_files(tmp_path / str(kept + refused), files)
        try:
            check_recovered(city, folder, 55, 55)
            kept += 1
        except StoreDamaged:
            refused += 1
    assert kept > 5
    # of the witness one sector is enough
    assert refused > 20 or name == WITNESS


@pytest.mark.slow
def test_files_of_different_moments_never_forget_a_write(city, recorded, tmp_path):
    generator = np.random.default_rng(13)
    for trial in range(40):
        moments = generator.integers(0, 60, 3)
        files = {name: recorded[at][name] for name, at in zip(NAMES, moments, strict=True)}
        folder = write_files(tmp_path / str(trial), files)
        with suppress(StoreDamaged):
            check_recovered(city, folder, int(moments[2]), 60)
