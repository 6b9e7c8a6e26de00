"""Minutes of steady load: memory and journal have to stay where they are. Ours only."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.capacity import capacity
from tests.benchmarks.flow import Flow
from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.base import store
from tests.benchmarks.peers.taskq_ours import Ours, noop
from tests.benchmarks.processes import children, resident, wait_for
from tests.benchmarks.records import Sample

BUSY = 0.7  # of the own rate
KEPT = 5.0  # seconds for which a result is kept: the broker holds that many times the rate
LOOK = 1.0  # seconds


def sustained(peer: Ours, marks: Marks, count: int) -> Sample:
    """Resident memory of broker and worker at the end of `count` seconds, divided by that after
    the first fifth of them; the most of each is taken over a fifth."""
    peer.start_workers()
    peer.round_trips(20)
    rate = BUSY * capacity(peer, 2.0)
    task = noop.options(result_ttl=KEPT)
    before = peer.finished()
    total = int(rate * count)
    flow = Flow(rate, total, lambda numbers: task.map(-1 for _ in numbers))
    flow.start()
    looks = []
    while flow.sent < total and time.monotonic() < flow.began + 2 * count:
        time.sleep(LOOK)
        waiting = flow.sent - (peer.finished() - before)
        looks.append((_memory(peer), _size(Path(store())), waiting))
    flow.join()
    wait_for(lambda: peer.finished() - before >= total, "all are finished")
    fifth = max(len(looks) // 5, 1)
    early, late = looks[fifth : 2 * fifth] or looks, looks[-fifth:]
    figures = {
        "rate": rate,
        "messages": total,
        "most that waited": max(each[2] for each in looks),
    }
    for position, name in enumerate(("memory", "journal")):
        figures[f"{name} at first, MB"] = max(each[position] for each in early) / 1e6
        figures[f"{name} at the end, MB"] = max(each[position] for each in late) / 1e6
    growth = figures["memory at the end, MB"] / figures["memory at first, MB"]
    return Sample(growth, count, lost=0, extra=figures)


def _memory(peer: Ours) -> int:
    assert peer.worker is not None
    launcher = peer.worker.pid
    return sum(map(resident, [peer.broker_pid, launcher, *children(launcher)]))


def _size(directory: Path) -> int:
    """Bytes of the journal and its log."""
    return sum(path.stat().st_size for path in directory.glob("journal.db*"))
