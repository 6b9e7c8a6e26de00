"""Short commands on one queue of a broker, by way of the port alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from taskq.backends.port import Broker, Connection
from taskq.engine import commands as c


class Hand:
    """A producer, and a worker on a connection of its own."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self.broker = broker
        self.queue = queue
        self._open: list[Connection] = []
        self._threads: list[threading.Thread] = []

    def close(self) -> None:
        """Wait for every thread, then close every connection that was opened here."""
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        for connection in self._open:
            connection.close()

    def id(self, name: str) -> str:
        """An id that no other test uses."""
        return f"{self.queue}-{name}"

    def names(self, messages: list[c.Delivered]) -> list[str]:
        """The names that stand for their ids."""
        return [message.id.removeprefix(self.id("")) for message in messages]

    def connect(self, greeting: Callable[[], c.Request[Any]] | None = None) -> Connection:
        """A connection that is closed at the end of the test."""
        connection = self.broker.connect(greeting)
        self._open.append(connection)
        return connection

    def aside(self, action: Callable[[], object]) -> threading.Thread:
        """Do it in another thread, which has a connection of its own."""

        def run() -> None:
            try:
                action()
            finally:
                self.broker.close()  # this thread's connection

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def registration(
        self, consumer: str = "c", group: str = "default", tasks: list[str] | None = None
    ) -> c.Register:
        """The greeting of a consumer on this queue."""
        return c.Register(
            worker=f"w-{self.queue}-{group}",
            consumer=consumer,
            group=group,
            queues=[self.queue],
            tasks=tasks,
        )

    def consumer(
        self, consumer: str = "c", group: str = "default", tasks: list[str] | None = None
    ) -> Connection:
        """A registered connection."""
        return self.connect(lambda: self.registration(consumer, group, tasks))

    def request(self, *names: str, payload: bytes = b"payload", **more: Any) -> c.Enqueue:
        """An enqueue request; `more` are its fields, or options of the task."""
        fields = {key: more.pop(key) for key in ("delay", "eta_at", "expires_at") if key in more}
        return c.Enqueue(
            queue=self.queue,
            task=more.pop("task", "t"),
            options=c.Options(**more),
            calls=[c.Call(self.id(name), payload) for name in names],
            **fields,
        )

    def enqueue(self, *names: str, **more: Any) -> list[str]:
        """Enqueue messages; the ids that were known before."""
        return self.broker.call(self.request(*names, **more)).existing

    def claim(self, connection: Connection, n: int = 100, wait: float = 0.0) -> list[c.Delivered]:
        """What is ready, or comes within `wait` seconds."""
        return connection.call(self.claiming(n, wait)).messages

    def claiming(self, n: int = 100, wait: float = 0.0) -> c.Claim:
        """A claim on this queue."""
        return c.Claim(queues=[self.queue], n=n, wait=wait)

    def ack(self, connection: Connection, message: c.Delivered, value: bytes = b"") -> list[int]:
        """The receipts that were stale."""
        return connection.call(c.Settle([c.Ack(message.receipt, message.id, value)])).rejected

    def fail(self, connection: Connection, message: c.Delivered, **how: Any) -> list[int]:
        """The receipts that were stale."""
        error = c.ErrorInfo("ValueError", "no", "Traceback")
        outcome = c.Fail(message.receipt, message.id, error, **how)
        return connection.call(c.Settle([outcome])).rejected

    def state(self, name: str) -> str:
        """Where a message stands in the first group."""
        return self.broker.call(c.Inspect(self.id(name))).jobs[0].state

    def end(self, name: str, wait: float = 20.0) -> c.Finished:
        """Wait for the end of a message."""
        with_watch = c.Wait(watch=1, add=[self.id(name)], wait=wait)
        (finished,) = self.broker.call(with_watch).finished
        return finished

    def stats(self, group: str = "default") -> c.QueueStats:
        """The counters of this queue."""
        (found,) = (
            entry
            for entry in self.broker.call(c.GetStats()).queues
            if (entry.queue, entry.group) == (self.queue, group)
        )
        return found
