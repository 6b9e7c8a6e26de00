"""The interface of the launcher that its supervisor uses."""

from __future__ import annotations

from typing import Protocol

from taskq.worker.pool import notes
from taskq.worker.pool.deaths import Death


class Owner(Protocol):
    """The launcher, as its supervisor sees it."""

    def report_death(self, death: Death) -> None:
        """Report a dead child to the broker."""
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
