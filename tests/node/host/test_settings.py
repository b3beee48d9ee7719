"""node.toml: read, refused by name, written again."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.host.errors import SettingsError
from node.host.settings import (
    Address,
    HttpLimits,
    Limits,
    PeerAddress,
    Settings,
    decode_settings,
    encode_settings,
    load_settings,
    parse_address,
    save_settings,
)
from node.inputs import Role

FOLDER = Path("/city")
KEY = bytes(range(32))
LEAST = 'role = "observer"\ngenesis = "genesis.json"\nkey = "node.key"\ndata = "data"\n'
PEER = f'[[peers]]\naddress = "10.0.0.7:7400"\nidentity = "{KEY.hex()}"\nrole = "relay"\n'


def test_four_lines_are_enough():
    settings = decode_settings(LEAST, FOLDER)
    assert settings == Settings(
        role=Role.OBSERVER, genesis=FOLDER / "genesis.json", key=FOLDER / "node.key",
        data=FOLDER / "data",
    )
    assert settings.listen is settings.http is settings.events is None
    assert settings.limits == Limits()
    assert not settings.http_submit


def test_all_that_can_be_set_is_read(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        'role = "relay"\ngenesis = "/etc/genesis.json"\nkey = "k"\ndata = "d"\n'
        'listen = "0.0.0.0:7400"\nhttp = "7480"\nhttp_submit = true\nevents = "e.jsonl"\n'
        "check_threads = 1\nclock_speed = 60\nclock_origin_ns = 5\n"
        f"{PEER}[limits]\ninbound_max = 3\nidle_timeout_s = 50.5\nbackoff_max_s = 9\n"
        "[http_limits]\nrate_per_s = 7.5\nburst = 9\nbatch_bytes_max = 4096\n"
    )
    assert load_settings(path) == Settings(
        role=Role.RELAY, genesis=Path("/etc/genesis.json"), key=tmp_path / "k",
        data=tmp_path / "d", listen=Address("0.0.0.0", 7400),
        http=Address("127.0.0.1", 7480), http_submit=True, events=tmp_path / "e.jsonl",
        check_threads=1, clock_speed=60, clock_origin_ns=5,
        peers=(PeerAddress("10.0.0.7", 7400, KEY, Role.RELAY),),
        limits=Limits(inbound_max=3, idle_timeout_s=50.5, backoff_max_s=9),
        http_limits=HttpLimits(rate_per_s=7.5, burst=9, batch_bytes_max=4096),
    )


def test_what_is_saved_is_loaded(tmp_path):
    settings = Settings(
        role=Role.VALIDATOR, genesis=tmp_path / 'a "quoted" \\ name\x7f\n',
        key=Path("/keys/ключ"), data=tmp_path / "data", listen=Address("::1", 0),
        clock_speed=1440.0, clock_origin_ns=10**18,
        peers=tuple(
            PeerAddress("::1", port, bytes([port]) * 32, Role.VALIDATOR) for port in (1, 2)
        ),
        limits=Limits(backoff_min_s=0.125),
        http_limits=HttpLimits(rate_per_s=0.5, in_flight_max=3, body_timeout_s=1),
    )
    save_settings(settings, tmp_path / "node.toml")
    assert load_settings(tmp_path / "node.toml") == settings
    assert 'data = "data"' in (tmp_path / "node.toml").read_text()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_name_of_a_file_is_quoted(name):
    settings = replace(decode_settings(LEAST, FOLDER), key=Path("/x") / f"a{name}")
    assert decode_settings(encode_settings(settings, FOLDER), FOLDER) == settings


@pytest.mark.parametrize(("line", "message"), [
    ('lisen = "7400"', "lisen='7400': did you mean 'listen'"),
    ("inbound_max = 5", "inbound_max=5: the names are"),
    ('listen = "host"', "listen='host': give host:port"), ("listen = 7400", "give a text"),
    ('http = "127.0.0.1:70000"', "port of 0 to 65535"), ('http = ":80"', "give host:port"),
    ('http = "::1:80"', r"\[address\]:port"), ("check_threads = -1", "give 0 to 256"),
    ("check_threads = true", "whole number"), ("clock_speed = 0", "clock_speed=0"),
    ("clock_speed = nan", "clock_speed=nan"), ("clock_speed = inf", "clock_speed=inf"),
    ("clock_speed = 2", "from when on"), ("clock_origin_ns = -1", "since 1970"),
    ("http_submit = true", "only a relay"), ("http_submit = 1", "true or false"),
    ("role = 1", "TOML"), ("peers = 5", "give a list"), ("peers = [5]", r"peers\[0\]=5"),
    (PEER + PEER, "name each identity once"), (PEER.replace("7400", "0"), "the peer listens"),
    (PEER.replace("relay", "king"), r"peers\[0\].role='king': the roles are validator"),
    (PEER.replace("identity", "identiy"), "did you mean 'identity'"),
    (PEER.replace("0102", "0g02"), "64 hex digits"),
    (PEER.replace("0102", "    "), "64 hex digits"), ("limits = 3", "limits=3: give a table"),
    ("[limits]\ninbound = 3", "did you mean 'inbound_max'"),
    ("[limits]\ninbound_max = 0", "limits.inbound_max=0: give a positive"),
    ("[limits]\ninbound_max = 1.5", "limits.inbound_max=1.5: give a whole number"),
    ("[limits]\nidle_timeout_s = nan", "positive"),
    ('[limits]\nidle_timeout_s = "5"', "give a number"),
    ("[limits]\nidle_timeout_s = true", "give a number"),
    ("http_limits = 3", "http_limits=3: give a table"),
    ("http_rate_per_s = 3", "http_rate_per_s=3: "),
    ("[http_limits]\nrate_s = 3", "http_limits.rate_s=3: did you mean 'rate_per_s'"),
    ("[http_limits]\nrate_per_s = 0", "http_limits.rate_per_s=0: give a positive number"),
    ("[http_limits]\nrate_per_s = nan", "http_limits.rate_per_s=nan: give a positive number"),
    ("[http_limits]\nburst = 1.5", "http_limits.burst=1.5: give a whole number"),
    ("[http_limits]\nburst = -1", "http_limits.burst=-1: give a positive whole number"),
    ("[http_limits]\nconnections_max = 9", "connections_per_address_max=64: give at most"),
    ("[http_limits]\nconnections_max = 0", "http_limits.connections_max=0: give a positive"),
    ("[http_limits]\nbatch_bytes_max = 1_000_000_000", "at most 67108864"),
    ("x", "correct the TOML"),
])
def test_a_wrong_setting_is_told_by_field_value_and_remedy(line, message):
    with pytest.raises(SettingsError, match=message):
        decode_settings(LEAST + line, FOLDER)


@pytest.mark.parametrize("name", ["role", "genesis", "key", "data"])
def test_what_must_be_there_is_missed(name):
    lines = [line for line in LEAST.splitlines() if not line.startswith(name)]
    with pytest.raises(SettingsError, match=f"{name}=None: it is missing"):
        decode_settings("\n".join(lines), FOLDER)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(SettingsError, match="veche node init"):
        load_settings(tmp_path / "node.toml")
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="UTF-8"):
        load_settings(path)
    path.write_bytes(b"#" * 2_000_000)
    with pytest.raises(SettingsError, match="it has more than"):
        load_settings(path)


@given(st.text(max_size=60))
def test_any_text_is_settings_or_a_settings_error(text):
    with suppress(SettingsError):
        decode_settings(LEAST + text, FOLDER)


@pytest.mark.parametrize(("text", "address"), [
    ("7400", Address("127.0.0.1", 7400)), ("a.b:1", Address("a.b", 1)),
    ("[::1]:80", Address("::1", 80)), ("0.0.0.0:0", Address("0.0.0.0", 0)),
])
def test_addresses_are_read_as_they_are_written(text, address):
    assert parse_address("listen", text) == address
    assert parse_address("listen", str(address)) == address
