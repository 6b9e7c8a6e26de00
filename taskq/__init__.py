"""taskq: a durable task queue that needs no server.

from taskq import TaskQueue

queue = TaskQueue("my-queue")

@queue.task
def add(a: int, b: int) -> int:
    return a + b

add(1, 2).result()
"""

from __future__ import annotations

from taskq import errors
from taskq.client.app import TaskQueue
from taskq.client.default import task
from taskq.client.handle import ResultHandle
from taskq.client.handles import HandleSet, as_completed, wait
from taskq.client.task import Task
from taskq.context import current
from taskq.options.task_options import Priority, Retry
from taskq.protocol.backoff import Backoff
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
