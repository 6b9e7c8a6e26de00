"""Watches: sets of ids that a connection waits for."""

from __future__ import annotations

from taskq.engine.operations import Steps
from taskq.engine.sessions import Parked, Session


class Watch:
    """The ids that one client waits for, and those of them that have finished.

    `open` have not finished; `done` have, in that order, and have not been reported yet. `dropped`: it
    gets nothing more. `waits`: requests that are still adding ids.
    """

    __slots__ = ("done", "dropped", "number", "open", "parked", "waits")

    def __init__(self, number: int) -> None:
        self.number = number
        self.open: set[str] = set()
        self.done: dict[str, None] = {}
        self.parked: ParkedWait | None = None
        self.dropped = False
        self.waits = 0

    @property
    def pending(self) -> int:
        """Ids not reported yet."""
        return len(self.open) + len(self.done)


class ParkedWait(Parked):
    """A `Wait` that is parked until an id of its watch has finished."""

    __slots__ = ("watch",)

    def __init__(self, session: Session, rid: int, deadline: float, watch: Watch) -> None:
        super().__init__(session, rid, deadline)
        self.watch = watch
        watch.parked = self


class Watchers:
    """Who waits for which id. `of`: the watches of each session, by their numbers."""

    __slots__ = ("_by_id", "answerable", "of")

    def __init__(self) -> None:
        self._by_id: dict[str, list[Watch]] = {}
        self.of: dict[Session, dict[int, Watch]] = {}
        self.answerable: list[Watch] = []

    def watches(self) -> int:
        """How many watches there are."""
        return sum(len(watches) for watches in self.of.values())

    def ids(self) -> list[str]:
        """The ids that somebody waits for."""
        return list(self._by_id)

    def add(self, watch: Watch, id: str) -> None:
        """Add an id to `watch`, which gets it once, when it has finished."""
        watch.open.add(id)
        self._by_id.setdefault(id, []).append(watch)

    def finished(self, id: str) -> None:
        """Move the id from open to done in every watch that has it."""
        for watch in self._by_id.pop(id, ()):
            watch.open.discard(id)
            if watch.dropped:
                continue
            watch.done[id] = None
            if watch.parked is not None:
                self.answerable.append(watch)

    def drop(self, watch: Watch) -> Steps:
        """Forget a watch, also one whose connection has closed. Nothing more is reported to it."""
        watch.dropped = True
        watch.parked = None
        watch.done = {}
        return self._forget(watch)

    def _forget(self, watch: Watch) -> Steps:
        while watch.open:
            id = watch.open.pop()
            left = [other for other in self._by_id.get(id, ()) if other is not watch]
            if left:
                self._by_id[id] = left
            else:
                self._by_id.pop(id, None)
            yield
        return None
