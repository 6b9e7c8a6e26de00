"""What a program does to the queues of an app: pause, resume, purge, limit, count."""

from __future__ import annotations

from taskq.application import App, queues_of
from taskq.protocol.operating import Control, GetStats, Limit, Stats


class QueueControl:
    """The part of `TaskQueue` that operates its queues."""

    def pause(self: App, queue: str | None = None) -> None:
        """Hand out no more messages; what runs goes on, and new ones are accepted.

        Args:
            queue: name of one queue; default: every queue that the tasks of this object go to,
                those that the broker has not seen yet among them.

        Raises:
            TaskqError: the broker has no queue of that name.
        """
        if queue is None:
            for name in _queues(self, known=False):
                self.broker.call(Limit(queue=name))  # makes the queue and limits nothing
        _control(self, "pause", queue)

    def resume(self: App, queue: str | None = None) -> None:
        """Undo `pause`; arguments and errors are the same."""
        _control(self, "resume", queue)

    def purge(self: App, queue: str | None = None) -> int:
        """Forget the messages that wait; returns how many. Running ones and dead letters stay.

        Args:
            queue: name of one queue; default: every queue that the tasks of this object go to.

        Raises:
            TaskqError: the broker has no queue of that name.
        """
        return _control(self, "purge", queue)

    def limit(
        self: App,
        *,
        max_messages: int | None = None,
        max_bytes: int | str | None = None,
        queue: str | None = None,
    ) -> None:
        """Bound what one queue may have to finish; the broker keeps that across restarts.

        Args:
            max_messages: unfinished ones in each group (not dead letters); 0 removes the limit.
            max_bytes: of their payloads, e.g. `"1GiB"`; 0 removes the limit.
            queue: name of the queue; default: the name of this object.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: a value below zero or not readable, or no name of a queue.
        """
        from taskq.options.checks import queue_name
        from taskq.sizes import size_in_bytes, whole_number

        name = self.name if queue is None else queue_name("queue", queue)
        count = None if max_messages is None else whole_number("max_messages", max_messages)
        size = None if max_bytes is None else size_in_bytes("max_bytes", max_bytes)
        self.broker.call(Limit(queue=name, max_messages=count, max_bytes=size))

    def stats(self: App) -> Stats:
        """The counters of the broker, of every queue, and of every worker."""
        return self.broker.call(GetStats())


def _control(app: App, action: str, queue: str | None) -> int:
    names = _queues(app, known=True) if queue is None else [queue]
    call = app.broker.call
    return sum(call(Control(queue=name, action=action)).count for name in names)


def _queues(app: App, *, known: bool) -> list[str]:
    """The queues that the tasks go to: those that the broker knows, or those that it does not."""
    existing = {group.queue for group in app.broker.call(GetStats()).queues}
    return [name for name in queues_of(app) if (name in existing) is known]
