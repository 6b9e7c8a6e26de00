"""The task that `taskq bench` has run. Workers import this module."""

from __future__ import annotations

from taskq import TaskQueue

queue = TaskQueue("bench", result_ttl="10m")


@queue.task
def noop(n: int) -> int:
    """Nothing, with a result."""
    return n
