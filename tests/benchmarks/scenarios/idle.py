"""What a system costs that has nothing to do. Ours only."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.benchmarks.marks import Marks
from tests.benchmarks.peers.base import ROOT
from tests.benchmarks.peers.taskq_ours import Ours
from tests.benchmarks.processes import children, proportional, resident, usage
from tests.benchmarks.records import Sample

CHILDREN = 4
SETTLE = 2.0  # seconds until everybody has parked


def idle(peer: Ours, marks: Marks, count: int) -> Sample:
    """CPU of broker, launcher and four children over `count` seconds, in % of one core.

    It has worked before, so what is measured is a system that waits, not one that is new.
    """
    worker = subprocess.Popen([sys.executable, *peer.worker_of(CHILDREN)], cwd=ROOT)
    peer.round_trips(200)
    broker = peer.broker_pid
    time.sleep(SETTLE)
    pids = [broker, worker.pid, *children(worker.pid)]
    before = [usage(pid) for pid in pids]
    time.sleep(count)
    after = [usage(pid) for pid in pids]
    cpu = [new.cpu - old.cpu for new, old in zip(after, before, strict=True)]
    wakes = [(new.switches - old.switches) / count for new, old in zip(after, before, strict=True)]
    return Sample(
        sum(cpu) / count * 100,
        count,
        extra={
            "wake-ups a second, most of a process": max(wakes),
            "wake-ups a second, broker": wakes[0],
            "wake-ups a second, launcher": wakes[1],
            "processes": len(pids),
            "broker, RSS, MB": resident(broker) / 1e6,
            "broker, PSS, MB": proportional(broker) / 1e6,
            "launcher, RSS, MB": resident(worker.pid) / 1e6,
            "launcher, PSS, MB": proportional(worker.pid) / 1e6,
            "a child, RSS, MB": max(map(resident, pids[2:])) / 1e6,
            "a child, PSS, MB": max(map(proportional, pids[2:])) / 1e6,
            "all, PSS, MB": sum(map(proportional, pids)) / 1e6,
        },
    )
