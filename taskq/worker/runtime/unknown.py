"""Logs the tasks that a worker is given and does not know, each name once."""

from __future__ import annotations

import logging

from taskq.names import how_to_know
from taskq.texts import one_line

MOST = 1000  # names that are remembered; further ones are not logged

log = logging.getLogger("taskq.worker")


class UnknownTasks:
    """The unknown task names that have been logged.

    Args:
        group: consumer group of the worker.
    """

    def __init__(self, group: str = "default") -> None:
        self._group = group
        self._logged: set[str] = set()

    def log(self, task: str) -> None:
        """Log the name, unless that has been done."""
        if task in self._logged or len(self._logged) >= MOST:
            return
        self._logged.add(task)
        name = one_line(task)
        log.warning(
            "this worker does not know the task %s, so its calls wait; %s",
            name,
            how_to_know(name, group=self._group),
        )
