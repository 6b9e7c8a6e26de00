"""SIGHUP: all of the new code, or all of the old."""

from __future__ import annotations

import signal
from pathlib import Path

from taskq import TaskQueue
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Options
from tests.integration import worker_app
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE

APP = """
from taskq import TaskQueue
queue = TaskQueue("w")
{broken}
@queue.task
def version():
    return {version}
"""


def version(queue: TaskQueue) -> int:
    """What a child returns now."""
    id = f"v{next(_numbers)}"
    payload = queue.codec.encode_call("w", id, "reloaded.version", (), {})
    request = Enqueue(
        queue="w", task="reloaded.version", options=Options(), calls=[Call(id, payload)]
    )
    queue.broker.call(request)
    return int(queue.handle(id).result(PATIENCE))


_numbers = iter(range(1_000_000))


def test_a_reload_of_a_broken_file_keeps_the_old_code_and_the_next_one_tries_again(
    scene: Scene,
) -> None:
    file = Path(scene.path("reloaded.py"))
    file.write_text(APP.format(broken="", version=1))
    worker = scene.worker(
        app="reloaded:queue", PYTHONPATH=str(file.parent), PYTHONDONTWRITEBYTECODE="1"
    )
    queue = worker_app.queue
    assert version(queue) == 1
    file.write_text(APP.format(broken="1 / 0  # broken", version=2))
    worker.signal(signal.SIGHUP)
    wait_until(lambda: "reload has failed" in worker.output)
    assert "ZeroDivisionError" in worker.output
    assert worker.is_running
    assert version(queue) == 1
    file.write_text(APP.format(broken="", version=33))
    worker.signal(signal.SIGHUP)
    wait_until(lambda: version(queue) == 33)
    assert worker.output.count("reload has failed") == 1
    assert worker.stop() == 0
