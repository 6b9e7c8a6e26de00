"""`queue.dlq`: the calls that were given up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from taskq.application import queues_of
from taskq.errors import UnknownMessage
from taskq.protocol.operating import DeadLetters, ListDead, PurgeDead, Replay
from taskq.protocol.values import DeadLetter

if TYPE_CHECKING:
    from taskq.application import App

PAGE = 1000  # entries in one reply


class DeadCall(NamedTuple):
    """What was to be called. `function` is set where the call carried its own."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    function: Callable[..., Any] | None = None


class DeadEntry:
    """One dead letter. Times are Unix times.

    Attributes:
        id: message id.
        queue: the queue that it came from.
        group: consumer group that gave it up.
        task: task name.
        reason: why it was given up.
        attempts: how often the task itself ended, by an exception.
        deliveries: how often it was handed to a worker.
        deaths: how many workers were lost with it.
        enqueued_at, first_failed_at, last_failed_at: times.
        errors: the latest failed attempts, oldest first: kind, text, traceback, worker, time.
    """

    def __init__(self, app: App, letter: DeadLetter) -> None:
        self._app = app
        self._letter = letter
        self.id = letter.id
        self.queue = letter.queue
        self.group = letter.group
        self.task = letter.task
        self.reason = letter.reason
        self.attempts = letter.attempts
        self.deliveries = letter.deliveries
        self.deaths = letter.deaths
        self.enqueued_at = letter.enqueued_at
        self.first_failed_at = letter.first_failed_at
        self.last_failed_at = letter.last_failed_at
        self.errors = letter.errors

    @property
    def call(self) -> DeadCall:
        """The arguments; unpickled when asked for.

        Raises:
            SerializationError: they cannot be loaded here, or their signature does not fit.
        """
        letter = self._letter
        function, args, kwargs = self._app.codec.decode_call(
            letter.queue, letter.id, letter.task, letter.payload
        )
        return DeadCall(args, kwargs, function)

    @property
    def tracebacks(self) -> list[str]:
        """The traceback of every recorded attempt, oldest first."""
        return [error.traceback or f"{error.kind}: {error.text}" for error in self.errors]

    def describe(self) -> str:
        """The call as source text, e.g. `mail.send('a@b.c')`; never raises."""
        try:
            call = self.call
            given = [repr(value) for value in call.args]
            given += [f"{name}={value!r}" for name, value in call.kwargs.items()]
            text = ", ".join(given)
        except Exception as error:
            text = f"… cannot be shown: {error}"
        return f"{self.task}({text if len(text) <= 500 else text[:500] + '…'})"

    def replay(self) -> None:
        """Put it back into its queue, for its consumer group, with fresh attempts.

        Raises:
            UnknownMessage: it has been replayed or purged meanwhile.
        """
        self._app.broker.call(Replay(ids=[self.id], queue=self.queue, group=self.group))

    def purge(self) -> None:
        """Forget it; entries of other consumer groups stay.

        Raises:
            UnknownMessage: it has been replayed or purged meanwhile.
        """
        self._app.broker.call(PurgeDead(ids=[self.id], queue=self.queue, group=self.group))

    def __repr__(self) -> str:
        return f"<DeadEntry {self.id} {self.task}: {self.reason}>"


def letters(call: Callable[[ListDead], DeadLetters], request: ListDead) -> Iterator[DeadLetter]:
    """What `request` lists, fetched a page at a time: a reply is bounded, the list is not.

    Entries may be replayed or purged meanwhile. `request` is moved on with each page.
    """
    left, seen = request.limit, set[tuple[str, str]]()
    more = True
    while more and left > 0:
        page = call(msgspec.structs.replace(request, limit=min(left, PAGE)))
        for letter in page.entries:
            if (letter.id, letter.group) not in seen:
                seen.add((letter.id, letter.group))
                left -= 1
                yield letter
        more = page.more
        if page.entries:
            last = page.entries[-1]
            request.since, request.after, request.after_group = (
                last.last_failed_at,
                last.id,
                last.group,
            )


