"""SIGKILL at 70 % load: how soon the rate is back, and what was lost. Ours only."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.benchmarks.capacity import capacity
from tests.benchmarks.flow import Flow
from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, noop, queue
from tests.benchmarks.processes import children, wait_for
from tests.benchmarks.records import Sample
from tests.kit.processes import send

BUSY = 0.7  # of what the system takes in and drains at once
SECONDS = 6.0  # of load
LOOK = 0.02  # seconds between two looks at the marks
WINDOW = 0.2  # seconds over which a rate is taken
BACK = 0.95  # of the rate before
CAUGHT_UP = 0.1  # seconds' worth of messages that may wait at any time


def kill_worker(peer: Ours, marks: Marks, count: int) -> Sample:
    """Kill one of two children."""

    def kill() -> None:
        assert peer.worker is not None
        send(children(peer.worker.pid)[0], signal.SIGKILL)

    return _killed(peer, marks, count, kill)


def kill_broker(peer: Ours, marks: Marks, count: int) -> Sample:
    """Kill the broker; who notices first starts another one."""
    return _killed(peer, marks, count, lambda: send(peer.broker_pid, signal.SIGKILL))


def _killed(peer: Ours, marks: Marks, count: int, kill: Callable[[], None]) -> Sample:
    """Milliseconds from the kill until the rate of a window is back at 95 % of the one before.

    The rate is that of tasks run, from their marks, so that looking disturbs nobody. The producer
    keeps to its plan: what it could not send in the meantime it sends as soon as it can.
    """
    peer.start_workers()
    peer.round_trips(20)
    rate = BUSY * capacity(peer, 1.0)
    count = min(int(SECONDS * rate), count)
    flow = Flow(rate, count, noop.map)
    flow.start()
    wait_for(lambda: marks.ran() > count // 8, "the load is steady", 60)
    start, began = marks.ran(), time.perf_counter()
    time.sleep(4 * WINDOW)
    rate = (marks.ran() - start) / (time.perf_counter() - began)
    kill()
    killed = time.perf_counter()
    back = _back([(killed, marks.ran())], marks, count, rate)
    caught_up = _caught_up(flow, marks, count)
    flow.join()
    wait_for(lambda: marks.ran() >= count, "all have run", 60)
    wait_for(lambda: queue.stats().broker.messages == 0, "all are finished", 60)
    return Sample(
        (back - killed) * 1000,
        count,
        marks.lost(count),
        marks.duplicates(count),
        {"rate before": rate, "backlog gone, ms": (caught_up - killed) * 1000},
    )


def _back(looks: list[tuple[float, int]], marks: Marks, count: int, rate: float) -> float:
    """When the first window began whose rate is back."""
    while True:
        time.sleep(LOOK)
        now, ran = time.perf_counter(), marks.ran()
        looks.append((now, ran))
        while now - looks[1][0] >= WINDOW:
            looks.pop(0)
        since, then = looks[0]
        if now - since >= WINDOW and (ran - then) / (now - since) >= BACK * rate:
            return since
        if ran >= count:
            raise RuntimeError("the load ended before its rate was back; take more messages")


def _caught_up(flow: Flow, marks: Marks, count: int) -> float:
    """When what should have been sent has run, but for a few."""
    while marks.ran() < min(flow.due(time.monotonic()) - CAUGHT_UP * flow.rate, count):
        time.sleep(LOOK)
    return time.perf_counter()
