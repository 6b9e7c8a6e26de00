"""10,000 tasks while something is killed with SIGKILL: every id finishes, each result is right.

The tasks note each execution themselves. Executions that were repeated are bounded by what was in
hand when the process died: at most a claim's worth of messages for each child that was lost.
"""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.crash.app import step
from tests.crash.scene import CrashScene
from tests.kit.processes import is_alive, send
from tests.kit.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.timeout(240),
]

TASKS = 10_000
BATCH = 128  # the most that one child has in hand


def check_all_finished(scene: CrashScene, results: list[int], lost_hands: int) -> None:
    assert results == [n * 2 for n in range(TASKS)]
    executions = scene.executions()
    assert set(executions) == set(range(TASKS))
    repeated = sum(executions.values()) - TASKS
    assert repeated <= lost_hands * BATCH
    (group,) = scene.queue.stats().queues
    assert (group.succeeded, group.dead, group.cancelled, group.expired) == (TASKS, 0, 0, 0)
    assert group.ready == group.leased == group.scheduled == group.held == group.parked == 0


def test_broker_killed_three_times(scene: CrashScene) -> None:
    scene.registered_worker()
    handles = step.map(range(TASKS))
    for share in (1, 2, 3):
        wait_until(lambda share=share: scene.succeeded() > TASKS * share // 5, 60)
        scene.kill_broker()
    results = handles.results(timeout=120)
    # the leases outlive the broker, so nothing that ran on was given to anybody else
    check_all_finished(scene, results, lost_hands=0)


def test_children_killed_one_after_the_other(scene: CrashScene) -> None:
    launcher = scene.registered_worker()
    handles = step.map(range(TASKS))
    kills = 5
    for share in range(1, kills + 1):
        wait_until(lambda share=share: scene.succeeded() > TASKS * share // 8, 60)
        send(launcher.children[0], signal.SIGKILL)
        wait_until(lambda: len(launcher.children) == 2, 20)
    results = handles.results(timeout=120)
    check_all_finished(scene, results, lost_hands=kills)
    assert launcher.is_running


def test_launcher_killed_and_its_children_with_it(scene: CrashScene) -> None:
    launcher = scene.registered_worker()
    children = launcher.children
    handles = step.map(range(TASKS))
    wait_until(lambda: scene.succeeded() > TASKS // 5, 60)
    launcher.kill()
    wait_until(lambda: not any(is_alive(child) for child in children), 10)
    scene.registered_worker()
    results = handles.results(timeout=120)
    check_all_finished(scene, results, lost_hands=2)


def test_all_of_them_killed_at_once(scene: CrashScene) -> None:
    launcher = scene.registered_worker()
    handles = step.map(range(TASKS))
    wait_until(lambda: scene.succeeded() > TASKS // 3, 60)
    scene.kill_broker()
    launcher.kill()
    # the messages that were leased wait for their leases to run out: nobody knows who lives
    scene.registered_worker()
    results = handles.results(timeout=150)
    check_all_finished(scene, results, lost_hands=2)


def test_producer_killed_in_the_middle(scene: CrashScene) -> None:
    scene.registered_worker()
    reader, writer = os.pipe()
    producer = os.fork()
    if producer == 0:
        try:
            for n in range(TASKS):
                handle = step(n)  # acknowledged, so it must end
                os.write(writer, f"{handle.id} {n}\n".encode())
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader) as lines:
        told = [next(lines) for _ in range(1000)]
        send(producer, signal.SIGKILL)
        os.waitpid(producer, 0)
        told += [line for line in lines if line.endswith("\n")]
    for line in told:
        id, n = line.split()
        assert scene.queue.handle(id).result(timeout=60) == int(n) * 2
