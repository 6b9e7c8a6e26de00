"""A launcher hears its signals while a broker is slow to start."""

from __future__ import annotations

import signal
from pathlib import Path

from taskq.backends.autostart import start_lock
from taskq.transport.directory import BrokerDirectory
from tests.integration import worker_app as app
from tests.kit.marks import on_linux
from tests.kit.processes import children_of
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE


@on_linux
def test_term_begins_the_drain_while_a_broker_is_slow_to_start(scene: Scene) -> None:
    worker = scene.worker(slow_start=True)
    running = app.gate(scene.path("open"), scene.path("in"))
    wait_until(lambda: scene.lines("in"))
    (child,) = map(int, scene.lines("in"))
    with start_lock(BrokerDirectory(scene.directory / "b"), PATIENCE):
        scene.kill_broker()
        # the process that waits for the right to start another one
        wait_until(lambda: set(children_of(worker.pid)) - {child})
        worker.signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM: finishing what is running" in worker.output)
        assert worker.is_running
    Path(scene.path("open")).touch()
    assert worker.exit_code() == 0
    assert running.result(PATIENCE) == child
