"""Durability: what the engine changed in one tick becomes one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from taskq.protocol.operating import Durability

if TYPE_CHECKING:
    from taskq.engine.changes import Changes
    from taskq.engine.engine import Engine

DURABILITIES = {
    "fsync": Durability("fsync", "what was acknowledged survives a loss of power"),
    "os": Durability("os", "what was acknowledged survives the kill of any process", window=None),
    "none": Durability("none", "everything is lost with the broker process", window=None),
}


class Journal(Protocol):
    """Where the engine's changes are kept. A failure to commit raises and is final."""

    durability: str

    def load(self, engine: Engine, now: float) -> None:
        """Fill a new engine."""
        ...

    def last_time(self) -> float:
        """Engine time of the last commit."""
        ...

    def has_room(self, now: float, size: int = 0) -> bool:
        """Whether new messages of so many bytes may be accepted in the tick of that time; what ends
        others can always be committed."""
        ...

    def commit(self, changes: Changes) -> None:
        """Write all changes, or raise `JournalError` or `DiskFull`."""
        ...

    def verify(self) -> None:
        """See that the files are still those that the next start will read, or raise `JournalError`."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


def open_journal(directory: Path, durability: str) -> Journal:
    """The journal of a broker directory.

    Args:
        durability: `"fsync"` survives power loss, `"os"` the kill of any process, `"none"` nothing.

    Raises:
        ValueError: another durability.
        JournalError: the file is damaged, or newer than this taskq.
    """
    if durability not in DURABILITIES:
        raise ValueError(f"durability must be one of {', '.join(DURABILITIES)}, not {durability!r}")
    if durability == "none":
        from taskq.journal.none import NoJournal

        return NoJournal()
    from taskq.journal.sqlite import FILE, SqliteJournal

    return SqliteJournal(directory / FILE, durability)
