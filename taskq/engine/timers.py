"""Timers: what is to happen when. A heap of deadlines, with lazy deletion."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from math import inf
from typing import Any

from taskq.engine.sweeping import SweptHeap

AT_ONCE = 100  # calls in one tick


class Timers:
    """Calls `action(subject, now)` once the time has come; the action checks whether it still holds.

    `next`: the earliest deadline; `inf` if there is none. It is asked for twice in each tick.
    `looked_at`: when calls were last made; none was made yet for a deadline after that.
    """

    __slots__ = ("_count", "_heap", "looked_at", "next")

    def __init__(self) -> None:
        self.next = inf
        self.looked_at = -inf
        self._heap: SweptHeap[tuple[float, int, Callable[[Any, float], None], Any]] = SweptHeap()
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, action: Callable[[Any, float], None], subject: Any) -> None:
        """Ask for a call at `when`, after those asked for earlier at the same time."""
        self._count += 1
        heappush(self._heap.entries, (when, self._count, action, subject))
        if when < self.next:
            self.next = when

    def fire(self, now: float, limit: int = AT_ONCE) -> None:
        """Make the calls that are due, so many at once."""
        heap = self._heap
        self.looked_at = now
        for _ in range(limit):
            if self.next > now:
                return
            _, _, action, subject = heap.pop()
            self._look()
            action(subject, now)

    def mark_stale(self, is_live: Callable[[Any], bool]) -> None:
        """A call will find nothing to do. It may be due in years, and would keep its subject in memory
        until then."""
        self._heap.mark_stale(lambda entry: is_live(entry[3]))
        self._look()

    def _look(self) -> None:
        first = self._heap.first()
        self.next = inf if first is None else first[0]


class MovableTimer:
    """One deadline that moves often, with at most a few entries in the heap.

    A parked request is answered long before its deadline, thousands of times a second; an entry
    for each would fill the heap with stale ones. This leaves its old entry where it is, and looks
    again when that fires.

    Attributes:
        when: the deadline; `inf` means none. Set it with `set`.
        action: what is called then, with the time.
    """

    __slots__ = ("_entry", "_timers", "action", "when")

    def __init__(self, timers: Timers, action: Callable[[float], None] | None = None) -> None:
        self._timers = timers
        self._entry = inf
        self.action = action
        self.when = inf

    def set(self, when: float) -> None:
        """Move the deadline; `inf` means none."""
        self.when = when
        if when < self._entry:
            self._entry = when
            self._timers.at(when, MovableTimer._fire, self)

    def _fire(self, now: float) -> None:
        if self._entry > now:
            return  # an older entry than the one that counts
        self._entry = inf
        if self.when <= now:
            self.when = inf
            if self.action is not None:
                self.action(now)
        else:
            self.set(self.when)
