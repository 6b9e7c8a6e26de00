"""The group: help without imports, errors as one sentence, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from taskq import errors
from taskq.cli import main
from taskq.cli.main import COMMANDS, cli
from taskq.cli.support.failure import CRASH, RUNNING, UNHEALTHY, UNREACHABLE, USAGE
from taskq.environment import InvalidVariable
from taskq.loader import AppImportError
from taskq.version import __version__
from tests.kit.messages import missing


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKQ_DIR", str(tmp_path / "none"))
    for name in ("TASKQ_BROKER", "TASKQ_APP"):
        monkeypatch.delenv(name, raising=False)


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="taskq")


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: command)


def test_every_command_is_importable_and_explains_itself() -> None:
    for name in COMMANDS:
        result = run(name, "--help")
        assert result.exit_code == 0, result.output
        assert "Usage: taskq " + name in result.output


def test_help_lists_every_command() -> None:
    output = run("--help").output
    assert all(f"\n  {name} " in output for name in COMMANDS)


def test_help_imports_no_command_and_no_engine() -> None:
    code = (
        "import sys; from taskq.cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print([name for name in sys.modules if name in ('asyncio', 'sqlite3',"
        " 'taskq.cli.commands.status',"
        " 'cloudpickle', 'taskq.backends.embedded')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_version() -> None:
    assert __version__ in run("--version").output


def test_a_mistyped_command() -> None:
    result = run("sttus")
    assert result.exit_code == USAGE
    assert not missing(result.stderr, "'sttus'", "'status'")


@pytest.mark.parametrize(
    ("args", "hints"),
    [
        (("nope",), ["'nope'", "demo", "worker"]),
        (("queue", "nope"), ["'nope'", "drop", "pause"]),
        (("queue", "purg", "q"), ["'purg'", "'purge'"]),
        (("dlq", "sho", "id"), ["'sho'", "'show'"]),
        (("job", "xyz", "id"), ["'xyz'", "cancel", "show"]),
    ],
)
def test_a_command_that_is_not_there(args: tuple[str, ...], hints: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == USAGE
    assert not missing(result.stderr, *hints)


def test_verbose_and_quiet_exclude_each_other() -> None:
    assert run("-v", "-q", "status").exit_code == USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BrokerUnavailable("gone"), UNREACHABLE),
        (errors.BrokerTimeout("slow"), UNREACHABLE),
        (errors.AuthenticationFailed("key"), UNREACHABLE),
        (errors.BrokerRunning("pid 7"), RUNNING),
        (errors.UnknownMessage("id"), CRASH),
        (PermissionError(13, "Permission denied", "/x"), CRASH),
        (AppImportError("no module"), USAGE),
        (InvalidVariable("TASKQ_RECONNECT must be"), USAGE),
    ],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    failing(monkeypatch, error)
    result = run("status")
    assert result.exit_code == code
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_users_traceback_stands_above_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(
        monkeypatch, AppImportError("app raised; correct it", "Traceback\n  ValueError: theirs\n")
    )
    result = run("worker")
    assert result.exit_code == USAGE
    assert result.stderr.index("theirs") < result.stderr.index("Error: app raised; correct it")


def test_a_defect_is_one_sentence_and_with_v_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyError("x"))
    result = run("status")
    assert result.exit_code == CRASH
    assert not missing(result.stderr, "defect", "KeyError: 'x'")
    assert isinstance(run("-v", "status").exception, KeyError)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("status",), UNREACHABLE),
        (("health",), UNHEALTHY),
        (("doctor",), UNHEALTHY),
        (("queue", "ls"), UNREACHABLE),
        (("health", "--broker", "memory:"), USAGE),
        (("health", "--broker", "nonsense://x"), USAGE),
        (("status", "--broker", "nonsense://x"), USAGE),
        (("doctor", "--broker", "nonsense://x"), USAGE),
    ],
)
def test_without_any_broker(args: tuple[str, ...], code: int) -> None:
    result = run(*args)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)


def test_a_broker_with_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    result = run("broker", "--dir", str(tmp_path / "new"), "--authkey-file", str(tmp_path / "no"))
    assert result.exit_code == USAGE
    assert not missing(result.stderr, tmp_path / "no", "--authkey-file")


@pytest.mark.parametrize(
    "args",
    [
        ("worker",),
        ("worker", "a:b", "-c", "0"),
        ("worker", "a:b", "-Q", "a:0"),
        ("worker", "a:b", "--max-memory-per-child", "much"),
        ("worker", "a:b", "-l", "loud"),
        ("broker",),
        ("broker", "--dir", "d", "--listen", "tcp://0.0.0.0:1"),
        ("queue", "limit", "a,b", "--max-messages", "1"),
        ("dlq", "replay"),
        ("dlq", "purge", "id", "--all"),
        ("demo", "-c", "1"),
    ],
)
def test_usage_errors(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == USAGE, result.output
    assert "Error: " in result.stderr
