"""Thousands of tasks that fail and are tried again, along with a few healthy ones. Ours only."""

from __future__ import annotations

import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, fail, noop, queue
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample

FAILING = 2_000  # tasks, each tried again after 1.5 s or so
RATE = 100.0  # healthy ones a second


def retry_storm(peer: Ours, marks: Marks, count: int) -> Sample:
    """The p99 of healthy tasks among failing ones, divided by their p99 without these.

    From the intended moment of sending to the result in the caller's hands, in turn.
    """
    peer.start_workers()
    peer.round_trips(50)
    alone = _late(count, first=0)
    fail.map(range(FAILING))
    wait_for(lambda: _failed() >= FAILING, "each has failed once")
    failed, began = _failed(), time.perf_counter()
    beside = _late(count, first=count)
    storm = (_failed() - failed) / (time.perf_counter() - began)
    return Sample(
        beside[-(count // 100) - 1] / alone[-(count // 100) - 1],
        count,
        marks.lost(),
        marks.duplicates(),
        {
            "failures a second": storm,
            "p50 alone, ms": alone[count // 2] * 1000,
            "p50 beside, ms": beside[count // 2] * 1000,
            "p99 alone, ms": alone[-(count // 100) - 1] * 1000,
            "p99 beside, ms": beside[-(count // 100) - 1] * 1000,
        },
    )


def _failed() -> int:
    return sum(each.failed for each in queue.stats().queues)


def _late(count: int, first: int) -> list[float]:
    """How late each result was, in seconds, sorted."""
    late = []
    began = time.perf_counter()
    for n in range(count):
        at = began + n / RATE
        time.sleep(max(at - time.perf_counter(), 0.0))
        noop(first + n).result(60)
        late.append(time.perf_counter() - at)
    return sorted(late)
