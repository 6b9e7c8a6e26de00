"""What the supervisor asks of the launcher that owns it."""

from __future__ import annotations

from typing import Protocol

from taskq.worker.pool import notes
from taskq.worker.pool.deaths import Death


class Owner(Protocol):
    """What the supervisor asks of the launcher."""

    def report_death(self, death: Death) -> None:
        """Tell the broker of a dead child."""
        ...

    def hello(self, note: notes.Hello) -> None:
        """A child is ready."""
        ...

    def fail(self, code: int, sentence: str, traceback: str = "") -> None:
        """End the worker with that exit code."""
        ...

    def left_over(self, sentences: list[str]) -> None:
        """A burst ends, and there are messages that this worker cannot run."""
        ...

    def forget_in_child(self) -> None:
        """Close, in a forked child, what belongs to the launcher."""
        ...
