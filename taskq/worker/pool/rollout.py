"""A reload: every child is replaced by one with the new code, or none is.

First each child gets a successor, which imports the app and waits; one after the other, so that they
do not compete. When all of them could, the children are replaced one by one. If one could not, the
successors go and every child keeps the code it has.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from taskq.worker.pool.child_process import Child

log = logging.getLogger("taskq.worker")


@dataclass(slots=True, eq=False)
class Place:
    """A place for one child.

    Attributes:
        number: from 1.
        child: the process in it.
        successor: one that has loaded the app, or does, and waits to take the place.
        generation: how many processes were made for it.
        start_at: when to fill it, if it is empty.
    """

    number: int
    child: Child | None = None
    successor: Child | None = None
    generation: int = 0
    start_at: float = 0.0


class Rollout:
    """The reload that goes on, if any.

    Args:
        start: makes the successor of a place; where the system refuses, it returns seconds after which
            that is to be tried again, else 0.
    """

    def __init__(self, start: Callable[[Place], float]) -> None:
        self._start = start
        self._start_at = 0.0  # not before: a fork was refused
        self._loading: deque[Place] = deque()
        self._replacing: deque[Place] = deque()
        self._waiting: Place | None = None

    @property
    def is_active(self) -> bool:
        """Whether a reload goes on: empty places wait for it."""
        return bool(self._loading or self._replacing or self._waiting)

    def holds(self, place: Place) -> bool:
        """Whether the reload fills that place, if it becomes empty."""
        return place in self._loading or place in self._replacing

    def begin(self, places: list[Place]) -> None:
        """Replace the children of these places; what an earlier reload has not replaced goes along."""
        self.abandon()
        self._loading = deque(places)
        self._start_at = 0.0

    def abandon(self) -> None:
        """Give up: the successors go, the children stay."""
        for place in [*self._loading, *self._replacing]:
            if place.successor is not None:
                place.successor.stop()
        self._loading.clear()
        self._replacing.clear()
        self._waiting = None

    def poll(self, now: float) -> float:
        """Go on as far as it goes now.

        Args:
            now: by `time.monotonic`.

        Returns:
            Seconds until the next call at the latest; infinite if it waits for a child.
        """
        while self._loading:
            place = self._loading[0]
            if place.successor is None and (delay := self._load(place, now)):
                return delay
            # one that was asked to end is of an earlier reload, and is about to
            if place.successor is None or place.successor.asked or not place.successor.loaded:
                return inf
            self._replacing.append(self._loading.popleft())
        while self._waiting or self._replacing:
            if not self._replace():
                break
        return inf

    def _load(self, place: Place, now: float) -> float:
        """Start a successor; returns seconds until that is tried again, or 0."""
        if self._start_at <= now:
            delay = self._start(place)
            self._start_at = now + delay
        return self._start_at - now if place.successor is None else 0.0

    def _replace(self) -> bool:
        """One place; whether it is done."""
        place = self._waiting or self._replacing[0]
        if self._waiting is None:
            if place.child is not None:
                if not place.child.asked:
                    log.info("replacing child %d", place.child.pid)
                    place.child.stop()
                return False
            self._replacing.popleft()
            self._waiting = place
            place.child, place.successor = place.successor, None
            if place.child is not None:
                place.child.go()
        if place.child is None or not place.child.ready:
            return False
        self._waiting = None
        return True
