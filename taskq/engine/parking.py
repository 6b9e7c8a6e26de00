"""Parked deliveries: those that wait for a worker that knows their task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic

from taskq.engine.ready import E, Lane
from taskq.engine.states import State


class Parking(Generic[E]):
    """The parked deliveries of one group. `lanes`, `counts`: by task."""

    __slots__ = ("counts", "lanes")

    def __init__(self) -> None:
        self.lanes: dict[str, Lane[E]] = {}
        self.counts: dict[str, int] = {}

    def push(self, delivery: E, task: str) -> None:
        """Add a delivery whose state is PARKED."""
        if task not in self.lanes:
            self.lanes[task] = Lane(State.PARKED)
        self.lanes[task].push(delivery)

    def take(self, knows: Callable[[str], bool]) -> Iterator[E]:
        """Remove and yield the deliveries whose tasks a consumer knows."""
        for task in [task for task in self.lanes if knows(task)]:
            lane = self.lanes[task]
            yield from lane.take()
            if not len(lane):
                del self.lanes[task]

    def has_any(self, knows: Callable[[str], bool]) -> bool:
        """Whether there are entries of tasks that a consumer knows; stale ones count."""
        return any(len(lane) and knows(task) for task, lane in self.lanes.items())

    def mark_stale(self, task: str) -> None:
        """Note that the delivery of an entry left PARKED without having been taken out."""
        if task in self.lanes:
            self.lanes[task].mark_stale()

    def count(self, task: str, by: int) -> None:
        """Change the number of parked deliveries of a task by `by`."""
        count = self.counts.get(task, 0) + by
        if count:
            self.counts[task] = count
        else:
            self.counts.pop(task, None)
