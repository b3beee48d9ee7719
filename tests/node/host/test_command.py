import stat

import pytest

from node.host.command import main
from node.host.count import Count
from node.host.outcome import describe
from node.host.recount import Recount
from node.host.settings import load_genesis, load_settings
from node.inputs import Role
from tests.node.samples import KEYS, make_identity

HEX = [key.hex() for key in KEYS]


def run(capsys, *words):
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out.strip(), captured.err.strip()


def found(capsys, path, *more):
    words = [word for key in HEX for word in ("--validator", key)]
    return run(capsys, "found", path, *words, "--registrar", HEX[0], *more)


def test_init_makes_a_key_that_only_its_owner_reads_and_settings_that_load(capsys, tmp_path):
    found(capsys, tmp_path / "genesis.json")
    folder = tmp_path / "node"
    code, key, errors = run(
        capsys, "init", folder, "--role", "relay", "--genesis", tmp_path / "genesis.json",
        "--listen", "7400", "--peer", f"10.0.0.7:7400,{HEX[1]},validator",
    )
    assert (code, len(key), errors) == (0, 64, "")
    assert stat.S_IMODE((folder / "node.key").stat().st_mode) == 0o600
    settings = load_settings(folder / "node.toml")
    assert settings.role is Role.RELAY
    assert str(settings.listen) == "127.0.0.1:7400"
    assert settings.peers == (("10.0.0.7", 7400, KEYS[1], Role.VALIDATOR),)
    assert load_genesis(settings.genesis).validators == KEYS
    code, _, errors = run(capsys, "init", folder, "--role", "relay")
    assert code == 104
    assert "choose another" in errors


def test_a_genesis_is_founded_once_and_its_rules_can_be_set(capsys, tmp_path):
    path = tmp_path / "genesis.json"
    code, chain, _ = found(
        capsys, path, "--relay", HEX[2], "--time-ns", "5", "--set", "epoch_blocks=7"
    )
    genesis = load_genesis(path)
    assert (code, chain) == (0, genesis.compute_chain_id().hex())
    assert (genesis.params.epoch_blocks, genesis.time_ns, genesis.relays) == (7, 5, (KEYS[2],))
    code, _, errors = found(capsys, path)
    assert code == 104
    assert "never replaced" in errors


@pytest.mark.parametrize(("words", "said"), [
    ([], "give --config"),
    (["--config", "absent.toml"], "config='absent.toml'"),
    (["--config", "a", "--join", "b:1"], "--join goes with neither"),
    (["--join", "nowhere"], "give host:port"),
    (["init", "x", "--role", "king"], "king"),
    (["init", "x", "--role", "relay", "--peer", "a:1,zz,relay"], "zz"),
    (["init", "x", "--role", "relay", "--peer", "a:1"], "host:port,key,role"),
    (["init", "x", "--role", "relay", "--genesis", "absent.json"], "absent.json"),
    (["found", "x", "--validator", "12", "--registrar", HEX[0]], "12"),
    (["found", "x", "--validator", HEX[0], "--registrar", HEX[0], "--set", "speed=1"], "speed"),
    (["found", "x", "--validator", HEX[0], "--registrar", HEX[0], "--set",
      "block_interval=1"], "did you mean 'block_interval_ns'?"),
    (["found", "x", "--validator", HEX[0], "--registrar", HEX[0], "--set",
      "block_interval_ns=-1"], "block_interval_ns='-1': give a positive whole number"),
    (["found", "x", "--validator", HEX[0], "--registrar", HEX[0], "--set",
      "block_interval_ns=²"], "give a positive whole number"),
    (["found", "x", "--validator", HEX[0], "--registrar", HEX[0], "--set", "epoch_blocks"],
     "write name=number"),
    (["found", "x", "--validator", HEX[0], "--registrar", HEX[0], "--time-ns", "-1"],
     "--time-ns"),
    (["found", "/dev/null/x", "--validator", HEX[0], "--registrar", HEX[0]],
     "FILE='/dev/null/x': Not a directory: choose a place where you may write"),
    (["init", "/dev/null/x", "--role", "relay"], "FOLDER='/dev/null/x': Not a directory"),
    (["--join", "a:1", "--trust", "0" * 64], "--trust goes with --checkpoint"),
    (["--config", "a", "--checkpoint", "c"], "--checkpoint goes with --join"),
    (["checkpoint", "--out", "c"], "give --config FILE, or --data"),
    (["checkpoint", "--out", "c", "--config", "absent.toml"], "absent.toml"),
    (["found", "x", "--validator", HEX[0], "--validator", HEX[0], "--registrar", HEX[0]],
     "distinct"),
    (["found", "x", "--validator", HEX[0], "--registrar", HEX[0], "--set",
      "block_interval_ns=1"], "bundle_lead_ns"),
])
def test_a_mistake_is_one_line_that_names_it(capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, out, errors = run(capsys, *words)
    assert (code, out) == (104, "")
    assert len(errors.splitlines()) == 1
    assert said in errors
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "content", "said"), [
    ("node.toml", "role = ", "config="),
    ("node.toml", "role = 'king'\n", "role='king'"),
    ("genesis.json", "{", "genesis="),
    ("genesis.json", '{"time_ns": 1}', "genesis.format=None"),
])
def test_a_mistake_in_a_file_names_the_file(capsys, tmp_path, name, content, said):
    found(capsys, tmp_path / "genesis.json")
    run(capsys, "init", tmp_path / "a", "--role", "observer",
        "--genesis", tmp_path / "genesis.json")
    file = tmp_path / "a" / name
    file.write_text(content)
    code, out, errors = run(capsys, "--config", tmp_path / "a" / "node.toml")
    assert (code, out) == (104, "")
    assert errors.startswith(f"veche node: {file}: {said}")
    assert len(errors.splitlines()) == 1


def test_a_relay_that_the_chain_does_not_know_is_refused(capsys, tmp_path):
    found(capsys, tmp_path / "genesis.json")
    run(capsys, "init", tmp_path / "a", "--role", "relay",
        "--genesis", tmp_path / "genesis.json")
    code, _, errors = run(capsys, "--config", tmp_path / "a" / "node.toml")
    assert code == 104
    assert "be an observer" in errors


def test_a_damaged_store_ends_the_verification_with_its_own_code(capsys, tmp_path):
    found(capsys, tmp_path / "genesis.json")
    run(capsys, "init", tmp_path / "a", "--role", "observer",
        "--genesis", tmp_path / "genesis.json")
    verify = ("--config", tmp_path / "a" / "node.toml", "--verify")
    assert run(capsys, *verify)[0] == 0
    (tmp_path / "a" / "data" / "veche.sqlite").write_bytes(b"not a database" * 100)
    code, out, errors = run(capsys, *verify)
    assert (code, out) == (112, "")
    assert len(errors.splitlines()) == 1


def test_what_does_not_agree_is_listed():
    count = Count(voting=3, districts=1, choices=2, open_ns=0, deadline_ns=1, threshold=1,
                  box_public=make_identity("box").public)
    lines = describe(Recount(count, ((1, 2, 3),), None, ("district 1: other",)))
    assert lines[0] == "voting 3: 0 ballots, 0 superseded, 1 spoiled"
    assert lines[1] == "  counted here, by choice: 1: 2, 2: 3"
    assert lines[2:] == ["  the published result does NOT agree:", "    district 1: other"]
    assert describe(Recount(count, ((0, 1, 1),), None, ()))[-1] == (
        "  no result is published yet"
    )
    assert "sealed" in describe(Recount(count, (), None, ()))[0]
