"""Clocks that are set, brokers that are away when something falls due, and leases that are short."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskq.errors import TaskExpired
from tests.integration import worker_app as app
from tests.kit.broker import BrokerProcess
from tests.kit.files import ROOT
from tests.kit.proxy import Proxy
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE

DAY = 86_400.0

# every Python process that finds it takes the wall clock from here; the steady clocks stay real
SET_CLOCK = """
import time
_real = time.time
def _shifted():
    with open({path!r}) as file:
        return _real() + float(file.read() or 0)
time.time = _shifted
time.time_ns = lambda: int(_shifted() * 1e9)
"""


class WallClock:
    """The wall clock of the worker and of the broker that it starts."""

    def __init__(self, scene: Scene) -> None:
        self._shift = Path(scene.path("shift"))
        self._new = Path(scene.path("shift.new"))
        self.set(0)
        site = Path(scene.path("site"))
        site.mkdir()
        (site / "sitecustomize.py").write_text(SET_CLOCK.format(path=str(self._shift)))
        self.environment = {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    def set(self, shift: float) -> None:
        self._new.write_text(str(shift))
        self._new.replace(self._shift)


def heartbeats(count: int) -> None:
    """Wait until the worker has renewed its leases so many times."""
    seen = {app.queue.stats().workers[0].seen_at}

    def enough() -> bool:
        seen.add(app.queue.stats().workers[0].seen_at)
        return len(seen) > count

    wait_until(enough)


def test_42_setting_the_wall_clock_by_a_day_moves_no_lease_and_no_backoff(scene: Scene) -> None:
    wall = WallClock(scene)
    worker = scene.worker("-c", "2", **wall.environment)  # it starts the broker
    running = app.gate.options(visibility_timeout=1)(scene.path("open"), scene.path("runs"))
    wait_until(lambda: scene.lines("runs"))
    for shift in (DAY, -DAY):
        retried = app.fails_once(scene.path(f"tries{shift}"))
        wait_until(lambda path=f"tries{shift}": scene.lines(path))
        wall.set(shift)
        assert retried.result(PATIENCE) == 2  # after half a second, not at once or tomorrow
        heartbeats(3)
        assert running.status() == "leased"
    Path(scene.path("open")).touch()
    assert running.result(PATIENCE) == int(scene.lines("runs")[0])
    assert len(scene.lines("runs")) == 1
    assert "LeaseLost" not in worker.output


@pytest.mark.parametrize("shift", [DAY, -DAY])
def test_42_a_broker_whose_clock_is_a_day_off_lets_nothing_expire_early_or_late(
    scene: Scene, shift: float
) -> None:
    wall = WallClock(scene)
    wall.set(shift)
    scene.worker(**wall.environment)
    assert app.add.options(expires=60)(1, 2).result(PATIENCE) == 3
    app.queue.pause()
    late = app.add.options(expires=0.1)(1, 2)
    with pytest.raises(TaskExpired):
        late.result(PATIENCE)


@pytest.mark.parametrize("stop", ["kill", "stop"])
def test_43_what_fell_due_while_the_broker_was_down_runs_once(
    far_scene: Scene, proxy: Proxy, tcp_broker: BrokerProcess, stop: str
) -> None:
    far_scene.worker("-c", "2")
    due = datetime.now(UTC) + timedelta(seconds=0.6)
    runs = far_scene.path("runs")
    handles = app.gate.options(eta=due).starmap((None, runs) for _ in range(50))
    getattr(tcp_broker, stop)()
    wait_until(lambda: datetime.now(UTC) > due)
    assert far_scene.lines("runs") == []
    tcp_broker.start()
    assert len(handles.results(PATIENCE)) == 50
    assert len(far_scene.lines("runs")) == 50


def test_44_an_eta_beyond_the_lease_runs_once_and_not_early(scene: Scene) -> None:
    scene.worker("-c", "2")
    eta = datetime.now(UTC) + timedelta(seconds=1.0)
    handle = app.moment.options(eta=eta, visibility_timeout=0.2)(scene.path("runs"))
    assert handle.status() == "scheduled"
    assert handle.result(PATIENCE) >= eta.timestamp()
    assert len(scene.lines("runs")) == 1
    assert handle.info().deliveries == 1


def test_44_a_task_that_outlasts_its_lease_many_times_runs_once(scene: Scene) -> None:
    scene.worker("-c", "2")
    handle = app.gate.options(visibility_timeout=0.5)(scene.path("open"), scene.path("runs"))
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1.5)
    Path(scene.path("open")).touch()
    handle.result(PATIENCE)
    assert len(scene.lines("runs")) == 1
