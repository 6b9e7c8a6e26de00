"""The arguments of `python -m taskq.worker`."""

from __future__ import annotations

import pytest

from taskq.worker.__main__ import settings_of


def test_every_option_arrives() -> None:
    settings = settings_of(
        [
            *("app:queue", "--broker", "memory:", "-Q", "a,b:3", "-c", "4", "-g", "audit"),
            *("--batch", "7", "--burst", "--max-tasks-per-child", "9"),
            *("--max-memory-per-child", "1K", "--shutdown-timeout", "2.5", "--name", "n"),
            *("-l", "debug", "--log-format", "json", "--check", "--ready-fd", "5"),
            *("--owner-fd", "6"),
        ]
    )
    assert settings.app == "app:queue"
    assert settings.broker == "memory:"
    assert settings.queues == (("a", 1), ("b", 3))
    assert (settings.concurrency, settings.group, settings.batch) == (4, "audit", 7)
    assert (settings.burst, settings.max_tasks, settings.max_memory) == (True, 9, 1024)
    assert (settings.shutdown_timeout, settings.name) == (2.5, "n")
    assert (settings.log_level, settings.log_format) == ("debug", "json")
    assert (settings.check, settings.ready_fd, settings.owner_fd) == (True, 5, 6)


@pytest.mark.parametrize("wrong", [[], ["app:queue", "-c", "0"], ["app:queue", "-Q", "a,,b"]])
def test_bad_arguments_leave_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        settings_of(wrong)
    assert leaving.value.code == 2
    assert "error:" in capsys.readouterr().err
