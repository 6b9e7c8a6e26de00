"""A launcher and its signals at its start, and while a broker is slow to start."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from taskq.backends.autostart import start_lock
from taskq.transport.directory import BrokerDirectory
from tests.integration import worker_app as app
from tests.kit.broker import BrokerProcess
from tests.kit.marks import on_linux
from tests.kit.processes import children_of, is_alive
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


def processes_of(session: int) -> set[int]:
    """The processes of a session that run."""
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            _, _, rest = (entry / "stat").read_text().rpartition(")")
            if int(rest.split()[3]) == session and is_alive(int(entry.name)):
                found.add(int(entry.name))
    return found


@on_linux
@pytest.mark.parametrize("part", range(1, 7))
def test_term_at_any_moment_of_the_start_leaves_nothing_behind(scene: Scene, part: int) -> None:
    app.add(1, 2)  # there is a broker
    worker = scene.worker(ready=False)
    began = monotonic()
    wait_until(lambda: monotonic() >= began + part / 10, every=0.001)
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() in (0, -signal.SIGTERM)
    wait_until(lambda: not processes_of(worker.pid))
    stats = app.queue.stats()
    assert (stats.queues[0].ready, stats.queues[0].leased) in ((1, 0), (0, 0))
    wait_until(lambda: not app.queue.stats().workers)


def test_a_worker_waits_for_the_first_start_of_a_broker_on_a_socket(short_dir: Path) -> None:
    scene = Scene(app, f"unix:{short_dir / 'b' / 'sock'}")
    broker = BrokerProcess(short_dir / "b")
    try:
        worker = scene.worker(ready=False)
        wait_until(lambda: "no child is ready" in worker.output or not worker.is_running)
        broker.start()
        assert worker.ready_line() == "ready", worker.output
        assert app.add(1, 2).result(PATIENCE) == 3
    finally:
        scene.close()
        broker.close()
