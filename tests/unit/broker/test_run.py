"""The exit codes of a broker that cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq.broker.run import exit_code, serve
from taskq.broker.settings import BrokerSettings
from taskq.errors import BrokerRunning, JournalError


def refusal(settings: BrokerSettings) -> tuple[int, str]:
    """Exit code and sentence of a broker that does not start."""
    told: list[Exception] = []
    return serve(settings, failed=told.append), str(told[0])


def test_a_directory_that_cannot_be_used_is_the_caller_s_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    code, sentence = refusal(BrokerSettings(tmp_path / "file" / "broker"))
    assert code == 2
    assert "cannot be made" in sentence
    code, sentence = refusal(BrokerSettings(tmp_path / "open"))
    assert code == 2
    assert "chmod 700" in sentence


def test_a_key_file_that_is_not_there_is_named_by_its_option(tmp_path: Path) -> None:
    code, sentence = refusal(BrokerSettings(tmp_path / "new", authkey_file=tmp_path / "none"))
    assert code == 2
    assert "--authkey-file" in sentence
    assert "TASKQ_AUTHKEY_FILE" not in sentence


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied"), 2),
        (BrokerRunning("pid 7"), 4),
        (JournalError("damaged"), 1),
        (OSError(98, "Address already in use"), 1),
    ],
)
def test_what_may_pass_by_itself_is_distinguished_from_what_does_not(
    error: Exception, code: int
) -> None:
    assert exit_code(error) == code
