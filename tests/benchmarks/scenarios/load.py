"""Latency at half of what the system can do, at 70 and at 90 %. Ours only."""

from __future__ import annotations

from tests.benchmarks.capacity import capacity
from tests.benchmarks.flow import Flow
from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.taskq_ours import Ours, stamped
from tests.benchmarks.processes import wait_for
from tests.benchmarks.records import Sample
from tests.benchmarks.stamps import Stamps

WARM_UP = 20
CAPACITY = 1.0  # seconds in which the own rate is measured
SHARES = (0.5, 0.7, 0.9)


def under_load(peer: Ours, marks: Marks, count: int) -> Sample:
    """p99 at 70 % of the own rate, in ms, to the end of the task; `count` is seconds a level.

    The own rate is what the system takes in from one producer and drains at once.
    """
    peer.start_workers()
    peer.round_trips(WARM_UP)
    most = capacity(peer, CAPACITY)
    sizes = [int(most * share * count) for share in SHARES]
    stamps = Stamps(sum(sizes))
    extra = {"own rate": most}
    first = 0
    for share, size in zip(SHARES, sizes, strict=True):
        late = _late(Flow(most * share, size, stamped.map, first), stamps, first, size)
        extra[f"p50 at {share:.0%}, ms"] = late[size // 2] * 1000
        extra[f"p99 at {share:.0%}, ms"] = late[size * 99 // 100] * 1000
        first += size
    return Sample(extra["p99 at 70%, ms"], first, lost=0, extra=extra)


def _late(flow: Flow, stamps: Stamps, first: int, size: int) -> list[float]:
    """How late each task ended, in seconds, sorted."""
    flow.run()
    wait_for(lambda: all(stamps[n] for n in range(first, first + size)), "all have run")
    return sorted(stamps[n] - flow.intended(n) for n in range(first, first + size))
