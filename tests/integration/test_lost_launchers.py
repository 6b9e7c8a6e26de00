"""What is charged when a launcher, or a task that has returned, takes everything down."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskq.errors import WorkerLost
from tests.integration import worker_app as app
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE


def test_a_task_that_kills_its_process_after_it_has_returned_ends_as_a_dead_letter(
    scene: Scene,
) -> None:
    scene.worker()
    with pytest.raises(WorkerLost):
        app.poison_later(scene.path("runs")).result(PATIENCE)
    assert len(scene.lines("runs")) == 2


def test_a_task_that_kills_the_launcher_ends_as_a_dead_letter(scene: Scene) -> None:
    handle = app.poison_for_all(scene.path("runs"))
    for _ in range(3):
        scene.worker(ready=False).exit_code()
    wait_until(lambda: handle.status() == "dead")
    with pytest.raises(WorkerLost):
        handle.result(PATIENCE)
    assert len(scene.lines("runs")) == 3


def test_a_killed_launcher_costs_each_child_one_message_at_most(scene: Scene) -> None:
    """27: with `max_deliveries=1`, what was claimed and had not begun is not buried."""
    log = scene.path("runs")
    Path(log).touch()
    handles = app.once.starmap((log, f"n{number}") for number in range(1000))
    kills, children = 5, 2
    for target in range(50, 50 + 50 * kills, 50):
        worker = scene.worker("-c", str(children))
        wait_until(lambda target=target: len(scene.lines("runs")) > target)  # type: ignore[misc]
        worker.kill()
    scene.worker("-c", str(children))
    ends = [handle.exception(PATIENCE) for handle in handles]
    lost = [end for end in ends if end is not None]
    assert all(isinstance(end, WorkerLost) for end in lost)
    assert len(lost) <= kills * children
    runs = scene.lines("runs")
    assert len(runs) == len(set(runs)), "one ran twice"
