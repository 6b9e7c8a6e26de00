"""Progress of running tasks: kept here, and sent by the slow-task guard. It never blocks a task."""

from __future__ import annotations

from collections.abc import Callable

from taskq.errors import LeaseLost
from taskq.protocol.consuming import Report
from taskq.protocol.values import Progress


class ProgressReports:
    """What running tasks have said and the broker has not been told.

    Args:
        group: the consumer group of the tasks.

    Attributes:
        pending: the latest of each task, by receipt.
        on_first: called when there is something to send after there was nothing.
    """

    __slots__ = ("_group", "_lost", "on_first", "pending")

    def __init__(self, group: str = "default") -> None:
        self.pending: dict[int, Report] = {}
        self._group = group
        self.on_first: Callable[[], None] = lambda: None
        self._lost: set[int] = set()

    def put(self, receipt: int, id: str, progress: Progress) -> None:
        """Keep the progress of a task, in place of what it said before.

        Raises:
            LeaseLost: the broker has refused an earlier one.
        """
        if receipt in self._lost:
            raise LeaseLost(
                f"receipt {receipt} is stale: the message was delivered again or has ended"
            )
        is_first = not self.pending
        report = Report(receipt=receipt, id=id, progress=progress, group=self._group)
        self.pending[receipt] = report
        if is_first:
            self.on_first()

    def take(self) -> list[Report]:
        """What is to be sent."""
        taken = []
        while self.pending:
            _, report = self.pending.popitem()
            taken.append(report)
        return taken

    def refused(self, receipt: int) -> None:
        """The message of that receipt is somebody else's now."""
        self._lost.add(receipt)

    def forget(self, receipt: int) -> None:
        """The task has ended."""
        self.pending.pop(receipt, None)
        self._lost.discard(receipt)

    def __bool__(self) -> bool:
        return bool(self.pending or self._lost)
