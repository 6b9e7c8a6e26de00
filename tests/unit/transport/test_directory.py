"""The broker directory, its key and its lock: what is trusted and what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from taskq.errors import AuthenticationFailed, BrokerRunning, BrokerUnavailable
from taskq.journal.sqlite import FILE
from taskq.transport.directory import BrokerDirectory, default_path
from taskq.transport.keys import ensure_key, payload_key, read_key
from taskq.transport.lock import DirectoryLock, key_of
from tests.kit.messages import naming


def write_key(path: Path, mode: int = 0o600, text: str = "k" * 64) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_it_is_made_with_its_parents_for_us_alone(tmp_path: Path) -> None:
    directory = BrokerDirectory(tmp_path / "a" / "b")
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert directory.socket.parent == directory.path == directory.log.parent


def test_77_one_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o750)
    with pytest.raises(AuthenticationFailed, match=r"mode 750.*chmod 700"):
        BrokerDirectory(tmp_path / "open")


def test_77_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(AuthenticationFailed, match="symbolic link"):
        BrokerDirectory(tmp_path / "link")


def test_one_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o600)
    with pytest.raises(AuthenticationFailed, match="is not a directory"):
        BrokerDirectory(tmp_path / "file")
    with pytest.raises(
        BrokerUnavailable, match=naming(tmp_path / "file" / "below", "Not a directory")
    ):
        BrokerDirectory(tmp_path / "file" / "below")


def test_77_another_user_s_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    BrokerDirectory(tmp_path / "dir")
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(AuthenticationFailed, match="belongs to user"):
        BrokerDirectory(tmp_path / "dir")


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    directory = BrokerDirectory(tmp_path / "dir")
    key = key_of(directory)
    assert len(bytes.fromhex(key.decode())) == 32
    assert key_of(directory) == key
    assert stat.S_IMODE((directory.path / "key").stat().st_mode) == 0o600
    assert os.listdir(directory.path) == ["key"]


def test_no_key_is_made_for_a_journal_that_was_signed_with_another_one(tmp_path: Path) -> None:
    directory = BrokerDirectory(tmp_path / "broker")
    key_of(directory)
    (directory.path / FILE).write_bytes(b"x")
    directory.key_file.unlink()
    with pytest.raises(AuthenticationFailed, match=naming(directory.key_file, "backup")):
        key_of(directory)
    assert not directory.key_file.exists()


def test_the_name_of_a_new_key_survives_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, list[str]]] = []
    fsync = os.fsync

    def record(fd: int) -> None:
        synced.append((os.fstat(fd).st_ino, os.listdir(tmp_path)))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", record)
    ensure_key(tmp_path / "key")
    assert synced[-1] == (tmp_path.stat().st_ino, ["key"])


def test_of_two_who_make_the_key_both_have_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ensure_key(tmp_path / "key")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert ensure_key(tmp_path / "key") == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_77_a_key_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(AuthenticationFailed, match="open to others"):
        read_key(write_key(tmp_path / "key", mode))


def test_77_a_key_that_is_a_link_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path / "real")
    (tmp_path / "key").symlink_to(tmp_path / "real")
    with pytest.raises(AuthenticationFailed, match="symbolic link"):
        read_key(tmp_path / "key")
    with pytest.raises(AuthenticationFailed, match="symbolic link"):
        ensure_key(tmp_path / "key")


def test_77_a_key_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key(tmp_path / "key")
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(AuthenticationFailed, match="belongs to user"):
        read_key(tmp_path / "key")


def test_a_missing_short_or_odd_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed, match=naming(tmp_path / "key", "TASKQ_AUTHKEY_FILE")):
        read_key(tmp_path / "key")
    with pytest.raises(AuthenticationFailed, match="holds 3 bytes"):
        read_key(write_key(tmp_path / "short", text="abc\n"))
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(AuthenticationFailed, match="not a regular file"):
        read_key(tmp_path / "fifo")


def test_the_payload_key_is_derived_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKQ_PAYLOAD_KEY_FILE", raising=False)
    assert payload_key(b"a" * 32) == payload_key(b"a" * 32) != payload_key(b"b" * 32)
    assert len(payload_key(b"a" * 32)) == 32
    monkeypatch.setenv("TASKQ_PAYLOAD_KEY_FILE", str(write_key(tmp_path / "pk", text="p" * 40)))
    assert payload_key(b"a" * 32) == b"p" * 40
    monkeypatch.setenv("TASKQ_PAYLOAD_KEY_FILE", str(write_key(tmp_path / "long", text="p" * 65)))
    with pytest.raises(AuthenticationFailed, match=naming(tmp_path / "long", "64 bytes")):
        payload_key(b"a" * 32)


def test_08_a_second_lock_is_refused_and_names_the_first(tmp_path: Path) -> None:
    directory = BrokerDirectory(tmp_path / "dir")
    lock = DirectoryLock(directory)
    with pytest.raises(BrokerRunning, match=rf"pid {os.getpid()}\)"):
        DirectoryLock(directory)
    lock.release()
    lock.release()
    DirectoryLock(directory).release()


def test_where_a_queue_s_broker_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_DIR", "/one")
    monkeypatch.setenv("XDG_STATE_HOME", "/two")
    monkeypatch.setenv("HOME", "/three")
    assert default_path("q") == Path("/one/q")
    monkeypatch.delenv("TASKQ_DIR")
    assert default_path("q") == Path("/two/taskq/q")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_path("q") == Path("/three/.local/state/taskq/q")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a\0b"])
def test_a_name_that_is_no_directory_s_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a directory"):
        default_path(name)
