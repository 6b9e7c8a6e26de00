"""The launcher: what it tells while it waits."""

from __future__ import annotations

import time

import pytest

from taskq.worker.pool.launcher import _SLOW_START, Launcher
from taskq.worker.settings import WorkerSettings
from tests.kit.messages import missing


def test_what_a_burst_leaves_behind_hides_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    launcher = Launcher(WorkerSettings(app="shop:queue", burst=True))
    launcher.left_over(["1 message(s) are left"])
    launcher.fail(3, "no broker answers")
    assert "Error: no broker answers" in capsys.readouterr().err


def test_a_start_that_takes_long_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    launcher = Launcher(WorkerSettings(app="shop:queue"))
    now = time.monotonic()
    delay = launcher._wait_for_hello(now)
    assert delay is not None
    assert 0 < delay <= _SLOW_START
    assert caplog.messages == []
    assert launcher._wait_for_hello(now + delay) is None
    assert launcher._wait_for_hello(now + 2 * delay) is None
    (message,) = caplog.messages
    assert not missing(message, "shop:queue", "no broker", "SIGUSR1")
