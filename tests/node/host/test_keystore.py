"""A node's key file: made once, for its owner alone, and never shown."""

import os
import stat

import pytest

from node.crypto import is_signature_valid
from node.host.errors import KeyFileError
from node.host.keystore import create_key, load_key


def test_a_key_is_made_for_its_owner_alone_whatever_the_umask(tmp_path):
    for umask in (0o000, 0o022, 0o777):
        path = tmp_path / f"key{umask}"
        before = os.umask(umask)
        try:
            made = create_key(path)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        loaded = load_key(path)
        assert loaded.public == made.public
        assert is_signature_valid(made.public, b"m", loaded.sign(b"m"))


def test_two_keys_are_different(tmp_path):
    assert create_key(tmp_path / "a").public != create_key(tmp_path / "b").public


def test_a_key_is_never_replaced(tmp_path):
    path = tmp_path / "key"
    create_key(path)
    content = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        create_key(path)
    assert path.read_bytes() == content
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        create_key(link)
    with pytest.raises(KeyFileError):
        create_key(tmp_path / "no folder" / "key")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610, 0o601])
def test_a_key_that_others_may_touch_is_refused(tmp_path, mode):
    path = tmp_path / "key"
    create_key(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        load_key(path)


def test_what_is_not_a_key_is_refused(tmp_path):
    path = tmp_path / "key"
    create_key(path)
    whole = path.read_bytes()
    assert len(whole) == 77
    wrong = [whole[:size] for size in range(len(whole))]
    wrong += [whole + b"\n", whole.upper(), whole.replace(b"-1 ", b"-2 "), b"\xff" * 77,
              whole[:-1] + b"0", whole[:-2] + b"g\n"]
    for content in wrong:
        path.write_bytes(content)
        with pytest.raises(KeyFileError, match="is not a key"):
            load_key(path)
    with pytest.raises(KeyFileError, match="veche node init"):
        load_key(tmp_path / "none")
    with pytest.raises(KeyFileError):
        load_key(tmp_path)


def test_neither_errors_nor_reprs_show_the_secret(tmp_path):
    path = tmp_path / "key"
    identity = create_key(path)
    secret = path.read_text().split()[1]
    shown = repr(identity) + str(identity)
    path.chmod(0o644)
    with pytest.raises(KeyFileError) as caught:
        load_key(path)
    shown += repr(caught.value) + str(vars(caught.value))
    path.chmod(0o600)
    path.write_text(path.read_text() + "x")
    with pytest.raises(KeyFileError) as caught:
        load_key(path)
    shown += repr(caught.value) + str(vars(caught.value))
    assert not any(secret[at : at + 8] in shown for at in range(56))


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyFileError, match="No space left"):
        create_key(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
