"""No journal: `durability="none"`. Everything is lost with the broker process."""

from __future__ import annotations

from taskq.engine.changes import Changes
from taskq.engine.engine import Engine


class NoJournal:
    """A journal that keeps nothing."""

    durability = "none"

    def load(self, engine: Engine, now: float) -> None:
        """There is nothing to load."""

    def last_time(self) -> float:
        """There is no last time."""
        return 0.0

    def has_room(self, now: float, size: int = 0) -> bool:
        """Nothing is written, so there always is."""
        return True

    def commit(self, changes: Changes) -> None:
        """Drop the changes."""

    def verify(self) -> None:
        """There is no file that could be gone."""

    def close(self) -> None:
        """There is nothing to close."""
