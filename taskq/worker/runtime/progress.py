"""Progress of running tasks: kept here, and sent by the slow-task guard. It never blocks a task."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from taskq.errors import LeaseLost
from taskq.protocol.consuming import Report
from taskq.protocol.values import Progress


class ProgressReports:
    """Reports of running tasks that have not been sent.

    Tasks put reports in, the guard's thread takes them out, and a task may end at any time meanwhile.

    Args:
        group: the consumer group of the tasks.

    Attributes:
        pending: the latest of each task, by receipt.
        running: receipts of the running tasks that have reported.
        on_report: called after each report.
    """

    __slots__ = ("_group", "_lost", "on_report", "pending", "running")

    def __init__(self, group: str = "default") -> None:
        self.pending: dict[int, Report] = {}
        self._group = group
        self.on_report: Callable[[], None] = lambda: None
        self.running: set[int] = set()
        self._lost: set[int] = set()  # those of `running` whose report was refused

    def put(self, receipt: int, id: str, progress: Progress) -> None:
        """Keep the progress of a task, in place of what it said before.

        Raises:
            LeaseLost: the broker has refused an earlier one.
        """
        if receipt in self._lost:
            raise LeaseLost(
                f"receipt {receipt} is stale: the message was delivered again or has ended"
            )
        self.running.add(receipt)
        report = Report(receipt=receipt, id=id, progress=progress, group=self._group)
        self.pending[receipt] = report
        self.on_report()

    def take(self) -> list[Report]:
        """Remove and return what is to be sent."""
        taken = []
        with suppress(KeyError):  # nothing is left, perhaps because its task has ended just now
            while True:
                taken.append(self.pending.popitem()[1])
        return taken

    def refused(self, receipt: int) -> None:
        """Note that the lease of a receipt was lost, for the task to learn it if it runs."""
        if receipt in self.running:
            self._lost.add(receipt)

    def forget(self, receipt: int) -> None:
        """Drop the reports of a task that has ended."""
        self.running.discard(receipt)
        self.pending.pop(receipt, None)
        self._lost.discard(receipt)
