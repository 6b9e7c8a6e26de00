"""The argument of `python -m taskq.worker`."""

from __future__ import annotations

import msgspec
import pytest

from taskq.worker.__main__ import settings_of
from taskq.worker.settings import WorkerSettings
from tests.kit.worker import settings_of as parsed


def test_settings_arrive_as_they_were_sent() -> None:
    settings = parsed(
        *("app:queue", "--broker", "unix:/s", "-Q", "a,b:3", "-c", "4", "-g", "audit"),
        *("--include", "one,two", "--include", "three", "--batch", "7", "--burst"),
        *("--max-tasks-per-child", "9", "--max-memory-per-child", "1M"),
        *("--shutdown-timeout", "2.5", "--name", "n", "-l", "debug", "--log-format", "json"),
        "--check",
    )
    assert settings == WorkerSettings(
        app="app:queue",
        include=("one", "two", "three"),
        broker="unix:/s",
        queues=(("a", 1), ("b", 3)),
        concurrency=4,
        group="audit",
        batch=7,
        burst=True,
        max_tasks=9,
        max_memory=2**20,
        shutdown_timeout=2.5,
        name="n",
        log_level="debug",
        log_format="json",
        check=True,
    )
    assert settings_of([msgspec.json.encode(settings).decode()]) == settings


@pytest.mark.parametrize(
    "wrong",
    [[], ["app:queue"], ["app:queue", "-c", "1"], ['{"app":"a:q","concurrency":0}'], ["{}"]],
)
def test_bad_arguments_leave_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        settings_of(wrong)
    assert leaving.value.code == 2
    assert "taskq worker APP" in capsys.readouterr().err
