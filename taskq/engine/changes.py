"""The changes of one tick: the engine fills them in, the journal writes them in one transaction."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from msgspec import Struct


class HighWaterMarks(Struct, array_like=True, frozen=True):
    """Bounds of the numbers that must never be given twice, and the engine's clock when set.

    They lie ahead of the numbers in use, so that few commits have to write them; what a crash
    leaves unused is skipped. `epoch`: see `Engine.begin_epoch`. `dropped`: how many messages the
    queues had accepted that were dropped since; exact.
    """

    seq: int = 0
    fence: int = 0
    now: float = 0.0
    epoch: str = ""
    dropped: int = 0


class Changes:
    """The difference between two commits, by the names of the durable subjects.

    `put`: objects that are new or have changed. `removed`: objects of which nothing is left. One that
    is removed may have the key of one that is put, and is removed first. The journal has a record for
    each subject (`taskq.journal`); nothing here knows which there are.
    """

    __slots__ = ("put", "removed")

    def __init__(self) -> None:
        self.put: defaultdict[str, dict[Any, None]] = defaultdict(dict)
        self.removed: defaultdict[str, dict[Any, None]] = defaultdict(dict)

    def remove(self, subject: str, gone: Any) -> None:
        """Note that an object is gone. One that was new in this tick leaves no trace."""
        self.put[subject].pop(gone, None)
        self.removed[subject][gone] = None

    def take(self) -> Changes | None:
        """What has changed since the last call, or `None`."""
        if not self.put and not self.removed:
            return None
        taken = Changes()
        taken.put, self.put = self.put, taken.put
        taken.removed, self.removed = self.removed, taken.removed
        return taken


MARKS = "marks"