class DeadLetterQueue:
    """The dead letters of every queue that the tasks of an app go to.

    Args:
        app: the queue object that asks.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def list(self, limit: int = 100, *, task: str = "", error: str = "") -> list[DeadEntry]:
        """The oldest entries.

        Args:
            limit: at most so many.
            task: a part of the task name.
            error: a part of the name or the text of the last exception.

        Raises:
            ValueError: a limit below zero.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise ValueError(f"limit must be a whole number that is not negative, not {limit!r}")
        return [*self._entries(limit, task, error)]

    def get(self, id: str) -> DeadEntry:
        """One entry; the oldest, where several consumer groups have given the message up.

        Raises:
            UnknownMessage: no dead letter of these queues has that id.
        """
        queues = queues_of(self._app)
        for letter in self._app.broker.call(ListDead(id=id)).entries:
            if letter.id == id and letter.queue in queues:
                return DeadEntry(self._app, letter)
        names = ", ".join(map(repr, queues))
        raise UnknownMessage(f"there is no dead letter {id!r} in {names}")

    def replay(self, id: str) -> None:
        """Put a message back into its queue, for every group that gave it up, with fresh attempts.

        A handle that has its error already keeps it until its `status` is asked.

        Raises:
            UnknownMessage: no dead letter of these queues has that id.
        """
        self._app.broker.call(Replay(ids=[id], queue=self.get(id).queue))

    def replay_all(self, rate: float | None = None, *, task: str = "", error: str = "") -> int:
        """Put all back, or all that fit; returns how many.

        Args:
            rate: at most so many a second, in all queues together; default: all at once.
            task: a part of the task name.
            error: a part of the name or the text of the last exception.

        Raises:
            ValueError: a rate of zero or less.
        """
        if rate is not None and not rate > 0:
            raise ValueError(f"rate must be greater than zero, not {rate!r}")
        call = self._app.broker.call
        totals = {queue: self._total(queue) for queue in queues_of(self._app)}
        everything = sum(totals.values())
        count = 0
        for queue, total in totals.items():
            if total:  # each queue gets its share of the rate, so that all of them end together
                share = None if rate is None else rate * total / everything
                count += call(Replay(queue=queue, rate=share, task=task, error=error)).count
        return count

    def purge(self, id: str) -> None:
        """Forget a message, for every group that gave it up.

        Raises:
            UnknownMessage: no dead letter of these queues has that id.
        """
        self._app.broker.call(PurgeDead(ids=[id], queue=self.get(id).queue))

    def purge_all(self, *, task: str = "", error: str = "") -> int:
        """Forget all, or all that fit; returns how many.

        Args:
            task: a part of the task name.
            error: a part of the name or the text of the last exception.
        """
        requests = [
            PurgeDead(queue=queue, task=task, error=error) for queue in queues_of(self._app)
        ]
        return sum(self._app.broker.call(request).count for request in requests)

    def __len__(self) -> int:
        return sum(map(self._total, queues_of(self._app)))

    def __bool__(self) -> bool:
        return True  # the object, not its emptiness

    def __iter__(self) -> Iterator[DeadEntry]:
        return self._entries(sys.maxsize)

    def _entries(self, limit: int, task: str = "", error: str = "") -> Iterator[DeadEntry]:
        """Entries of all queues in the order of their deaths."""
        found = [
            letters(
                self._app.broker.call,
                ListDead(queue=queue, task=task, error=error, limit=limit),
            )
            for queue in queues_of(self._app)
        ]
        for letter in islice(merge(*found, key=lambda each: each.last_failed_at), limit):
            yield DeadEntry(self._app, letter)

    def _total(self, queue: str) -> int:
        return self._app.broker.call(ListDead(queue=queue, limit=0)).total

    def __repr__(self) -> str:
        return f"<DeadLetterQueue of {', '.join(map(repr, queues_of(self._app)))}>"
