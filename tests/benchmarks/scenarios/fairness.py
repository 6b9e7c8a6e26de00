"""A slow task among fast ones. Ours only."""

from __future__ import annotations

import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, nap
from tests.benchmarks.records import Sample

RATE = 200.0  # fast tasks a second: two children have room for many more
FAST, SLOW = 0.001, 1.0  # seconds
SLOW_EVERY = (
    300  # a slow task among so many fast ones: one of two children is busy most of the time
)


def slow_among_fast(peer: Ours, marks: Marks, count: int) -> Sample:
    """The p99 of 1 ms tasks among 1 s tasks, divided by their p99 without these.

    Latency is open-loop: from the intended moment of sending to the end of the task.
    """
    peer.start_workers()
    peer.round_trips(50)
    alone = _p99(count, first=0, with_slow=False)
    beside = _p99(count, first=count, with_slow=True)
    return Sample(
        beside / alone,
        2 * count,
        marks.lost(2 * count),
        marks.duplicates(2 * count),
        {"p99 alone, ms": alone * 1000, "p99 beside, ms": beside * 1000},
    )


def _p99(count: int, first: int, with_slow: bool) -> float:
    """Seconds."""
    handles = []
    intended = []
    slow = []
    began = time.time() + 0.05
    for n in range(count):
        at = began + n / RATE
        time.sleep(max(at - time.time(), 0.0))
        if with_slow and n % SLOW_EVERY == 0:
            slow.append(nap(-1, SLOW))
        handles.append(nap(first + n, FAST))
        intended.append(at)
    late = sorted(handle.result(60) - at for handle, at in zip(handles, intended, strict=True))
    for handle in slow:
        handle.result(60)
    return late[len(late) * 99 // 100]
