"""What the tasks of the demo really did: a file with one line for each start and end.

It is written by the tasks and not by taskq, so that it can testify against taskq's own counters.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from taskq.context import current

P = ParamSpec("P")
R = TypeVar("R")

VARIABLE = "TASKQ_DEMO_DIARY"  # path of the file; unset: nothing is written


@dataclass(frozen=True)
class DiaryEntry:
    """One line. `event`: `start`, `done` or `failed`."""

    event: str
    id: str
    task: str
    attempt: int
    pid: int


def recorded(fn: Callable[P, R]) -> Callable[P, R]:
    """Write down when `fn` starts, returns and raises."""

    @functools.wraps(fn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        _write("start")
        try:
            value = fn(*args, **kwargs)
        except BaseException:
            _write("failed")
            raise
        _write("done")
        return value

    return wrapper


def _write(event: str) -> None:
    path = os.environ.get(VARIABLE)
    if not path:
        return
    context = current()
    line = [event, context.id, context.task, context.attempt, os.getpid()]
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(line).encode() + b"\n")
    finally:
        os.close(fd)


def read(path: Path) -> list[DiaryEntry]:
    """All lines, in the order in which they were written."""
    if not path.exists():
        return []
    return [DiaryEntry(*json.loads(line)) for line in path.read_text().splitlines()]


@dataclass(frozen=True)
class Account:
    """What a diary amounts to.

    Attributes:
        finished: ids that returned at least once.
        redelivered: attempts that followed one which neither returned nor raised.
        retried: attempts that followed one which raised.
        duplicates: returns beyond the first one of each id.
    """

    finished: frozenset[str]
    redelivered: int
    retried: int
    duplicates: int


def account(entries: list[DiaryEntry]) -> Account:
    """Add a diary up."""
    again = [entry for entry in entries if entry.event == "start" and entry.attempt > 1]
    failed = {(entry.id, entry.attempt) for entry in entries if entry.event == "failed"}
    retried = sum((entry.id, entry.attempt - 1) in failed for entry in again)
    done = [entry.id for entry in entries if entry.event == "done"]
    finished = frozenset(done)
    return Account(finished, len(again) - retried, retried, len(done) - len(finished))
