"""No journal: `durability="none"`. Everything is lost with the broker process."""

from __future__ import annotations

from taskq.engine.changes import Changes
from taskq.engine.engine import Engine


class NoJournal:
    """A journal that keeps nothing."""

    durability = "none"

    def load(self, engine: Engine, now: float) -> None:
        """Load nothing."""

    def last_time(self) -> float:
        """Return 0: there is no last time."""
        return 0.0

    def has_room(self, now: float, size: int = 0) -> bool:
        """Return true: nothing is written."""
        return True

    def commit(self, changes: Changes) -> None:
        """Drop the changes."""

    def verify(self) -> None:
        """Check nothing: there are no files."""

    def close(self) -> None:
        """Close nothing."""
