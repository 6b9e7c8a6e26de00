"""The in-process broker, `memory:`. It is the engine itself, without a journal or a socket.

Its threads drive the engine: whoever calls applies its request and delivers all replies; whoever
waits for a parked one sleeps until the engine's next deadline and then advances the clock for all.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from taskq import errors
from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.engine import Engine
from taskq.engine.results import IN_MEMORY
from taskq.engine.tick import Tick
from taskq.protocol.base import Failed, R, Reply, Request, may_park
from taskq.protocol.operating import Ping, Pong
from taskq.version import __version__

REPLY_TIMEOUT = 30.0  # seconds beyond the time that a request may park


class MemoryBroker:
    """A broker in this process, for tests and for programs that need no durability.

    Args:
        now: the clock of the engine, Unix time. A test passes its own, moves it, and calls `tick`.
        capacity: how many messages and bytes it keeps at most; default: no limit.
    """

    url = "memory:"
    max_payload = 64 * 2**20

    def __init__(
        self, now: Callable[[], float] = time.time, capacity: Capacity = UNBOUNDED
    ) -> None:
        self.payload_key = os.urandom(32)
        self.now = now
        self._engine = Engine(capacity, IN_MEMORY)
        self.lock = threading.Condition()
        self._connections: dict[int, MemoryConnection] = {}
        self._numbers = 0
        self._working = False  # whether a thread, the one with the lock, is inside the engine
        self._local = threading.local()
        self._started = now()
        os.register_at_fork(after_in_child=self._forked)

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """See `port.Broker.call`."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.connect()
        return cast("MemoryConnection", connection).call(request, timeout=timeout)

    def connect(
        self,
        greeting: Callable[[], Request[Any]] | None = None,
        *,
        patience: float | None = None,
    ) -> MemoryConnection:
        """See `port.Broker.connect`; there is nobody to be patient with."""
        with self.lock:
            self._numbers += 1
            connection = self._connections[self._numbers] = MemoryConnection(self, self._numbers)
        if greeting is not None:
            connection.call(greeting())
        return connection

    def close(self) -> None:
        """Close this thread's connection; the messages stay for as long as the object."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def tick(self) -> None:
        """Let the engine do what is due, as a broker does when its clock reaches a deadline."""
        with self._engine_work():
            self._settle_tick()

    # --- for the connections ----------------------------------------------------------------

    @contextmanager
    def _engine_work(self) -> Iterator[None]:
        """Have the engine for the block.

        Raises:
            BrokerUnavailable: this thread is in the middle of such a block already.
        """
        with self.lock:
            if self._working:
                raise errors.BrokerUnavailable(
                    "a signal handler called the memory: broker in the middle of another call of its "
                    "thread; let the handler set a flag, or use the embedded broker"
                )
            self._working = True
            try:
                yield
            finally:
                self._working = False

    def apply(self, number: int, request: Request[Any]) -> None:
        """Hand one request to the engine and deliver whatever it answers, to anybody."""
        with self._engine_work():
            if isinstance(request, Ping):
                pong = Pong(
                    version=__version__,
                    pid=os.getpid(),
                    directory="",
                    durability="none",
                    uptime=self.now() - self._started,
                )
                pong.rid = request.rid
                self._connections[number].deliver(pong)
            else:
                self._engine.apply(number, request, Tick(self.now(), random.random))
            self._settle_tick()

    def wait_for(self, connection: MemoryConnection, rid: int, deadline: float) -> Reply:
        """Sleep until that reply is there. Raises `BrokerTimeout`."""
        with self.lock:
            while (reply := connection.replies.pop(rid, None)) is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise errors.BrokerTimeout("the in-memory broker did not answer in time")
                due = self.seconds_left()
                self.lock.wait(left if due is None else min(left, due))
                with self._engine_work():
                    self._settle_tick()
            connection.hush()
            return reply

    def seconds_left(self) -> float | None:
        """Until the engine's next deadline; call it with the lock held."""
        due = self._engine.next_deadline()
        return None if due is None else max(due - self.now(), 0.0)

    def disconnect(self, number: int) -> None:
        """The connection has closed."""
        with self._engine_work():
            self._connections.pop(number, None)
            self._engine.disconnect(number, self.now())
            self._settle_tick()
            self.lock.notify_all()  # whoever sleeps may have an earlier deadline now

    def _settle_tick(self) -> None:
        self._engine.advance(self.now())
        self._engine.take_changes()
        replies = self._engine.take_replies()
        for number, reply in replies:
            connection = self._connections.get(number)
            if connection is not None:
                connection.deliver(reply)
        if replies:
            self.lock.notify_all()

    def _forked(self) -> None:
        # the engine of the parent is not ours to change, and its lock may be held for ever
        self.__dict__["call"] = self.__dict__["connect"] = _refuse_after_fork


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
        self._bell: tuple[int, int] | None = None
        self._closed = False

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        """Hand the request over and wait for its reply."""
        self._send(request)
        return self._receive(request, timeout)

    def pipeline(self, first: Request[R], second: Request[Any]) -> R:
        """Hand both over; wait for the first reply."""
        self._send(first)
        self._send(second)
        return self._receive(first, None)

    def send(self, request: Request[Any]) -> None:
        """Hand the request over; `receive` gives its reply."""
        self._send(request)

    def arrived(self, request: Request[Any]) -> bool:
        """Whether the reply is here already."""
        self._broker.tick()
        return request.rid in self.replies

    def receive(self, request: Request[R]) -> R:
        """Wait for the reply of a request that was sent."""
        return self._receive(request, None)

    def due(self) -> float | None:
        """When the engine has to be run again; `arrived` does."""
        with self._broker.lock:
            left = self._broker.seconds_left()
        return None if left is None else time.monotonic() + left

    def fileno(self) -> int:
        """A pipe that is readable while a reply is here."""
        with self._broker.lock:
            if self._bell is None:
                self._bell = os.pipe()
                if self.replies:
                    os.write(self._bell[1], b"!")
            return self._bell[0]

    def close(self) -> None:
        """Forget the connection."""
        if not self._closed:
            self._closed = True
            self._broker.disconnect(self._number)
            if self._bell is not None:
                for end in self._bell:
                    os.close(end)
                self._bell = None

    def deliver(self, reply: Reply) -> None:
        """A reply has come; called by the broker, with its lock held."""
        if self._bell is not None and not self.replies:
            os.write(self._bell[1], b"!")
        self.replies[reply.rid] = reply

    def hush(self) -> None:
        """A reply has been taken; called by the broker, with its lock held."""
        if self._bell is not None and not self.replies:
            os.read(self._bell[0], 1)

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
