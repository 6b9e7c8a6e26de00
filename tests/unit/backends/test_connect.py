"""URLs: each form gives its broker, and everything else one clear sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq.backends import connect
from taskq.backends.embedded import EmbeddedBroker, SocketBroker, TcpBroker, UnixBroker
from taskq.backends.memory import MemoryBroker
from taskq.backends.reconnect import reconnect_budget
from taskq.environment import InvalidVariable
from taskq.errors import AuthenticationFailed, BrokerUnavailable
from tests.kit.messages import naming


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TASKQ_BROKER", "TASKQ_AUTHKEY_FILE", "TASKQ_PAYLOAD_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TASKQ_DIR", str(tmp_path / "home"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("k" * 64)
    path.chmod(0o600)
    return path


def test_the_default_is_embedded_in_the_queue_s_directory(tmp_path: Path) -> None:
    broker = connect(None, "mail")
    assert isinstance(broker, EmbeddedBroker)
    assert broker.url == f"embedded:{tmp_path.resolve()}/home/mail"


def test_the_environment_names_the_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASKQ_BROKER", f"embedded:{tmp_path}/other")
    assert connect(None, "mail").url == f"embedded:{tmp_path.resolve()}/other"
    assert isinstance(connect("memory:", "mail"), MemoryBroker)


def test_unix_has_its_key_next_to_the_socket(key_file: Path) -> None:
    broker = connect(f"unix:{key_file.parent}/sock", "mail")
    assert isinstance(broker, UnixBroker)
    assert broker.url == f"unix:{key_file.parent}/sock"
    assert len(broker.payload_key) == 32


def test_tcp_wants_a_key_file(monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
    with pytest.raises(AuthenticationFailed, match="TASKQ_AUTHKEY_FILE"):
        connect("tcp://127.0.0.1:9", "mail")
    monkeypatch.setenv("TASKQ_AUTHKEY_FILE", str(key_file))
    broker = connect("tcp://127.0.0.1:9", "mail")
    assert isinstance(broker, TcpBroker)
    assert broker.url == "tcp://127.0.0.1:9"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://localhost", "Redis"),
        ("tcp://nowhere", "tcp://HOST:PORT"),
        ("embedded:", "names no broker"),
        ("memory:x", "names no broker"),
        ("/a/path", "names no broker"),
        ("amqp://x", "names no broker"),
    ],
)
def test_anything_else_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        connect(url, "mail")


def test_a_name_is_refused_with_the_url_of_that_broker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TASKQ_BROKER", "ops")
    with pytest.raises(ValueError, match=naming("'ops'", f"embedded:{tmp_path}/home/ops")):
        connect(None, "mail")


def test_bad_settings_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="durability must be"):
        EmbeddedBroker(tmp_path / "x", durability="maybe")
    for value in ("soon", "2s", "-1", "inf", "nan"):
        monkeypatch.setenv("TASKQ_RECONNECT", value)
        with pytest.raises(InvalidVariable, match=naming("TASKQ_RECONNECT", repr(value))):
            reconnect_budget()
    monkeypatch.delenv("TASKQ_RECONNECT")
    monkeypatch.setenv("TASKQ_DURABILITY", "maybe")
    with pytest.raises(InvalidVariable, match=naming("TASKQ_DURABILITY", "fsync", "'maybe'")):
        EmbeddedBroker(tmp_path / "x")


def test_without_autostart_nothing_is_started(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "x", autostart=False)
    with pytest.raises(BrokerUnavailable, match="no broker answers"):
        broker.connect(patience=0)
    assert "kkkk" not in repr(broker)
    assert isinstance(broker, SocketBroker)
