"""Clocks that are set, brokers that are away when something falls due, and leases that are short."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskq.errors import TaskExpired
from tests.broker_process import BrokerProcess
from tests.integration import worker_app as app
from tests.integration.pool import PATIENCE, ROOT, Place
from tests.proxy import Proxy
from tests.support import wait_until

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

    def __init__(self, place: Place) -> None:
        self._shift = Path(place.path("shift"))
        self._new = Path(place.path("shift.new"))
        self.set(0)
        site = Path(place.path("site"))
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


def test_42_setting_the_wall_clock_by_a_day_moves_no_lease_and_no_backoff(place: Place) -> None:
    wall = WallClock(place)
    worker = place.worker("-c", "2", **wall.environment)  # it starts the broker
    running = app.gate.options(visibility_timeout=1)(place.path("open"), place.path("runs"))
    wait_until(lambda: place.lines("runs"))
    for shift in (DAY, -DAY):
        retried = app.fails_once(place.path(f"tries{shift}"))
        wait_until(lambda path=f"tries{shift}": place.lines(path))
        wall.set(shift)
        assert retried.result(PATIENCE) == 2  # after half a second, not at once or tomorrow
        heartbeats(3)
        assert running.status() == "leased"
    Path(place.path("open")).touch()
    assert running.result(PATIENCE) == int(place.lines("runs")[0])
    assert len(place.lines("runs")) == 1
    assert "LeaseLost" not in worker.output


@pytest.mark.parametrize("shift", [DAY, -DAY])
def test_42_a_broker_whose_clock_is_a_day_off_lets_nothing_expire_early_or_late(
    place: Place, shift: float
) -> None:
    wall = WallClock(place)
    wall.set(shift)
    place.worker(**wall.environment)
    assert app.add.options(expires=60)(1, 2).result(PATIENCE) == 3
    app.queue.pause()
    late = app.add.options(expires=0.1)(1, 2)
    with pytest.raises(TaskExpired):
        late.result(PATIENCE)


@pytest.mark.parametrize("stop", ["kill", "stop"])
def test_43_what_fell_due_while_the_broker_was_down_runs_once(
    far_place: Place, proxy: Proxy, tcp_broker: BrokerProcess, stop: str
) -> None:
    far_place.worker("-c", "2")
    due = datetime.now(UTC) + timedelta(seconds=0.6)
    runs = far_place.path("runs")
    handles = app.gate.options(eta=due).starmap((None, runs) for _ in range(50))
    getattr(tcp_broker, stop)()
    wait_until(lambda: datetime.now(UTC) > due)
    assert far_place.lines("runs") == []
    tcp_broker.start()
    assert len(handles.results(PATIENCE)) == 50
    assert len(far_place.lines("runs")) == 50


def test_44_an_eta_beyond_the_lease_runs_once_and_not_early(place: Place) -> None:
    place.worker("-c", "2")
    eta = datetime.now(UTC) + timedelta(seconds=1.0)
    handle = app.moment.options(eta=eta, visibility_timeout=0.2)(place.path("runs"))
    assert handle.status() == "scheduled"
    assert handle.result(PATIENCE) >= eta.timestamp()
    assert len(place.lines("runs")) == 1
    assert handle.info().deliveries == 1


def test_44_a_task_that_outlasts_its_lease_many_times_runs_once(place: Place) -> None:
    place.worker("-c", "2")
    handle = app.gate.options(visibility_timeout=0.5)(place.path("open"), place.path("runs"))
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 1.5)
    Path(place.path("open")).touch()
    handle.result(PATIENCE)
    assert len(place.lines("runs")) == 1
