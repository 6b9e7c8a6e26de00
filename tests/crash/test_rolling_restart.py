"""An upgrade while work goes on: workers and broker are restarted in good order, one by one."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from taskq import ResultHandle
from tests.crash.app import step
from tests.crash.scene import CrashScene
from tests.kit.processes import is_alive, send
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


class Producer:
    """Calls the task from a thread of its own until it is told to end."""

    def __init__(self, scene: CrashScene) -> None:
        self._scene = scene
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self.handles: list[ResultHandle[int]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.wait(0.005):
                start = len(self.handles)
                self.handles += step.map(range(start, start + 80))
        except BaseException as error:
            self._failed = error
        finally:
            self._scene.queue.broker.close()

    def end(self) -> list[ResultHandle[int]]:
        """Stop; returns what was acknowledged."""
        self._over.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed
        return self.handles

    def goes_on(self) -> None:
        """Wait until more was produced and more was finished."""
        produced, finished = len(self.handles), self._scene.succeeded()
        wait_until(lambda: len(self.handles) >= produced + 100)
        wait_until(lambda: self._scene.succeeded() >= finished + 100)


def restart_broker(scene: CrashScene) -> None:
    pid = scene.broker_pid()
    send(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid))


def test_64_a_rolling_restart_loses_and_repeats_nothing(scene: CrashScene) -> None:
    first, second = scene.registered_worker(), scene.registered_worker()
    producer = Producer(scene)
    try:
        producer.goes_on()
        old = set(first.children)
        first.signal(signal.SIGHUP)
        wait_until(lambda: not old & set(first.children))
        producer.goes_on()
        for worker in (first, second):
            scene.registered_worker()  # the new one is there before the old one leaves
            worker.signal(signal.SIGTERM)
            assert worker.exit_code(30) == 0
            producer.goes_on()
            restart_broker(scene)
            producer.goes_on()
    finally:
        handles = producer.end()
    assert [handle.result(60) for handle in handles] == [n * 2 for n in range(len(handles))]
    assert set(scene.executions().values()) == {1}
    assert len(scene.executions()) == len(handles)
