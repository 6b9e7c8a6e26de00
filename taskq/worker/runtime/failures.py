"""Failed attempts: the log line, and whether and when there is another attempt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from taskq.application import Policy, RunnableTask
from taskq.codec.arguments import brief
from taskq.errors import LeaseLost
from taskq.options.task_options import BackoffError, Retry, TaskOptions
from taskq.protocol.backoff import Backoff
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


def decide_retry(
    message: Delivered, options: Policy, error: BaseException
) -> tuple[bool, float | None]:
    """Whether an exception ends the retries, and seconds until the next attempt; never raises.

    `None` seconds leave it to the broker.
    """
    delay = error.delay if isinstance(error, Retry) else None
    failures = message.failures + 1
    try:
        final = options.gives_up(error)
        if delay is None and not final:
            delay = options.retry_delay(failures)
    except BaseException as fault:
        if fault.__context__ is error:
            fault.__context__ = None
        with suppress(Exception):
            _log_backoff(message.task, failures, fault)
        return False, None
    return final, delay


def _log_backoff(task: str, failures: int, fault: BaseException) -> None:
    from taskq.codec.errors import traceback_text

    returned = isinstance(fault, BackoffError)
    log.error(
        "%s: %s; the default backoff is used instead, which is at most %g s after failure %d",
        task,
        fault if returned else f"the backoff function raised {brief(fault)}",
        Backoff().delay(failures, draw=0.0),
        failures,
        extra={"task_traceback": "" if returned else escape_controls(traceback_text(fault))},
    )
