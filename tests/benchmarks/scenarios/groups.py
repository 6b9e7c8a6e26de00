"""Fan-out: every consumer group of a queue gets each message. Ours only."""

from __future__ import annotations

import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, noop, queue
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample

NUMBERS = (1, 2, 4)


def groups(peer: Ours, marks: Marks, count: int) -> Sample:
    """Deliveries a second with 4 groups, divided by those with 1; each group has one child."""
    rates: dict[int, float] = {}
    extra: dict[str, float] = {}
    names = ["default", *(f"group{n}" for n in range(1, NUMBERS[-1]))]
    started = 0
    for number in NUMBERS:
        for name in names[started:number]:
            peer.launch(*peer.worker_of(1), "-g", name)
        started = number
        _await_groups(number)
        seconds = _drain(peer, number, count)
        rates[number] = number * count / seconds
        extra[f"messages a second, {number} groups"] = count / seconds
        extra[f"deliveries a second, {number} groups"] = rates[number]
    return Sample(rates[NUMBERS[-1]] / rates[1], count, extra=extra)


def _await_groups(number: int) -> None:
    """Wait until so many groups have a consumer."""
    wait_for(
        lambda: sum(each.consumers > 0 for each in queue.stats().queues) == number,
        "the groups are there",
    )


def _drain(peer: Ours, number: int, count: int) -> float:
    """Seconds until each group has finished all of them."""
    queue.pause()
    before = peer.finished()
    noop.map(range(-1, -1 - count, -1))
    began = time.perf_counter()
    queue.resume()
    wait_for(lambda: peer.finished() - before >= number * count, "all groups are done")
    return time.perf_counter() - began
