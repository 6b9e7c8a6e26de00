"""What runs in a chaos run: a task that notes its runs, and producers that note what they may trust.

`python -m tests.crash.chaos_app FIRST COUNT RATE` is one producer.
"""

from __future__ import annotations

import os
import random
import sys
import time

from taskq import TaskQueue, current
from tests.crash.history import Notes, now

BULK = 10  # calls of one request, at most
LEASE = 3.0

queue = TaskQueue("chaos")
runs, acked = Notes("runs"), Notes("acked")


@queue.task(name="step", retries=5, backoff=0.05, max_deliveries=1000, visibility_timeout=LEASE)
def step(n: int) -> tuple[int, int]:
    """Takes from 0 to 20 ms; one in twenty fails at first."""
    here = current()
    runs.write("began", here.id, here.fence, os.getppid(), now())
    time.sleep(max(0.0, random.Random(n).uniform(-0.02, 0.02)))
    if n % 20 == 0 and here.attempt == 1:
        runs.write("failed", here.id, here.fence)
        raise ValueError("the first attempt of this one fails")
    runs.write("ok", here.id, here.fence)
    return n, here.fence


def produce(first: int, count: int, rate: float) -> None:
    """Call the task with `count` numbers from `first` on, single and in bulk; note each handle."""
    draw, sent, began = random.Random(first), 0, time.monotonic()
    while sent < count:
        size = min(draw.choice((1, 1, 1, BULK)), count - sent)
        numbers = range(first + sent, first + sent + size)
        handles = [step(first + sent)] if size == 1 else list(step.map(numbers))
        for handle, n in zip(handles, numbers, strict=True):
            acked.write(handle.id, n)
        sent += size
        time.sleep(max(0.0, began + sent / rate - time.monotonic()))


if __name__ == "__main__":
    from tests.crash import chaos_app  # the task travels by name

    chaos_app.produce(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
