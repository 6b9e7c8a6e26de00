"""Waiting for ids at one broker: the thread's own connection and one parked request."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from taskq.engine.commands import Finished, Unwatch, Wait
from taskq.errors import TaskqError

if TYPE_CHECKING:
    from taskq.backends.port import Broker

FIRST_SLICE = 2.0  # seconds; then it is told that nobody consumes a queue
SLICE = 30.0  # seconds that a further request parks

numbers = count(1)  # of watches; the broker drops one that is empty


class UnconsumedWarning(RuntimeWarning):
    """Somebody waits for a call, and no worker consumes its queue."""


class Watch:
    """Ids whose end the calling thread waits for.

    Args:
        broker: where they are.
        ids: each is reported once.
    """

    def __init__(self, broker: Broker, ids: Iterable[str]) -> None:
        self.open = set(ids)
        self._broker = broker
        self._number = next(numbers)
        self._add = list(self.open)
        self._slice = FIRST_SLICE
        self._left_there = 0

    def next(self, deadline: float | None) -> list[Finished]:
        """Wait until at least one has finished; an empty list means that the time is over.

        Args:
            deadline: on the clock `time.monotonic`; `None` waits for as long as it takes.

        Raises:
            BrokerUnavailable: no broker answered within the reconnect budget.
        """
        while self.open:
            left = SLICE if deadline is None else max(deadline - monotonic(), 0.0)
            finished = self._ask(min(self._slice, left))
            if finished or (deadline is not None and left <= self._slice):
                return finished
            self._slice = SLICE
        return []

    def close(self) -> None:
        """Have the broker forget what is left of the watch."""
        if self._left_there:
            self._left_there = 0
            # a connection that is gone has taken the watch with it
            with suppress(TaskqError):
                self._broker.call(Unwatch(watch=self._number))

    def _ask(self, wait: float) -> list[Finished]:
        request = Wait(watch=self._number, add=self._add, wait=wait)
        self._left_there = 0  # an exception closes the connection, and the watch goes with it
        reply = self._broker.call(request)
        finished = [entry for entry in reply.finished if entry.id in self.open]
        self.open.difference_update([entry.id for entry in finished])
        self._left_there = reply.pending
        # another number than ours: the connection was lost on the way, and the watch with it
        self._add = [] if reply.pending == len(self.open) else list(self.open)
        if reply.unconsumed and wait >= self._slice:
            warn_unconsumed(reply.unconsumed)
        return finished


_warned: set[str] = set()


def warn_unconsumed(queues: list[str]) -> None:
    """Say once a process and queue that nobody consumes it."""
    for queue in queues:
        if queue not in _warned:
            _warned.add(queue)
            import warnings

            warnings.warn(
                f"no worker consumes the queue {queue!r}; start one with: "
                f"taskq worker MODULE:QUEUE -Q {queue}",
                UnconsumedWarning,
                stacklevel=_user_level(),
            )


def _user_level() -> int:
    """How many frames above `warn_unconsumed` the first one outside of this package is."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
        level += 1
    return level
