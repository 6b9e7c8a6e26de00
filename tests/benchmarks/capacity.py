"""The own rate: what a running system of ours takes in and drains at once."""

from __future__ import annotations

import time

from tests.benchmarks.peers.taskq_ours import Ours, noop
from tests.benchmarks.processes import POLL, wait_for

AHEAD = 5_000  # messages that wait at most: always enough, never many
PART = 1_000
WARM_UP = 0.5  # seconds


def capacity(peer: Ours, seconds: float) -> float:
    """Messages a second through a running system, while one producer enqueues in bulk."""
    start = peer.finished()
    sent = 0
    began = time.monotonic()
    warm = measured = began, 0
    while measured[0] < began + WARM_UP + seconds:
        noop.map(range(-1, -1 - PART, -1))
        sent += PART
        while sent - (done := peer.finished() - start) > AHEAD:
            time.sleep(POLL)
        measured = time.monotonic(), done
        if measured[0] < began + WARM_UP:
            warm = measured
    wait_for(lambda: peer.finished() - start >= sent, "the backlog is gone")
    return (measured[1] - warm[1]) / (measured[0] - warm[0])
