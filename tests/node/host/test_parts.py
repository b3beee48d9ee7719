import pytest

from node.host.errors import DiskFull, SettingsError
from node.host.process import open_parts, single_out, verify_role
from node.host.settings import Settings
from node.inputs import Role
from tests.node.nodenet import NodeNet
from tests.node.samples import make_identity


def fail(*errors):
    with single_out():
        raise BaseExceptionGroup("tasks", [BaseExceptionGroup("inner", list(errors))])


def test_of_errors_of_the_host_in_a_group_the_first_is_told():
    with pytest.raises(DiskFull, match="no space"):
        fail(DiskFull("no space", "make some"), SettingsError("a", 1, "b"))


def test_a_bug_among_them_is_not_hidden():
    with pytest.raises(BaseExceptionGroup):
        fail(DiskFull("no space", "make some"), AssertionError())


def test_only_a_relay_must_be_known_to_the_chain():
    net = NodeNet()
    stranger = make_identity("stranger")
    verify_role(Role.VALIDATOR, stranger, net.genesis)
    verify_role(Role.OBSERVER, stranger, net.genesis)
    verify_role(Role.RELAY, make_identity("relay 0"), net.genesis)
    with pytest.raises(SettingsError, match="observer"):
        verify_role(Role.RELAY, stranger, net.genesis)


def test_parts_are_put_together_and_let_go_of(tmp_path):
    net = NodeNet()
    settings = Settings(
        role=Role.OBSERVER, genesis=tmp_path, key=tmp_path, data=tmp_path / "data",
        events=tmp_path / "events.jsonl",
    )
    for _ in range(2):
        with open_parts(settings, net.genesis, make_identity("observer"), []) as parts:
            assert parts.host.chain.height == 0
            assert parts.host.counters()["links.frames_in"] == 0
    assert settings.events.read_bytes() == b""


def test_an_events_file_that_cannot_be_written_is_named(tmp_path):
    net = NodeNet()
    settings = Settings(
        role=Role.OBSERVER, genesis=tmp_path, key=tmp_path, data=tmp_path / "data",
        events=tmp_path,
    )
    with pytest.raises(SettingsError, match="events"), open_parts(
        settings, net.genesis, make_identity("observer"), []
    ):
        raise AssertionError
