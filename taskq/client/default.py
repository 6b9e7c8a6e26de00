"""The queue behind `from taskq import task`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from taskq.client.app import TaskQueue

if TYPE_CHECKING:
    from typing import Unpack

    from taskq.client.app import TaskDecorator
    from taskq.client.task import Task
    from taskq.options.task_options import TaskKeywords

P = ParamSpec("P")
R = TypeVar("R")

made: dict[str, TaskQueue] = {}  # of one entry; a dict, since its `setdefault` is atomic


def the_default_queue() -> TaskQueue:
    """`TaskQueue()`, made on first use."""
    return made.get("default") or made.setdefault("default", _make())


def _make() -> TaskQueue:
    queue = TaskQueue()
    queue.is_default = True
    return queue


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskKeywords]) -> TaskDecorator: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """`TaskQueue.task` of the default queue."""
    queue = the_default_queue()
    return queue.task(**options) if fn is None else queue.task(fn, **options)
