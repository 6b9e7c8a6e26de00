"""Worker threads for `memory:` brokers."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from taskq.backends.memory import MemoryBroker
from taskq.codec.envelope import Codec
from taskq.codec.ref import CallRef
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Wait
from taskq.protocol.values import Finished
from taskq.worker.runtime.inline import run_threads
from tests.kit.fakes import FakeApp
from tests.kit.messages import missing, naming


class LiveApp(FakeApp):
    """With a clock that goes."""

    def __init__(self, *functions: Any) -> None:
        super().__init__(*functions)
        self.broker = MemoryBroker()
        self.codec = Codec(self.broker.payload_key)

    def wait(self, *ids: str) -> dict[str, Finished]:
        finished: dict[str, Finished] = {}
        add = list(ids)
        while len(finished) < len(ids):
            reply = self.broker.call(Wait(watch=1, add=add, wait=20.0))
            assert reply.finished, "timed out"
            finished |= {entry.id: entry for entry in reply.finished}
            add = []
        return finished


def test_threads_run_tasks_and_leave() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    app = LiveApp(add)
    for number in range(200):
        app.enqueue("add", f"id{number}", number, number)
    before = {thread.name for thread in threading.enumerate()}
    with run_threads(app, 2):
        results = app.wait(*(f"id{number}" for number in range(200)))
    assert {entry.state for entry in results.values()} == {"succeeded"}
    value = results["id7"].value
    assert app.codec.decode_result(CallRef("q", "id7", "add"), value) == 14
    assert app.broker.call(GetStats()).workers == []
    left = {thread.name for thread in threading.enumerate()} - before
    assert left <= {"taskq-slow-task-guard", "taskq-pulse"}  # daemons that are about to end


def test_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2)

    def meet() -> None:
        meeting.wait(20)

    app = LiveApp(meet)
    with run_threads(app, 2):
        app.enqueue("meet", "a")
        app.enqueue("meet", "b")
        states = {entry.state for entry in app.wait("a", "b").values()}
    assert states == {"succeeded"}


def test_a_timeout_ends_python_code() -> None:
    def spin() -> None:
        while True:
            time.monotonic()

    app = LiveApp(spin)
    with run_threads(app, 1):
        app.enqueue("spin", "s", timeout=0.05)
        end = app.wait("s")["s"]
    assert end.state == "dead"
    assert end.error is not None
    assert not missing(end.error.text, "timeout", "0.05 s")


def test_at_least_one_thread() -> None:
    with pytest.raises(ValueError), run_threads(LiveApp(), 0):
        pass


def test_a_task_that_does_not_end_is_left_behind() -> None:
    begun, end = threading.Event(), threading.Event()

    def stuck() -> None:
        begun.set()
        end.wait()

    app = LiveApp(stuck)
    app.enqueue("stuck", "id")
    with (
        pytest.warns(RuntimeWarning, match=naming("1 tasks", "0.01 s")),
        run_threads(app, 1, shutdown_timeout=0.01),
    ):
        assert begun.wait(20)
    end.set()
    for thread in threading.enumerate():
        if thread.name.startswith("threads"):
            thread.join(20)
