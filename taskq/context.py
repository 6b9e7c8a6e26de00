"""The context of the running task: `current()`."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging


class TaskContext:
    """The context of a running task.

    Attributes:
        id: message id. It is the same in every attempt, so it can serve as an idempotency key.
        attempt: 1 for the first attempt.
        fence: fencing token. It increases with every delivery of a message.
        queue: name of the queue.
        task: name of the task.
    """

    __slots__ = (
        "_cancelled",
        "_extend",
        "_log",
        "_report",
        "attempt",
        "fence",
        "id",
        "queue",
        "task",
    )

    def __init__(
        self,
        id: str,
        attempt: int,
        fence: int,
        queue: str,
        task: str,
        *,
        report: Callable[[float, float | None, str], None],
        extend: Callable[[float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.id = id
        self.attempt = attempt
        self.fence = fence
        self.queue = queue
        self.task = task
        self._report = report
        self._extend = extend
        self._cancelled = cancelled
        self._log: logging.LoggerAdapter[Any] | None = None

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report progress, which `ResultHandle.progress()` returns.

        Args:
            done: completed work, in any unit.
            total: total work in the same unit, if known.
            note: one line of text.

        Raises:
            TypeError: `done` or `total` is no number, or `note` no text.
            LeaseLost: the lease has ended.
        """
        total = None if total is None else _number("total", total)
        if not isinstance(note, str):
            raise TypeError(f"progress() takes a text as note, not {note!r}")
        self._report(_number("done", done), total, note)

    @property
    def cancelled(self) -> bool:
        """Whether a caller has cancelled this call. Raise `TaskCancelled` to stop."""
        return self._cancelled()

    def extend(self, seconds: float) -> None:
        """Extend the lease to at least `seconds` from now.

        Raises:
            LeaseLost: the lease has ended.
        """
        if not 0 <= seconds < inf:
            raise ValueError(
                f"extend() takes finite seconds that are not negative, not {seconds!r}"
            )
        self._extend(seconds)

    @property
    def log(self) -> logging.LoggerAdapter[Any]:
        """A logger named `taskq.task.NAME` whose records carry `task`, `task_id` and
        `attempt`; the worker's log shows them."""
        if self._log is None:
            import logging

            logger = logging.getLogger(f"taskq.task.{self.task}")
            self._log = logging.LoggerAdapter(
                logger, {"task": self.task, "task_id": self.id, "attempt": self.attempt}
            )
        return self._log

    def __repr__(self) -> str:
        return f"<TaskContext {self.task} id={self.id} attempt={self.attempt}>"


_current: ContextVar[TaskContext] = ContextVar("taskq_current")


def _number(name: str, value: float) -> float:
    """A number as the broker takes it; those of other libraries are converted."""
    if isinstance(value, int | float):
        return value
    if not hasattr(value, "__float__"):
        raise TypeError(f"progress() takes a number as {name}, not {value!r}")
    return float(value)


def current() -> TaskContext:
    """Return the context of the task that runs in this thread.

    Raises:
        RuntimeError: no task runs in this thread.
    """
    context = _current.get(None)
    if context is None:
        raise RuntimeError(
            "current() works only inside a running task, and none runs in this thread"
        )
    return context


def enter(context: TaskContext) -> Token[TaskContext]:
    """Make `context` the current one; returns the token for `leave`."""
    return _current.set(context)


def leave(token: Token[TaskContext]) -> None:
    """Undo `enter`."""
    _current.reset(token)


def inside_task() -> bool:
    """Whether a task runs in this thread."""
    return _current.get(None) is not None


def local(task: str, queue: str) -> TaskContext:
    """The context of a call that runs in the process of the caller, without a broker."""
    return TaskContext(
        "local",
        1,
        0,
        queue,
        task,
        report=lambda done, total, note: None,
        extend=lambda seconds: None,
        cancelled=lambda: False,
    )
