"""`queue.dlq`: the calls that were given up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from taskq import errors
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
        attempts: how often it was run.
        deliveries: how often it was handed to a worker.
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
        """Put it back into its queue."""
        self._app.broker.call(Replay(ids=[self.id], queue=self.queue, group=self.group))

    def purge(self) -> None:
        """Forget it."""
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
    """The dead letters of one queue.

    Args:
        app: the queue object that asks.
        queue: name of the queue.
    """

    def __init__(self, app: App, queue: str) -> None:
        self._app = app
        self._queue = queue

    def list(self, limit: int = 100, *, task: str = "", error: str = "") -> list[DeadEntry]:
        """The oldest entries.

        Args:
            limit: at most so many.
            task: a part of the task name.
            error: a part of the name of the last exception.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise ValueError(f"limit must be a whole number that is not negative, not {limit!r}")
        request = ListDead(queue=self._queue, task=task, error=error, limit=limit)
        return [*self._ask(request)]

    def get(self, id: str) -> DeadEntry:
        """One entry.

        Raises:
            UnknownMessage: no dead letter of this queue has that id.
        """
        for entry in self._ask(ListDead(queue=self._queue, id=id, limit=1)):
            return entry
        raise errors.UnknownMessage(f"no dead letter {id!r} in queue {self._queue!r}")

    def replay(self, id: str) -> None:
        """Put one back into its queue, with fresh attempts.

        Raises:
            UnknownMessage: no dead letter has that id.
        """
        if not self._app.broker.call(Replay(ids=[id])).count:
            raise errors.UnknownMessage(f"no dead letter {id!r} to replay")

    def replay_all(self, rate: float | None = None) -> int:
        """Put all back; returns how many.

        Args:
            rate: so many a second; default: all at once.
        """
        if rate is not None and not rate > 0:
            raise ValueError(f"rate must be greater than zero, not {rate!r}")
        return self._app.broker.call(Replay(queue=self._queue, rate=rate)).count

    def purge(self, id: str) -> None:
        """Forget one.

        Raises:
            UnknownMessage: no dead letter has that id.
        """
        if not self._app.broker.call(PurgeDead(ids=[id])).count:
            raise errors.UnknownMessage(f"no dead letter {id!r} to purge")

    def purge_all(self) -> int:
        """Forget all; returns how many."""
        return self._app.broker.call(PurgeDead(queue=self._queue)).count

    def __len__(self) -> int:
        return self._app.broker.call(ListDead(queue=self._queue, limit=0)).total

    def __bool__(self) -> bool:
        return True  # the object, not its emptiness

    def __iter__(self) -> Iterator[DeadEntry]:
        return self._ask(ListDead(queue=self._queue, limit=sys.maxsize))

    def _ask(self, request: ListDead) -> Iterator[DeadEntry]:
        for letter in letters(self._app.broker.call, request):
            yield DeadEntry(self._app, letter)

    def __repr__(self) -> str:
        return f"<DeadLetterQueue of {self._queue!r}>"
