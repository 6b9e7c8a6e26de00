"""A clock that the test moves."""

from __future__ import annotations

from taskq.clock import Clock


class ManualClock(Clock):
    """Stands still until the test sets `time`."""

    def __init__(self, time: float = 1000.0) -> None:
        super().__init__()
        self.time = time
        self.fast = 0.0

    def now(self) -> float:
        """`time`, as it is."""
        return self.time

    def ahead(self) -> float:
        """`fast`: by how much it is ahead of a wall clock that moves with it."""
        return self.fast
