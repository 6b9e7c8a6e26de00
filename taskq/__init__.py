"""taskq: a durable task queue with nothing to install first.

from taskq import TaskQueue

queue = TaskQueue("my-queue")

@queue.task
def add(a: int, b: int) -> int:
    return a + b

add(1, 2).result()
"""

from __future__ import annotations

from taskq import errors
from taskq.app import TaskQueue, task
from taskq.context import current
from taskq.engine.retry import Backoff
from taskq.handle import ResultHandle
from taskq.handles import HandleSet, as_completed, wait
from taskq.options import Priority, Retry
from taskq.task import Task
from taskq.version import __version__

__all__ = [
    "Backoff",
    "HandleSet",
    "Priority",
    "ResultHandle",
    "Retry",
    "Task",
    "TaskQueue",
    "__version__",
    "as_completed",
    "current",
    "errors",
    "task",
    "wait",
]
