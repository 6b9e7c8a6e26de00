"""Waiting for ids at one broker: the thread's own connection and one parked request."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from time import monotonic
from typing import TYPE_CHECKING

from taskq import context
from taskq.application import worker_command
from taskq.errors import BrokerTimeout, BrokerUnavailable, TaskqError
from taskq.names import how_to_know
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Inspect, Unwatch, Wait
from taskq.protocol.values import Finished

if TYPE_CHECKING:
    from taskq.backends.port import Broker

FIRST_SLICE = 2.0  # seconds; after that the user is warned of queues that nobody consumes
SLICE = 30.0  # seconds that a further request parks
LOOKED_AT = 4  # ids, when nothing has finished for a slice
ANSWER = 1.0  # seconds that the broker has to answer after a caller's deadline

numbers = count(1)  # of watches; the broker drops one that is empty


class UnconsumedWarning(RuntimeWarning):
    """A program waits for a call that, as things are, no worker will run."""


class ResultWatch:
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
            BrokerTimeout: no broker has answered by 1 s after the deadline.
            BrokerUnavailable: none has within the reconnect budget.
        """
        while self.open:
            left = SLICE if deadline is None else max(deadline - monotonic(), 0.0)
            try:
                finished = self._ask(
                    min(self._slice, left), None if deadline is None else left + ANSWER
                )
            except BrokerUnavailable as error:
                if deadline is None or monotonic() < deadline:
                    raise
                raise not_in_time(error) from error
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
                self._broker.call(Unwatch(watch=self._number), timeout=ANSWER)

    def _ask(self, wait: float, patience: float | None) -> list[Finished]:
        request = Wait(watch=self._number, add=self._add, wait=wait)
        self._left_there = 0  # an exception closes the connection, and the watch goes with it
        reply = self._broker.call(request, timeout=patience)
        finished = [entry for entry in reply.finished if entry.id in self.open]
        self.open.difference_update([entry.id for entry in finished])
        self._left_there = reply.pending
        # another number than ours: the connection was lost on the way, and the watch with it
        self._add = [] if reply.pending == len(self.open) else list(self.open)
        if not finished and wait >= self._slice and reply.pending == len(self.open):
            warn_of_standstill(self._broker, reply.unconsumed, self.open)
        return finished


def not_in_time(error: BrokerUnavailable) -> BrokerTimeout:
    """The error of a wait whose time is over while a broker is gone."""
    return BrokerTimeout(f"not finished in time, as far as is known: {error}")


warned: dict[str, object] = {}  # each sentence, and the mark of who gave it


def warn_of_standstill(broker: Broker, unconsumed: Sequence[str], ids: Iterable[str]) -> None:
    """Say why what is waited for does not run, where the broker knows a reason; each reason once.

    Args:
        broker: is asked for the reason.
        unconsumed: queues that no worker consumes, from the reply to the wait.
        ids: what is waited for; a few of them are looked at.
    """
    for queue in unconsumed:
        start = f"start one with: {worker_command(queue, broker.url)}"
        if broker.url.startswith("memory:"):
            start = "wait in a block that has some: with queue.workers():"
        _warn_once(f"no worker consumes the queue {queue!r}; {start}")
    if not unconsumed:
        # the wait itself raises if the broker is gone
        with suppress(TaskqError):
            for sentence in _reasons(broker, islice(ids, LOOKED_AT)):
                _warn_once(sentence)


def _reasons(broker: Broker, ids: Iterable[str]) -> Iterator[str]:
    stats = broker.call(GetStats(), timeout=ANSWER)
    groups = {(each.queue, each.group): each for each in stats.queues}
    inside = context.inside_task()
    if not inside and not any(group.unknown or group.paused for group in groups.values()):
        return
    for id in ids:
        job = broker.call(Inspect(id=id), timeout=ANSWER).jobs[0]
        group = groups.get((job.queue, job.group))
        if group is None or job.state == "leased":
            continue
        if job.state == "parked" and job.task in group.unknown:
            yield (
                f"no worker of the queue {job.queue!r} knows the task {job.task}, so its calls "
                f"wait; {_how_to_know(job.task, job.queue, job.group)}"
            )
        elif group.paused:
            yield f"the queue {job.queue!r} is paused; go on with: taskq queue resume {job.queue}"
        elif inside and job.state == "ready":
            yield (
                f"a task waits for a call of {job.task} that no worker has taken yet; a task that "
                "waits keeps its worker busy: run more workers than there are such tasks"
            )


def _how_to_know(task: str, queue: str, group: str) -> str:
    from taskq.client.local_workers import is_defined_late

    if is_defined_late(task):
        return "it was defined after workers() had started them: define it above that line"
    return how_to_know(task, queue, group)


def _warn_once(sentence: str) -> None:
    mark = object()
    if warned.setdefault(sentence, mark) is mark:
        import warnings

        warnings.warn(sentence, UnconsumedWarning, stacklevel=_user_level())


def _user_level() -> int:
    """How many frames above `_warn_once` the first one outside of this package is."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
        level += 1
    return level
