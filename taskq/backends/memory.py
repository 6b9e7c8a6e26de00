"""The in-process broker, `memory:`: host and engine as in a broker process, no journal, no socket.

The calling threads drive the engine. A call applies its request and delivers the replies of that tick
to all connections. A thread that waits for a reply sleeps until the engine's next deadline at most, and
then runs the engine for all. All that is done with the lock held is shielded from exceptions that
another thread raises in this one.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from taskq import errors
from taskq.broker.host import Host
from taskq.clock import Clock
from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.engine import Engine
from taskq.engine.results import IN_MEMORY
from taskq.interrupts import Shield, own_shield
from taskq.journal.none import NoJournal
from taskq.protocol.base import Failed, R, Reply, Request, may_park
from taskq.protocol.consuming import Claim, Settle
from taskq.protocol.values import Outcome

REPLY_TIMEOUT = 30.0  # seconds beyond the time that a request may park


class MemoryBroker:
    """A broker in this process, for tests and for programs that need no durability.

    It lives as long as there is a reference to it, to a connection or to a worker of it.

    Args:
        clock: the engine's. A test passes one that it moves, and calls `tick`.
        capacity: how many messages and bytes it keeps at most; default: no limit.
    """

    url = "memory:"
    max_payload = 64 * 2**20

    def __init__(self, clock: Clock | None = None, capacity: Capacity = UNBOUNDED) -> None:
        self.payload_key = os.urandom(32)
        self.lock = threading.Condition()
        self._host = Host(Engine(capacity, IN_MEMORY), NoJournal(), clock or Clock())
        self._connections: weakref.WeakValueDictionary[int, MemoryConnection]
        self._connections = weakref.WeakValueDictionary()
        self._gone: deque[int] = deque()  # connections that nobody has closed
        self._numbers = 0
        self._working = False  # whether a thread, the one with the lock, is inside the engine
        self._local = threading.local()
        _brokers.add(self)

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """See `port.Broker.call`."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.connect()
        try:
            return cast("MemoryConnection", connection).call(request, timeout=timeout)
        except (errors.TaskTimeout, errors.BrokerTimeout):
            self.close()  # what it still waits for goes with the connection
            raise

    def connect(
        self,
        greeting: Callable[[], Request[R]] | None = None,
        greeted: Callable[[R], None] | None = None,
        *,
        patience: float | None = None,
    ) -> MemoryConnection:
        """See `port.Broker.connect`; `patience` has no effect."""
        with self.locked():
            self._numbers += 1
            connection = MemoryConnection(self, self._numbers)
            self._connections[self._numbers] = connection
            weakref.finalize(connection, self._gone.append, self._numbers).atexit = False
        if greeting is not None:
            reply = connection.call(greeting())
            if greeted is not None:
                greeted(reply)
        return connection

    def close(self) -> None:
        """Close this thread's connection; the messages stay for as long as the object."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def tick(self) -> None:
        """Run one tick, as a broker does when its clock reaches a deadline."""
        with self._one_tick():
            pass

    # --- for the connections ----------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[Shield]:
        """Hold the lock, and this thread's shield; the timeout of a task is raised before or after."""
        shield = own_shield()
        with shield.lock:
            shield.checkpoint()
            with self.lock:
                yield shield

    @contextmanager
    def _one_tick(self) -> Iterator[None]:
        """Lock the engine for the block, then deliver its replies.

        Raises:
            BrokerUnavailable: this thread is in the middle of such a block already.
        """
        with self.locked():
            if self._working:
                raise errors.BrokerUnavailable(
                    "a signal handler called the memory: broker in the middle of another call of its "
                    "thread; let the handler set a flag, or use the embedded broker"
                )
            self._working = True
            try:
                self._host.begin()
                yield
                self._deliver()
            finally:
                self._working = False

    def apply(self, number: int, request: Request[Any]) -> None:
        """Apply one request and deliver all replies of that tick, also those to other connections."""
        with self._one_tick():
            self._host.apply(number, request)

    def wait_for(self, connection: MemoryConnection, rid: int, deadline: float) -> Reply:
        """Wait for a reply until `deadline`. Raises `BrokerTimeout`, or the timeout of a task."""
        with self.locked() as shield:
            while (reply := connection.replies.pop(rid, None)) is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise errors.BrokerTimeout("the in-memory broker did not answer in time")
                due = self.seconds_left()
                shield.sleep(self.lock, left if due is None else min(left, due))
                with self._one_tick():
                    pass
            connection.clear()
            return reply

    def seconds_left(self) -> float | None:
        """Seconds until the next deadline of the engine; call it with the lock held."""
        # not the host's: that nobody has driven the engine for a while is no pause of the broker
        due = self._host.engine.next_deadline()
        return None if due is None else max(due - self._host.clock.now(), 0.0)

    def disconnect(self, number: int) -> None:
        """Forget a connection that has closed."""
        with self._one_tick():
            self._connections.pop(number, None)
            self._host.disconnect(number)
            self.lock.notify_all()  # a thread that sleeps may have an earlier deadline now

    def _deliver(self) -> None:
        while self._gone:
            self._host.disconnect(self._gone.popleft())
        replies = self._host.commit()
        for number, reply in replies:
            connection = self._connections.get(number)
            if connection is not None:
                connection.deliver(reply)
        if replies:
            self.lock.notify_all()

    def forked(self) -> None:
        """Refuse calls in a forked child: the engine is in the parent, and the lock may be held."""
        self.__dict__["call"] = self.__dict__["connect"] = _refuse_after_fork


