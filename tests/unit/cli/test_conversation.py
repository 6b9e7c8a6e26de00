"""How commands open a conversation, and what they say where none can be opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskq.cli.support.conversation import ask, conversation
from taskq.cli.support.failure import UNREACHABLE, USAGE, CliError
from taskq.cli.support.shared import Shared
from taskq.cli.support.target import only
from taskq.protocol.operating import Ping
from tests.kit.messages import missing


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKQ_DIR", str(tmp_path))
    monkeypatch.delenv("TASKQ_BROKER", raising=False)
    monkeypatch.delenv("TASKQ_APP", raising=False)
    return tmp_path


def refused(name: str, *, autostart: bool = True) -> CliError:
    with (
        pytest.raises(CliError) as caught,
        conversation(only(name), autostart=autostart),
    ):
        raise AssertionError("connected")
    return caught.value


def test_looking_never_makes_a_directory(base: Path) -> None:
    error = refused("q", autostart=False)
    assert not missing(error.message, base / "q", "taskq broker --dir")
    assert error.exit_code == UNREACHABLE
    assert not (base / "q").exists()


def test_a_mistyped_name_starts_no_broker(base: Path) -> None:
    (base / "empty").mkdir()
    for name in ("q", "empty"):
        assert not missing(refused(name).message, base / name, "taskq broker --dir")
    (base / "shop").mkdir()
    (base / "shop" / "key").write_bytes(b"k" * 32)
    assert not missing(refused("shp").message, "'shp'", base, "shop")
    assert not (base / "q").exists()


@pytest.mark.parametrize(
    ("variable", "value"), [("TASKQ_RECONNECT", "2s"), ("TASKQ_DURABILITY", "fsnyc")]
)
def test_a_wrong_variable_is_no_defect_of_ours(
    base: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    (base / "shop").mkdir(0o700)
    (base / "shop" / "key").write_bytes(b"k" * 32)
    monkeypatch.setenv(variable, value)
    with pytest.raises(CliError, match=f"not '{value}'") as caught:
        ask(Shared(broker="shop"), Ping())
    assert caught.value.exit_code == USAGE


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another user")
def test_the_broker_of_another_user(base: Path) -> None:
    (base / "theirs").mkdir(0o700)
    os.chown(base / "theirs", 54321, -1)
    assert not missing(refused("theirs", autostart=False).message, base / "theirs", "#54321")
