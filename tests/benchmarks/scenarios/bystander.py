"""What one client sees while the broker works on very many messages of somebody else. Ours only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from taskq.protocol.base import Request
from taskq.protocol.operating import Control
from taskq.protocol.producing import Unwatch, Wait
from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, noop, queue
from tests.benchmarks.records import Sample

CROWD = "crowd"  # a paused queue: its messages cost the broker, not the workers
USUAL = 1_000  # round trips without anything else
PART = 20_000
AHEAD = 30e-6  # seconds to enqueue one message, generously


def bystander(peer: Ours, marks: Marks, count: int) -> Sample:
    """The p99 of a round trip while `count` messages fall due, expire, are waited for and are purged,
    divided by its usual p99: the worst of the four."""
    peer.start_workers()
    peer.round_trips(50)
    _crowd(1)  # which makes the queue
    _call(Control(queue=CROWD, action="pause"))
    usual = _p99(_round_trips(lambda n: n < USUAL))

    at = time.time() + 2 + count * AHEAD
    ids = _crowd(count, eta=at)
    _sleep_until(at)
    due = _during(lambda: _until(lambda: _counts()[0] == 0))
    waited = _during(lambda: _wait_for(ids))
    purged = _during(lambda: _call(Control(queue=CROWD, action="purge")))
    at = time.time() + 2 + count * AHEAD
    _crowd(count, expires=at - time.time())
    _sleep_until(at)
    expired = _during(lambda: _until(lambda: _counts()[1] == 0))
    found = {"due": due, "waited for": waited, "purged": purged, "expired": expired}
    ratios = {name: _p99(times) / usual for name, times in found.items()}
    return Sample(
        max(ratios.values()),
        count,
        extra={
            "usual, ms": usual * 1e3,
            **ratios,
            "longest, ms": max(max(times) for times in found.values()) * 1e3,
        },
    )


def _crowd(count: int, **options: object) -> list[str]:
    """Enqueue so many messages that nobody works; their ids."""
    task = noop.options(queue=CROWD, **options)  # type: ignore[arg-type]
    ids: list[str] = []
    for start in range(0, count, PART):
        ids += [handle.id for handle in task.map(range(-1, -1 - min(PART, count - start), -1))]
    return ids


def _counts() -> tuple[int, int]:
    """How many of the crowd are scheduled, and how many there are."""
    (group,) = [each for each in queue.stats().queues if each.queue == CROWD]
    return group.scheduled, group.scheduled + group.ready


def _wait_for(ids: list[str]) -> None:
    connection = queue.broker.connect()
    try:
        connection.call(Wait(watch=1, add=ids, wait=0.0))
        connection.call(Unwatch(watch=1))
    finally:
        connection.close()


def _call(request: Request[object]) -> None:  # type: ignore[type-var]
    connection = queue.broker.connect()
    try:
        connection.call(request)
    finally:
        connection.close()


def _until(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.01)


def _sleep_until(at: float) -> None:
    left = at - time.time()
    if left <= 0:
        raise RuntimeError("the messages were due before all of them were enqueued")
    time.sleep(left)


def _during(action: Callable[[], None]) -> list[float]:
    """Round trips, in seconds, from the beginning of an action in another thread to its end."""
    thread = threading.Thread(target=action)
    thread.start()
    return _round_trips(lambda n: thread.is_alive() or n < 20)


def _round_trips(goes_on: Callable[[int], bool]) -> list[float]:
    times: list[float] = []
    while goes_on(len(times)):
        began = time.perf_counter()
        noop(-1).result(60)
        times.append(time.perf_counter() - began)
    return times


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
