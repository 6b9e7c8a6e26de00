"""A broker that accepts everything and keeps the requests."""

from __future__ import annotations

from typing import Any

from taskq import TaskQueue
from taskq.protocol.producing import Enqueue, Enqueued


class RecordingBroker:
    """See `port.Broker`; it is its own connection."""

    url = "unix:/nowhere"
    max_payload = 64 * 2**20
    payload_key = b"k" * 32

    def __init__(self) -> None:
        self.requests: list[Enqueue] = []

    def call(self, request: Any, *, timeout: float | None = None) -> Any:
        self.requests.append(request)
        return Enqueued()

    send = call

    def receive(self, request: Any, *, timeout: float | None = None) -> Any:
        return Enqueued()

    def connect(self) -> RecordingBroker:
        return self

    def close(self) -> None: ...


def recorded_queue() -> tuple[TaskQueue, RecordingBroker]:
    """A queue, and the broker that keeps what it sends."""
    queue, broker = TaskQueue("recorded"), RecordingBroker()
    queue.use_broker(broker)  # type: ignore[arg-type]
    return queue, broker
