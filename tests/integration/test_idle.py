"""A system with nothing to do sleeps: wake-ups of every process, as the kernel counts them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from taskq.protocol.operating import Ping
from tests.integration import worker_app as app
from tests.kit.broker import stop_broker
from tests.kit.marks import on_linux
from tests.kit.processes import children_of
from tests.kit.waiting import wait_until

pytestmark = on_linux

WINDOW = 4.0  # seconds in which wake-ups are counted
MOST = 2.0  # wake-ups a second of one process
CHILDREN = 2


@pytest.fixture
def broker_pid(short_dir: Path) -> Iterator[int]:
    """The broker of the app's queue, in a directory of its own."""
    app.queue.use_broker(f"embedded:{short_dir / 'b'}")
    pid = app.queue.broker.call(Ping()).pid
    yield pid
    stop_broker(app.queue.broker)


def wake_ups(pid: int) -> int:
    """How often the threads of a process went to sleep by themselves, all together."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += switches(task)
    return found


def switches(task: Path) -> int:
    """The voluntary context switches of one thread; 0 if it has just ended."""
    with suppress(OSError):
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                return int(line.split()[1])
    return 0


def is_quiet(pids: list[int]) -> bool:
    """Whether nobody woke up for a moment."""
    before = [wake_ups(pid) for pid in pids]
    time.sleep(0.2)
    return [wake_ups(pid) for pid in pids] == before


class Waiting(threading.Thread):
    """A thread of this process that waits for a result which does not come."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.handle = app.add.options(delay=3600.0)(1, 2)
        self.start()

    def run(self) -> None:
        self.handle.exception()

    def wake_ups(self) -> int:
        return switches(Path(f"/proc/self/task/{self.native_id}"))

    def end(self) -> None:
        self.handle.cancel()
        self.join()


def test_nobody_polls_while_there_is_nothing_to_do(broker_pid: int) -> None:
    with app.queue.workers(CHILDREN):
        app.add.starmap((n, n) for n in range(200)).results(20)  # it is not new, it has worked
        waiting = Waiting()  # and something waits for its hour
        (worker,) = app.queue.stats().workers
        pids = [broker_pid, worker.info.pid, *children_of(worker.info.pid)]
        assert len(pids) == 2 + CHILDREN
        wait_until(lambda: is_quiet(pids))
        before = [wake_ups(pid) for pid in pids], waiting.wake_ups()
        time.sleep(WINDOW)
        after = [wake_ups(pid) for pid in pids], waiting.wake_ups()
        waiting.end()
    woken = [new - old for new, old in zip(after[0], before[0], strict=True)]
    assert max(woken) <= MOST * WINDOW, f"broker, launcher, children woke up {woken} times"
    assert after[1] - before[1] <= MOST * WINDOW
