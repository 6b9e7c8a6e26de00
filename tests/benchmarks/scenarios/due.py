"""Many messages that fall due at the same instant. Ours only."""

from __future__ import annotations

import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, queue
from tests.benchmarks.peers.taskq_ours import due as due_task
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample

PART = 20_000
AHEAD = 30e-6  # seconds to enqueue one message, generously


def due(peer: Ours, marks: Marks, count: int) -> Sample:
    """The time of `count` messages due at one instant, from that instant to the last one's end,
    divided by the time in which as many ready ones are drained by the same idle workers."""
    peer.start_workers()
    peer.round_trips(20)
    plain = _drain(peer, count)
    at = time.time() + 1 + count * AHEAD
    before = peer.finished()
    task = due_task.options(eta=at)
    for start in range(0, count, PART):
        numbers = range(start, min(start + PART, count))
        task.starmap((n, at, count) for n in numbers)
    if time.time() >= at:
        raise RuntimeError("the messages were due before all of them were enqueued")
    time.sleep(at - time.time())
    wait_for(lambda: peer.finished() - before >= count, "all are finished")
    seconds = time.time() - at
    early = marks.ran(2 * count) - marks.ran(count)
    return Sample(
        seconds / plain,
        count,
        marks.lost(count),
        marks.duplicates(count),
        {"early": early, "seconds": seconds, "plain": plain},
    )


def _drain(peer: Ours, count: int) -> float:
    """Seconds of a plain drain of the same task by workers that wait for it."""
    queue.pause()
    before = peer.finished()
    for start in range(0, count, PART):
        numbers = range(start, min(start + PART, count))
        due_task.starmap((-1, 0.0, count) for _ in numbers)
    began = time.perf_counter()
    queue.resume()
    wait_for(lambda: peer.finished() - before >= count, "all are finished")
    return time.perf_counter() - began
