"""Latency under a steady load, from the intended moment of sending: late senders count as late."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.base import Contestant
from tests.benchmarks.records import Sample

WARM_UP = 20


def at_1(peer: Contestant, marks: Marks, count: int) -> Sample:
    """One call a second."""
    return _at(1, peer, count, marks)


def at_100(peer: Contestant, marks: Marks, count: int) -> Sample:
    """100 calls a second."""
    return _at(100, peer, count, marks)


def at_1000(peer: Contestant, marks: Marks, count: int) -> Sample:
    """1,000 calls a second, from one thread."""
    return _at(1000, peer, count, marks)


def _at(rate: float, peer: Contestant, count: int, marks: Marks) -> Sample:
    """Milliseconds from the intended moment of a call to its result in the caller's hands."""
    peer.start_workers()
    peer.round_trips(WARM_UP)
    results = _Results(peer)
    began = time.perf_counter()
    for n in range(count):
        at = began + n / rate
        time.sleep(max(at - time.perf_counter(), 0.0))
        results.expect(at, peer.enqueue(n))
    late = results.all()
    return Sample(
        late[len(late) // 2] * 1000,
        count,
        marks.lost(),
        marks.duplicates(),
        {"p99": late[len(late) * 99 // 100] * 1000, "max": late[-1] * 1000},
    )


class _Results:
    """A thread that takes the results in the order of the calls."""

    def __init__(self, peer: Contestant) -> None:
        self._handles: queue.SimpleQueue[tuple[float, Any] | None] = queue.SimpleQueue()
        self._late: list[float] = []
        self._thread = threading.Thread(target=self._take, args=(peer,))
        self._thread.start()

    def expect(self, at: float, handle: Any) -> None:
        self._handles.put((at, handle))

    def all(self) -> list[float]:
        """How late each was, in seconds, sorted."""
        self._handles.put(None)
        self._thread.join()
        return sorted(self._late)

    def _take(self, peer: Contestant) -> None:
        while (entry := self._handles.get()) is not None:
            at, handle = entry
            peer.result(handle)
            self._late.append(time.perf_counter() - at)
