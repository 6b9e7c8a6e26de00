"""An app and a connection for tests of the worker's parts, without processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from taskq.backends.memory import MemoryBroker
from taskq.backends.port import Broker, Connection
from taskq.codec.envelope import Codec
from taskq.options.task_options import TaskOptions
from taskq.protocol.base import Request as AnyRequest
from taskq.protocol.consuming import Claim, Register, Settle
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, Delivered, Options, Outcome


class FakeTask:
    """A function with options."""

    def __init__(self, fn: Callable[..., Any], **options: Any) -> None:
        self.fn = fn
        self.queue = "q"
        self.defaults = TaskOptions().merge(options)


class FakeApp:
    """The part of a `TaskQueue` that the worker uses, on an engine in this process."""

    def __init__(self, *functions: Callable[..., Any], **options: Any) -> None:
        self.name = "q"
        self.now = 1000.0
        clock = SimpleNamespace(now=lambda: self.now, ahead=float)
        self.broker: Broker = MemoryBroker(clock)  # type: ignore[arg-type]
        self.codec = Codec(self.broker.payload_key)
        self.tasks = {fn.__name__: FakeTask(fn, **options) for fn in functions}
        self._connection: Connection | None = None

    def enqueue(self, task: str, id: str, *args: Any, **options: Any) -> None:
        """Put one call in the queue."""
        payload = self.codec.encode_call("q", id, task, args, {})
        call = Call(id, payload)
        self.broker.call(Enqueue(queue="q", task=task, options=Options(**options), calls=[call]))

    def claim(self, task: str, *args: Any, **options: Any) -> Delivered:
        """Enqueue one call and take it as a consumer would."""
        return self.claim_as("w/1", task, "id", *args, **options)

    def claim_as(self, consumer: str, task: str, id: str, *args: Any, **options: Any) -> Delivered:
        """The same, with the names of the consumer and of the message."""
        self.enqueue(task, id, *args, **options)
        if self._connection is None:
            greeting = Register(worker="w", consumer=consumer, group="default", queues=["q"])
            self._connection = self.broker.connect(lambda: greeting)
        claimed = self._connection.call(Claim(queues=["q"], n=1, wait=0.0))
        return claimed.messages[0]


class FakeConnection:
    """Records what is sent; `answer` gives the reply of each request, or raises."""

    def __init__(self, answer: Callable[[AnyRequest[Any]], Any]) -> None:
        self.sent: list[AnyRequest[Any]] = []
        self.answer = answer
        self.closed = False
        self.parked: dict[int, Any] = {}

    def call(self, request: AnyRequest[Any], *, timeout: float | None = None) -> Any:
        self.sent.append(request)
        return self.answer(request)

    def send(self, request: AnyRequest[Any]) -> None:
        self.sent.append(request)

    def turn(
        self, outcomes: Sequence[Outcome], claim: Claim | None = None, group: str = "default"
    ) -> list[int]:
        settle = Settle(outcomes=list(outcomes), group=group)
        self.sent += [settle] if claim is None else [settle, claim]
        rejected: list[int] = self.answer(settle).rejected
        return rejected

    def arrived(self, request: AnyRequest[Any]) -> bool:
        return id(request) in self.parked

    def receive(self, request: AnyRequest[Any], *, timeout: float | None = None) -> Any:
        if request not in self.sent:
            return self.call(request, timeout=timeout)
        reply = self.parked.pop(id(request))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def fileno(self) -> int:
        return 0

    def due(self) -> float | None:
        return None

    def close(self) -> None:
        self.closed = True


class FakeBroker:
    """Opens the connections that it is given; an exception in their place is raised."""

    url = "fake:"
    payload_key = b"k" * 32
    max_payload = 1024

    def __init__(self, *connections: FakeConnection | Exception) -> None:
        self.connections = list(connections)
        self.greetings: list[AnyRequest[Any]] = []

    def connect(
        self,
        greeting: Callable[[], AnyRequest[Any]] | None = None,
        greeted: Callable[[Any], None] | None = None,
        *,
        patience: float | None = None,
    ) -> FakeConnection:
        following = self.connections.pop(0)
        if isinstance(following, Exception):
            raise following
        if greeting is not None:
            self.greetings.append(greeting())
        return following

    def call(self, request: AnyRequest[Any], *, timeout: float | None = None) -> Any:
        return cast("FakeConnection", self.connections[0]).call(request)

    def close(self) -> None:
        """Nothing is open."""


class FakeAlarm:
    """Records what is asked of it."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def start(self, seconds: float) -> None:
        self.log.append(seconds)

    def stop(self) -> None:
        self.log.append("stop")
