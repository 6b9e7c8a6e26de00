"""Short commands on one queue of a broker, by way of the port alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from taskq.backends.port import Broker, Connection
from taskq.protocol.base import Request
from taskq.protocol.consuming import Claim, Register, Settle
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Enqueue, Inspect, Wait
from taskq.protocol.values import (
    Ack,
    Call,
    Delivered,
    ErrorInfo,
    Fail,
    Finished,
    Options,
    QueueStats,
)


class PortBench:
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

    def names(self, messages: list[Delivered]) -> list[str]:
        """The names that stand for their ids."""
        return [message.id.removeprefix(self.id("")) for message in messages]

    def connect(self, greeting: Callable[[], Request[Any]] | None = None) -> Connection:
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
    ) -> Register:
        """The greeting of a consumer on this queue."""
        return Register(
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

    def request(self, *names: str, payload: bytes = b"payload", **more: Any) -> Enqueue:
        """An enqueue request; `more` are its fields, or options of the task."""
        fields = {key: more.pop(key) for key in ("delay", "eta_at", "expires_at") if key in more}
        return Enqueue(
            queue=self.queue,
            task=more.pop("task", "t"),
            options=Options(**more),
            calls=[Call(self.id(name), payload) for name in names],
            **fields,
        )

    def enqueue(self, *names: str, **more: Any) -> list[str]:
        """Enqueue messages; the ids that were known before."""
        return self.broker.call(self.request(*names, **more)).existing

    def claim(self, connection: Connection, n: int = 100, wait: float = 0.0) -> list[Delivered]:
        """What is ready, or comes within `wait` seconds."""
        return connection.call(self.claiming(n, wait)).messages

    def claiming(self, n: int = 100, wait: float = 0.0) -> Claim:
        """A claim on this queue."""
        return Claim(queues=[self.queue], n=n, wait=wait)

    def ack(self, connection: Connection, message: Delivered, value: bytes = b"") -> list[int]:
        """The receipts that were stale."""
        return connection.call(Settle(outcomes=[Ack(message.receipt, message.id, value)])).rejected

    def fail(self, connection: Connection, message: Delivered, **how: Any) -> list[int]:
        """The receipts that were stale."""
        error = ErrorInfo("ValueError", "no", "Traceback")
        outcome = Fail(message.receipt, message.id, error, **how)
        return connection.call(Settle(outcomes=[outcome])).rejected

    def state(self, name: str) -> str:
        """Where a message stands in the first group."""
        return self.broker.call(Inspect(id=self.id(name))).jobs[0].state

    def end(self, name: str, wait: float = 20.0) -> Finished:
        """Wait for the end of a message."""
        with_watch = Wait(watch=1, add=[self.id(name)], wait=wait)
        (finished,) = self.broker.call(with_watch).finished
        return finished

    def stats(self, group: str = "default") -> QueueStats:
        """The counters of this queue."""
        (found,) = (
            entry
            for entry in self.broker.call(GetStats()).queues
            if (entry.queue, entry.group) == (self.queue, group)
        )
        return found
