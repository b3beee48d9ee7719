"""The genesis file: for people to read, for nodes to agree on."""

import json
from contextlib import suppress
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.host.errors import SettingsError
from node.host.genesis import decode_genesis, encode_genesis, load_genesis, save_genesis
from node.params import Genesis, Params
from tests.node.samples import KEYS, make_identity

GENESIS = Genesis(
    params=Params(block_interval_ns=2 * 10**9), validators=KEYS,
    relays=(make_identity("relay").public,), registrar=make_identity("registrar").public,
    time_ns=1_700_000_000_000_000_123,
)


def change(**changes):
    return json.dumps(json.loads(encode_genesis(GENESIS)) | changes).encode()


def test_a_file_gives_the_same_chain(tmp_path):
    save_genesis(GENESIS, tmp_path / "genesis.json")
    loaded = load_genesis(tmp_path / "genesis.json")
    assert loaded == GENESIS
    text = (tmp_path / "genesis.json").read_text()
    assert f'"chain_id": "{GENESIS.compute_chain_id().hex()}"' in text
    assert f'"registrar": "{GENESIS.registrar.hex()}"' in text


@given(
    st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=5),
    st.sets(st.binary(min_size=32, max_size=32), max_size=3),
    st.integers(0, 2**63 - 1), st.integers(1, 2**61),
)
def test_any_genesis_comes_back(validators, relays, time_ns, timeout_ns):
    genesis = Genesis(
        params=Params(round_timeout_ns=timeout_ns), validators=tuple(sorted(validators)),
        relays=tuple(relays), registrar=bytes(32), time_ns=time_ns,
    )
    assert decode_genesis(encode_genesis(genesis)) == genesis


@pytest.mark.parametrize("field", [field.name for field in fields(Params)])
def test_every_parameter_counts(field):
    if field == "engine":
        return
    params = json.loads(encode_genesis(GENESIS))["params"]
    with pytest.raises(SettingsError, match=r"genesis\."):
        decode_genesis(change(params=params | {field: params[field] + 1}))
    with pytest.raises(SettingsError, match=f"genesis.params.{field}=None: it is missing"):
        decode_genesis(change(params={k: v for k, v in params.items() if k != field}))


@pytest.mark.parametrize(("changes", "message"), [
    ({"time_ns": GENESIS.time_ns + 1}, "someone changed it"),
    ({"time_ns": 1.5}, "genesis.time_ns=1.5: give a whole number"),
    ({"time_ns": True}, "whole number"), ({"time_ns": -1}, "nanoseconds since 1970"),
    ({"chain_id": "00" * 8}, "someone changed it"), ({"chain_id": None}, "someone changed"),
    ({"format": "veche-genesis-2"}, "veche-genesis-1"),
    ({"registrar": "12"}, "64 hex digits"), ({"registrar": "zz" * 32}, "64 hex digits"),
    ({"relays": [KEYS[0].hex()] * 2}, "twice"), ({"relays": "none"}, "give a list"),
    ({"validators": []}, "distinct keys"), ({"validators": [7]}, r"validators\[0\]=7"),
    ({"validators": [key.hex() for key in reversed(KEYS)]}, "ascending"),
    ({"validatrs": []}, "did you mean 'validators'"), ({"params": 5}, "give a table"),
    ({"params": {"engin": "qbft"}}, "did you mean 'engine'"),
])
def test_a_wrong_file_is_told_by_field_and_value(changes, message):
    with pytest.raises(SettingsError, match=message):
        decode_genesis(change(**changes))


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}", b'{"a": 1, "a": 1}',
    b" " * 2_000_000, b'{"time_ns": 1' + b"0" * 5_000 + b"}", b'{"time_ns": NaN}',
])
def test_what_is_no_genesis_file_is_refused(data):
    with pytest.raises(SettingsError, match="genesis"):
        decode_genesis(data)


@given(st.binary(max_size=200), st.integers(0, 2_000))
def test_damaged_bytes_are_refused_and_never_crash(noise, at):
    whole = encode_genesis(GENESIS)
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    with suppress(SettingsError):
        assert decode_genesis(damaged) == GENESIS  # blanks, or the letters' case


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        load_genesis(tmp_path / "none.json")
    with pytest.raises(SettingsError, match="directory"):
        load_genesis(tmp_path)


def test_engines_and_ranges_are_those_of_the_node():
    with pytest.raises(SettingsError, match=r"genesis\.engine='raft'"):
        decode_genesis(encode_genesis(GENESIS).replace(b'"qbft"', b'"raft"'))
    other = encode_genesis(replace(GENESIS, time_ns=5))
    assert decode_genesis(other).time_ns == 5
