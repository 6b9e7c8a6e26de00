"""The scenarios that every contender plays: drain, enqueue, bulk, round trip, payload, cold start."""

from __future__ import annotations

import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.base import Contestant
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample

WARM_UP = 20
PAYLOAD = 100_000  # bytes of an argument, and of a result
QUANTUM = 0.002  # seconds between two looks at the counter of a drain


def drain(peer: Contestant, marks: Marks, count: int) -> Sample:
    """Finish `count` waiting no-ops. The start of the workers is left out: the clock starts when
    the first finished ones are seen, and these are not counted."""
    numbers = range(count)
    if not peer.is_separate:
        return _drain_of_a_pool(peer, marks, count)
    peer.enqueue_all(numbers)
    launched = time.perf_counter()
    peer.start_workers()
    first = 0

    def begun() -> bool:
        nonlocal first
        first = _finished(peer, marks, count)
        return first > 0

    wait_for(begun, "the first task is finished", 60)
    began = time.perf_counter()
    wait_for(lambda: _finished(peer, marks, count) >= count, "all are finished")
    ended = time.perf_counter()
    if first >= count:
        raise RuntimeError(f"{count} tasks are too few to time a drain")
    return Sample(
        (count - first) / (ended - began),
        count,
        marks.lost(),
        marks.duplicates(),
        {"with worker start": count / (ended - launched)},
    )


def _drain_of_a_pool(peer: Contestant, marks: Marks, count: int) -> Sample:
    """A pool works while calls are given to it, so the clock starts before the first one."""
    peer.start_workers()
    for _ in range(WARM_UP):
        peer.result(peer.enqueue(-1))
    before = peer.finished()
    began = time.perf_counter()
    peer.enqueue_all(range(count))
    wait_for(lambda: peer.finished() - before >= count, "all are finished")
    seconds = time.perf_counter() - began
    return Sample(count / seconds, count, marks.lost(), marks.duplicates())


def _finished(peer: Contestant, marks: Marks, count: int) -> int:
    """What the broker counts, but never more than have run: some brokers' counters take a message
    on its way from one list to another for a finished one."""
    finished = peer.finished()
    if finished < count:
        return finished
    return min(finished, marks.ran(count))


def enqueue(peer: Contestant, marks: Marks, count: int) -> Sample:
    """One call after the other, no workers (a pool has them always)."""
    if not peer.is_separate:
        peer.start_workers()
        peer.result(peer.enqueue(-1))
    peer.enqueue_each([-1])  # the connection and what else comes first
    began = time.perf_counter()
    peer.enqueue_each(range(count))
    return Sample(count / (time.perf_counter() - began), count)


def bulk(peer: Contestant, marks: Marks, count: int) -> Sample:
    """Many in the quickest way there is, no workers."""
    peer.enqueue_each([-1])
    began = time.perf_counter()
    peer.enqueue_bulk(range(count))
    return Sample(count / (time.perf_counter() - began), count)


def round_trip(peer: Contestant, marks: Marks, count: int) -> Sample:
    """Call, wait for the result, call again; nothing else runs. Milliseconds, median."""
    peer.start_workers()
    peer.round_trips(WARM_UP)
    times = sorted(peer.round_trips(count))
    return Sample(
        times[len(times) // 2] * 1000,
        count,
        extra={"p99": times[len(times) * 99 // 100] * 1000, "min": times[0] * 1000},
    )


def payload(peer: Contestant, marks: Marks, count: int) -> Sample:
    """100 KB as argument and as result, through the store: MB/s of both directions together."""
    peer.start_workers()
    peer.round_trips(WARM_UP)
    before = peer.finished()
    data = "x" * PAYLOAD
    began = time.perf_counter()
    peer.enqueue_payloads(range(count), data)
    wait_for(lambda: peer.finished() - before >= count and marks.ran() >= count, "all are finished")
    seconds = time.perf_counter() - began
    moved = 2 * PAYLOAD * count / 1e6
    return Sample(moved / seconds, count, marks.lost(), marks.duplicates())


def cold_start(peer: Contestant, marks: Marks, count: int) -> Sample:
    """From the start of the worker to the first finished task, the store up. Milliseconds."""
    if peer.is_separate:
        peer.enqueue_each([0])
    began = time.perf_counter()
    peer.start_workers()
    if not peer.is_separate:
        peer.result(peer.enqueue(0))
    wait_for(lambda: peer.finished() >= 1 and marks.ran(1) == 1, "the first task is finished", 60)
    return Sample((time.perf_counter() - began) * 1000, 1)
