"""What a broker puts back in its directory, what it reports, and what it ends for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq.broker.listener import Listener
from taskq.broker.upkeep import Upkeep
from taskq.errors import BrokerUnavailable
from taskq.transport.directory import BrokerDirectory
from taskq.transport.keys import read_key
from taskq.transport.lock import DirectoryLock, key_of
from tests.kit.messages import naming


class Scene:
    """A directory that is served, without the broker."""

    def __init__(self, path: Path) -> None:
        self.directory = BrokerDirectory(path)
        self.key = key_of(self.directory)
        self.lock = DirectoryLock(self.directory)
        self.listener = Listener(str(self.directory.socket))
        self.upkeep = Upkeep(self.lock, self.listener, self.key, self.directory.key_file)

    def close(self) -> None:
        self.listener.close()
        self.lock.release()


@pytest.fixture
def scene(short_dir: Path) -> Iterator[Scene]:
    scene = Scene(short_dir / "b")
    yield scene
    scene.close()


def test_where_nothing_is_missing_nothing_is_done(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    before = sorted(scene.directory.path.iterdir())
    assert scene.upkeep.look() is None
    assert scene.upkeep.look() is None
    assert sorted(scene.directory.path.iterdir()) == before
    assert caplog.messages == []


def test_a_key_is_put_back_as_it_was(scene: Scene) -> None:
    scene.directory.key_file.unlink()
    scene.upkeep.look()
    assert read_key(scene.directory.key_file) == scene.key


def test_a_socket_is_made_anew(scene: Scene) -> None:
    old = scene.listener.socket
    scene.directory.socket.unlink()
    assert scene.upkeep.look() is scene.listener.socket is not old
    old.close()
    assert scene.upkeep.look() is None


def test_what_keeps_clients_out_is_logged_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.directory.key_file.chmod(0o644)
    for _ in range(3):
        scene.upkeep.look()
    assert len(caplog.messages) == 1
    assert "chmod 600" in caplog.text
    scene.directory.key_file.chmod(0o600)
    scene.upkeep.look()
    scene.directory.key_file.write_text("x" * 64)
    for _ in range(3):
        scene.upkeep.look()
    assert len(caplog.messages) == 2
    assert "another key" in caplog.text


@pytest.mark.parametrize("gone", ["lock", "."])
def test_without_its_lock_or_its_directory_it_ends(scene: Scene, gone: str) -> None:
    if gone == ".":
        shutil.rmtree(scene.directory.path)
    else:
        (scene.directory.path / gone).unlink()
    with pytest.raises(BrokerUnavailable, match=naming(scene.directory.path, "removed")):
        scene.upkeep.look()


def test_a_lock_that_another_broker_has_made_is_not_ours(scene: Scene) -> None:
    (scene.directory.path / "lock").unlink()
    successor = DirectoryLock(scene.directory)
    with pytest.raises(BrokerUnavailable, match=naming("another one")):
        scene.upkeep.look()
    successor.release()
