"""Several producer processes at once, each enqueueing one call after the other."""

from __future__ import annotations

import multiprocessing
import time
from threading import BrokenBarrierError

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.base import Contestant
from tests.benchmarks.records import Sample

NUMBERS = (1, 2, 4, 8)
SHOWN = 4
PATIENCE = 60.0  # seconds


def producers(peer: Contestant, marks: Marks, count: int) -> Sample:
    """Calls a second of 1, 2, 4 and 8 producers together, no workers; the value is that of 4."""
    rates = {number: _rate(peer, number, count // number) for number in NUMBERS}
    extra = {f"{number} producers": rate for number, rate in rates.items() if number != SHOWN}
    return Sample(rates[SHOWN], count, extra=extra)


def _rate(peer: Contestant, number: int, each: int) -> float:
    context = multiprocessing.get_context("fork")  # the contender's app is imported already
    barrier = context.Barrier(number + 1)

    def produce() -> None:
        peer.enqueue_each([-1])  # the connection and what else comes first
        barrier.wait(PATIENCE)
        peer.enqueue_each(range(each))
        barrier.wait(PATIENCE)

    processes = [context.Process(target=produce, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        barrier.wait(PATIENCE)
        began = time.perf_counter()
        barrier.wait(PATIENCE)
    except BrokenBarrierError:
        raise RuntimeError(f"one of {number} producers failed") from None
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return number * each / seconds
