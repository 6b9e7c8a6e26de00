"""What broker and workers use over time: nothing grows that nobody asked for.

`TASKQ_SOAK=600 python -m pytest -s tests/integration/test_resources.py -k soak --timeout 0` runs for
ten minutes after a warm-up of 90 seconds: finished messages are remembered for 60 seconds.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from taskq.protocol.operating import Ping
from tests.integration import worker_app as app
from tests.kit.marks import on_linux
from tests.kit.processes import Usage, children_of, usage_of
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE

MiB = 2**20
ROUND = 2000  # tasks
SOAK = float(os.environ.get("TASKQ_SOAK", "0"))  # seconds
WARM_UP = 90.0 if SOAK else 0.0  # seconds
LEAST_ROUNDS = 4
PAUSE = 0.2 if SOAK else 0.0  # seconds between two rounds: a soak is long, not heavy


@on_linux
def test_52_100_000_future_tasks_leave_the_worker_s_memory_flat(scene: Scene) -> None:
    worker = scene.worker()
    launcher = worker.pid
    (child,) = children_of(launcher)
    app.add.starmap((n, n) for n in range(ROUND)).results(PATIENCE)
    before = [usage_of(pid) for pid in (launcher, child)]
    later = app.add.options(delay=3600)
    for _ in range(10):
        later.starmap((n, n) for n in range(10_000))
    app.add.starmap((n, n) for n in range(ROUND)).results(PATIENCE)
    (group,) = app.queue.stats().queues
    assert group.scheduled == 100_000
    for pid, was in zip((launcher, child), before, strict=True):
        assert usage_of(pid).memory - was.memory < 3 * MiB
    assert worker.stop() == 0


class Soak:
    """Rounds of load, and what every process uses after each."""

    def __init__(self, scene: Scene) -> None:
        self.launcher = scene.worker("-c", "2").pid
        self.broker = app.queue.broker.call(Ping()).pid
        self.journal = Path(scene.directory, "b")
        self.pids = [self.broker, self.launcher, *children_of(self.launcher)]
        self.short = app.add.options(result_ttl=0)
        self.failing = app.fails_at_once.options(result_ttl=0)

    def round(self) -> None:
        """Work of every kind, to its end."""
        app.queue.broker.connect().close()
        self.short.starmap((n, n) for n in range(ROUND))
        for n in range(20):
            self.failing(n)
        assert app.add(1, 2).result(PATIENCE) == 3
        handle = app.gate(None)
        handle.cancel()
        handle.exception(PATIENCE)
        wait_until(self.is_empty)

    def is_empty(self) -> bool:
        (group,) = app.queue.stats().queues
        return group.ready == group.leased == group.scheduled == 0

    def usage(self) -> list[Usage]:
        return [usage_of(pid) for pid in self.pids]

    def journal_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.journal.glob("journal*"))

    def rounds(self, seconds: float) -> int:
        """Rounds for so long, and a few at least; how many there were."""
        count, end = 0, time.monotonic() + seconds
        while count < LEAST_ROUNDS or time.monotonic() < end:
            self.round()
            time.sleep(PAUSE)
            count += 1
        return count


@on_linux
def test_56_soak_descriptors_threads_memory_and_journal_stay_flat(scene: Scene) -> None:
    soak = Soak(scene)
    soak.rounds(WARM_UP)
    before, journal = soak.usage(), soak.journal_bytes()
    rounds = soak.rounds(SOAK)
    after = soak.usage()
    print(f"{rounds} rounds; {before}, {journal} -> {after}, {soak.journal_bytes()}")
    for now, was in zip(after, before, strict=True):
        assert (now.descriptors, now.threads) == (was.descriptors, was.threads)
    for now, was in zip(after[1:], before[1:], strict=True):
        assert now.memory - was.memory < 2 * MiB
    # what has finished within a minute is remembered, so that no repeated enqueue runs it again
    remembered = 0 if SOAK else rounds * ROUND * 700
    assert after[0].memory < before[0].memory * 1.3 + 8 * MiB + remembered
    assert soak.journal_bytes() < journal * 1.3 + 8 * MiB + remembered
