"""Failed attempts: the log line, and the options that decide about another attempt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from taskq.application import Policy, RunnableTask
from taskq.errors import LeaseLost
from taskq.options.task_options import Retry, TaskOptions
from taskq.protocol.values import Delivered, ErrorInfo
from taskq.texts import escape_controls, one_line

_DEFAULTS = TaskOptions()

log = logging.getLogger("taskq.worker")


def log_failure(message: Delivered, error: BaseException, info: ErrorInfo, final: bool) -> None:
    """Log a failed attempt; with the traceback, where the exception was not raised on purpose."""
    lost = isinstance(error, LeaseLost)
    traceback = "" if lost or isinstance(error, Retry) else info.traceback
    log.log(
        logging.DEBUG if lost else logging.WARNING,
        "%s %s failed on attempt %d%s: %s: %s",
        message.task,
        message.id,
        message.attempt,
        " and is given up" if final else "",
        info.kind,
        one_line(info.text),
        extra={"task_traceback": escape_controls(traceback)},
    )


def policy_of(task: RunnableTask | None, function: Callable[..., Any] | None) -> Policy:
    """The options that decide about another attempt; a function by value brings its own."""
    carried: Policy | None = getattr(function, "__taskq_options__", None)
    if carried is not None:
        return carried
    return _DEFAULTS if task is None or function is not None else task.defaults
