"""Cancellations of running tasks: every one arrives, and none hits another task."""

from __future__ import annotations

import time

from taskq import TaskQueue, current
from taskq.errors import TaskCancelled
from taskq.protocol.operating import Peek
from tests.integration import worker_app as app
from tests.kit.scene import Scene

CROWD = 64


def test_cancellations_of_many_running_tasks_all_arrive() -> None:
    queue = TaskQueue("crowd", broker="memory:")
    running: list[str] = []

    @queue.task
    def until_cancelled() -> None:
        running.append(current().id)
        while not current().cancelled:
            time.sleep(0.001)
        raise TaskCancelled

    with queue.workers(CROWD):
        handles = [until_cancelled() for _ in range(CROWD)]
        while len(running) < CROWD:
            time.sleep(0.001)
        for handle in handles:
            handle.cancel()
        ends = [handle.exception(timeout=30) for handle in handles]
    assert [type(end) for end in ends] == [TaskCancelled] * CROWD


def test_termination_kills_only_what_it_is_meant_for(scene: Scene) -> None:
    scene.worker("-c", "2")
    handles = [app.nap(0.004) for _ in range(600)]
    victims = {handle.id: handle for handle in handles[::3]}
    pending = dict(victims)
    last = handles[-1]
    while pending and not last.done():
        for each in app.queue.broker.call(Peek(queue="w", state="leased", limit=500)).messages:
            victim = pending.pop(each.id, None)
            if victim is not None:
                victim.cancel(terminate=True)
    for handle in handles:
        end = handle.exception(timeout=30)
        if handle.id in victims:
            assert end is None or isinstance(end, TaskCancelled)
        else:
            assert end is None
            assert handle.info().attempts == 1
