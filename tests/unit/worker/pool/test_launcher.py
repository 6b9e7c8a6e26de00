"""The launcher: what it tells while it waits, and when it acts."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from taskq import backends
from taskq.protocol.consuming import Heartbeat, HeartbeatReply
from taskq.protocol.values import Stop
from taskq.worker.pool import notes, supervisor
from taskq.worker.pool.inputs import Inputs
from taskq.worker.pool.launcher import _SLOW_START, Launcher
from taskq.worker.settings import WorkerSettings
from tests.kit.fakes import FakeBroker, FakeConnection
from tests.kit.messages import missing
from tests.unit.worker.pool.fake_child import FakeChild


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


class Stopping(FakeConnection):
    """Answers the first heartbeat with the stops that it is given."""

    def __init__(self, *stops: Stop) -> None:
        super().__init__(lambda request: None)
        self.stops = list(stops)

    def send(self, request: Any) -> None:
        super().send(request)
        if isinstance(request, Heartbeat) and self.stops:
            self.parked[id(request)] = HeartbeatReply(renew_in=10.0, stop=self.stops)
            self.stops = []


def test_a_task_is_terminated_when_the_heartbeat_says_so_and_not_with_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "Child", FakeChild)
    FakeChild.made = []
    monkeypatch.setattr(Inputs, "watch_child", lambda self, child: None)
    launcher = Launcher(WorkerSettings(app="shop:queue", name="w", concurrency=1))
    launcher.poll(0.0)
    (child,) = FakeChild.made
    child.runs(77)
    broker = FakeBroker(Stopping(Stop(77, child.consumer, kill=True)))
    monkeypatch.setattr(backends, "connect", lambda *args, **more: broker)
    launcher.hello(notes.Hello("shop", "fake:", ["shop"], []))
    assert launcher.poll(1.0) == 0.0
    launcher.poll(1.0)
    assert child.signals == [signal.SIGSTOP, signal.SIGKILL]
