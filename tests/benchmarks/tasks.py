"""The tasks that the benchmarks run."""

from __future__ import annotations

from taskq import TaskQueue

queue = TaskQueue("bench")


@queue.task
def noop(n: int) -> int:
    """Nothing, with a result."""
    return n
