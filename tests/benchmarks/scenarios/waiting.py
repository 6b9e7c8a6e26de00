"""What it costs to wait: for one result, and for many at once. Ours only."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

from taskq import ResultHandle, wait
from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, noop, queue
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample

SINGLE = 200


def waiting(peer: Ours, marks: Marks, count: int) -> Sample:
    """µs a handle of a wait for `count` finished calls; the rest compares it with one at a time,
    and with a drain that nobody waits for."""
    peer.start_workers()
    peer.round_trips(20)
    began = time.perf_counter()
    done = wait(_finished(peer, count), 60).done
    many = (time.perf_counter() - began) / count
    assert len(done) == count
    alone = _drain(peer, count)
    beside, connections = _drain_with_waiter(peer, count)
    alone = min(alone, _drain(peer, count))  # before and after: the later one may be the faster
    return Sample(
        many * 1e6,
        count,
        extra={
            "one at a time, µs": _single(peer) * 1e6,
            "drain that is waited for, against one that is not": beside / alone,
            "connections of the wait": connections,
        },
    )


def _finished(peer: Ours, count: int) -> list[ResultHandle[int]]:
    before = peer.finished()
    handles = list(noop.map(range(-1, -1 - count, -1)))
    wait_for(lambda: peer.finished() - before >= count, "all are finished")
    return handles


def _single(peer: Ours) -> float:
    """Seconds to get one result that is there."""
    times = []
    for handle in _finished(peer, SINGLE):
        began = time.perf_counter()
        handle.result(60)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _drain(peer: Ours, count: int) -> float:
    queue.pause()
    before = peer.finished()
    noop.map(range(-1, -1 - count, -1))
    began = time.perf_counter()
    queue.resume()
    wait_for(lambda: peer.finished() - before >= count, "all are finished")
    return time.perf_counter() - began


def _drain_with_waiter(peer: Ours, count: int) -> tuple[float, int]:
    """Seconds until the waiter has all; and how many connections it has to the broker."""
    queue.pause()
    handles = noop.map(range(-1, -1 - count, -1))
    before = _descriptors(peer.broker_pid)
    waiter = threading.Thread(target=handles.wait, args=(60,))
    waiter.start()
    wait_for(lambda: _descriptors(peer.broker_pid) > before, "the waiter is connected")
    # its request is parked before ours is answered, since the broker takes them in turn
    connections = _descriptors(peer.broker_pid) - before
    began = time.perf_counter()
    queue.resume()
    waiter.join()
    return time.perf_counter() - began, connections


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