_brokers: weakref.WeakSet[MemoryBroker] = weakref.WeakSet()


def _forked() -> None:
    for broker in list(_brokers):
        broker.forked()


os.register_at_fork(after_in_child=_forked)


def _refuse_after_fork(*_: object, **__: object) -> Any:
    raise errors.BrokerUnavailable(
        "a memory: broker lives in the process that made it and does not cross a fork; "
        "use the embedded broker"
    )


class MemoryConnection:
    """See `port.Connection`."""

    def __init__(self, broker: MemoryBroker, number: int) -> None:
        self.replies: dict[int, Reply] = {}
        self._broker = broker
        self._number = number
        self._rid = 0
        self._pipe: tuple[int, int] | None = None
        self._closed = False

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """Hand the request over and wait for its reply."""
        self._send(request)
        return self._receive(request, timeout)

    def turn(
        self, outcomes: Sequence[Outcome], claim: Claim | None = None, group: str = "default"
    ) -> list[int]:
        """Settle, and hand over the claim."""
        settle = Settle(outcomes=list(outcomes), group=group)
        self._send(settle)
        if claim is not None:
            self._send(claim)
        return self._receive(settle, None).rejected

    def send(self, request: Request[Any]) -> None:
        """Hand the request over; `receive` gives its reply."""
        self._send(request)

    def arrived(self, request: Request[Any]) -> bool:
        """Whether the reply is here already."""
        self._broker.tick()
        return request.rid in self.replies

    def receive(self, request: Request[R], *, timeout: float | None = None) -> R:
        """Wait for the reply of a request that was sent."""
        return self._receive(request, timeout)

    def due(self) -> float | None:
        """The time, by `time.monotonic`, at which `arrived` has to run the engine again."""
        with self._broker.locked():
            left = self._broker.seconds_left()
        return None if left is None else time.monotonic() + left

    def fileno(self) -> int:
        """A pipe that is readable while a reply is here."""
        with self._broker.locked():
            if self._pipe is None:
                self._pipe = os.pipe()
                if self.replies:
                    os.write(self._pipe[1], b"!")
            return self._pipe[0]

    def close(self) -> None:
        """Forget the connection."""
        if not self._closed:
            self._closed = True
            self._broker.disconnect(self._number)
            if self._pipe is not None:
                for end in self._pipe:
                    os.close(end)
                self._pipe = None

    def __del__(self) -> None:
        for end in self._pipe or ():
            os.close(end)

    def deliver(self, reply: Reply) -> None:
        """Keep a reply for `receive`; called by the broker, with its lock held."""
        if self._pipe is not None and not self.replies:
            os.write(self._pipe[1], b"!")
        self.replies[reply.rid] = reply

    def clear(self) -> None:
        """Make the pipe unreadable if no reply is left; called by the broker, with its lock held."""
        if self._pipe is not None and not self.replies:
            os.read(self._pipe[0], 1)

    def _send(self, request: Request[Any]) -> None:
        if self._closed:
            raise errors.BrokerUnavailable("this connection was closed")
        self._rid += 1
        request.rid = self._rid
        self._broker.apply(self._number, request)

    def _receive(self, request: Request[R], timeout: float | None) -> R:
        patience = may_park(request) + REPLY_TIMEOUT if timeout is None else timeout
        reply = self._broker.wait_for(self, request.rid, time.monotonic() + patience)
        if isinstance(reply, Failed):
            raise errors.by_name(reply.error)(reply.text)
        return cast("R", reply)
