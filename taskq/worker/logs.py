"""The worker's log: text or JSON lines on standard error."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from textwrap import indent
from typing import TextIO

log = logging.getLogger("taskq.worker")


class TextFormatter(logging.Formatter):
    """`2026-01-31 12:00:00 WARNING  [4711] message`, and the traceback of a task below it."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<8} [{process}] {message}", style="{")
        self.default_msec_format = ""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line or more; no line of a traceback looks like a record."""
        line = super().format(record)
        if hasattr(record, "task_id"):  # what a task says through `current().log`
            first, end, rest = line.partition("\n")
            line = f"{first} [{getattr(record, 'task', '')} {record.task_id}]{end}{rest}"
        traceback = _task_traceback(record)
        return f"{line}\n{indent(traceback.rstrip(), '    ')}" if traceback else line


class JsonFormatter(logging.Formatter):
    """One object a line: `at` (Unix time), `level`, `logger`, `pid`, `message`; `task`, `task_id` and
    `attempt` if a task has logged it; `traceback` if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, object] = {
            "at": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        for name in ("task", "task_id", "attempt"):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        elif traceback := _task_traceback(record):
            line["traceback"] = traceback
        return json.dumps(line, default=repr)


def _task_traceback(record: logging.LogRecord) -> str:
    """That of an exception which a task raised; the processor hands it over."""
    return str(getattr(record, "task_traceback", ""))


class Handler(logging.StreamHandler[TextIO]):
    """Never raises, also if a task has closed standard error."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Report a record that could not be written, if standard error still works."""
        with suppress(Exception):
            super().handleError(record)


def set_up(level: str, form: str) -> None:
    """Send the logs of taskq to standard error, and to no other handler."""
    handler = Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logger = logging.getLogger("taskq")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def adopt_root() -> None:
    """Give the app's own loggers the worker's handler, unless the app has set up its logging."""
    root, ours = logging.getLogger(), logging.getLogger("taskq")
    if not root.handlers:
        root.handlers.extend(ours.handlers)
        root.setLevel(ours.level)


def banner(name: str, rows: dict[str, str]) -> None:
    """Log what was started, in a few lines."""
    log.info("worker %s started", name)
    for label, text in rows.items():
        log.info("  %-9s %s", label, text)
