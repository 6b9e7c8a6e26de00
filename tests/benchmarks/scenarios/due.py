"""Many messages that fall due, at one instant or one after the other. Ours only."""

from __future__ import annotations

import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, queue, stamped
from tests.benchmarks.peers.taskq_ours import due as due_task
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample
from tests.benchmarks.stamps import Stamps

PART = 20_000
AHEAD = 30e-6  # seconds to enqueue one message, generously
CALL = 1e-3  # seconds that a request takes in addition, generously
PACE = 100_000 / 60  # messages a second
SLOT = 16  # messages of one instant


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


def spread(peer: Ours, marks: Marks, count: int) -> Sample:
    """How late tasks start that fall due one after the other, in ms: the p99.

    As many a second as 100,000 in 60 s; those of 10 ms share an instant, and a request.
    """
    peer.start_workers()
    peer.round_trips(20)
    stamps = Stamps(count)
    slots = [range(n, min(n + SLOT, count)) for n in range(0, count, SLOT)]
    at = time.time() + 1 + count * AHEAD + len(slots) * CALL
    clocks = time.monotonic() - time.time()
    for position, numbers in enumerate(slots):
        stamped.options(eta=at + position * SLOT / PACE).map(numbers)
    if time.time() >= at:
        raise RuntimeError("the first ones were due before all of them were enqueued")
    time.sleep(at + count / PACE - time.time())
    wait_for(lambda: all(stamps[n] for n in range(count)), "all have run")
    late = sorted(stamps[n] - clocks - at - n // SLOT * SLOT / PACE for n in range(count))
    return Sample(
        late[count * 99 // 100] * 1000,
        count,
        lost=0,
        extra={
            "p50": late[count // 2] * 1000,
            "max": late[-1] * 1000,
            "early": sum(each < 0 for each in late),
        },
    )
