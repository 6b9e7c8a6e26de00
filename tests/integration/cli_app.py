"""The app that the commands of `test_cli.py` call."""

from __future__ import annotations

from pathlib import Path

from taskq import TaskQueue

queue = TaskQueue("shop")


@queue.task
def add(a: int, b: int = 1) -> int:
    return a + b


@queue.task
def fail(text: str) -> None:
    raise ValueError(text)


@queue.task
def read(path: str) -> str:
    return Path(path).read_text()
