"""The app of `test_fairness.py`: two queues, and tasks that see how they are dealt out."""

from __future__ import annotations

from taskq import TaskQueue

queue = TaskQueue("a")


def note(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


@queue.task(queue="a")
def of_a(path: str) -> None:
    note(path, "a")


@queue.task(queue="b")
def of_b(path: str) -> None:
    note(path, "b")


@queue.task
def in_hand() -> int:
    """How many messages all workers together have claimed while this one runs."""
    return sum(each.leased for each in queue.stats().queues)
