"""What one tick has changed: the engine fills it, the journal writes it in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from taskq.engine.group import Group
    from taskq.engine.message import Message
    from taskq.engine.results import Result


class HighWaterMarks(msgspec.Struct, array_like=True):
    """Bounds of the numbers that must never be given twice, and the engine's clock when set.

    They lie ahead of the numbers in use, so that few commits have to write them; what a crash
    leaves unused is skipped.
    """

    seq: int = 0
    fence: int = 0
    now: float = 0.0


class Changes:
    """The difference between two commits.

    A message may be in several of these: `added` and `touched` and `removed` within one tick. A
    removed message has no deliveries left, which is how the journal tells. `groups`: those whose
    totals have changed. `dropped`: names (queue, group) of those that were removed; one of `groups`
    may have such a name, having been made anew. `marks`: new bounds, if the old ones were reached.
    """

    __slots__ = (
        "added",
        "dropped",
        "forgotten",
        "groups",
        "marks",
        "removed",
        "results",
        "touched",
    )

    def __init__(self) -> None:
        self.added: list[Message] = []
        self.touched: dict[Message, None] = {}
        self.removed: list[Message] = []
        self.results: list[Result] = []
        self.forgotten: list[Result] = []
        self.groups: dict[Group, None] = {}
        self.dropped: dict[tuple[str, str], None] = {}
        self.marks: HighWaterMarks | None = None

    @property
    def is_one_message(self) -> bool:
        """Whether a single new message, which nobody has claimed, is all there is."""
        return (
            len(self.added) == 1
            and self.marks is None
            and not (self.touched or self.removed or self.results or self.forgotten)
            and not (self.groups or self.dropped)
        )

    def __bool__(self) -> bool:
        return bool(
            self.added
            or self.touched
            or self.removed
            or self.results
            or self.forgotten
            or self.groups
            or self.dropped
        )
