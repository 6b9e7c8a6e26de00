"""Watches: sets of ids that a connection waits for."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskq.engine.consumers import Session


class Watch:
    """The ids that one waiter still wants to hear of.

    `open` have not finished; `done` have, in that order, and have not been reported yet. `rid` is
    the parked request, 0 for none.
    """

    __slots__ = ("deadline", "done", "number", "open", "rid", "session")

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.number = number
        self.open: set[str] = set()
        self.done: dict[str, None] = {}
        self.rid = 0
        self.deadline = inf

    @property
    def pending(self) -> int:
        """Ids not reported yet."""
        return len(self.open) + len(self.done)


class Watchers:
    """Who waits for which id."""

    __slots__ = ("_by_id", "answerable")

    def __init__(self) -> None:
        self._by_id: dict[str, list[Watch]] = {}
        self.answerable: list[Watch] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, watch: Watch, id: str) -> None:
        """Tell `watch` once that id has finished."""
        watch.open.add(id)
        self._by_id.setdefault(id, []).append(watch)

    def finished(self, id: str) -> None:
        """Move the id from open to done in every watch that has it."""
        for watch in self._by_id.pop(id, ()):
            watch.open.discard(id)
            watch.done[id] = None
            if watch.rid:
                self.answerable.append(watch)

    def drop(self, watch: Watch) -> None:
        """Forget a watch; one whose connection has closed, too."""
        watch.rid = 0
        for id in watch.open:
            left = [other for other in self._by_id.get(id, ()) if other is not watch]
            if left:
                self._by_id[id] = left
            else:
                self._by_id.pop(id, None)
        watch.open.clear()
        watch.done.clear()
