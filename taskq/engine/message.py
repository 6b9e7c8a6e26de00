"""A message, and its deliveries: one for each consumer group of its queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from taskq.engine.states import State
from taskq.protocol.values import ErrorInfo, Options, Progress

if TYPE_CHECKING:
    from taskq.engine.consumers import Consumer
    from taskq.engine.group import Group

MAX_ERRORS = 20  # attempts whose errors are kept; the latest ones


class Spec:
    """What the calls of one task share: stored with each message, held in memory once.

    `uses` counts the live messages; `raw` is the journal's encoding of it, made once.
    """

    __slots__ = ("options", "queue", "raw", "task", "uses")

    def __init__(self, queue: str, task: str, options: Options) -> None:
        self.queue = queue
        self.task = task
        self.options = options
        self.uses = 0
        self.raw = msgspec.Raw(msgspec.msgpack.encode((queue, task, options)))


class Message:
    """One accepted call. Nothing here changes after `enqueue`, but for the tuple of deliveries.

    `seq` is its place in the order of acceptance and its key in the journal. `stored` is the
    journal's own mark: the row has been written.
    """

    __slots__ = (
        "created_at",
        "deliveries",
        "due_at",
        "expires_at",
        "id",
        "payload",
        "seq",
        "spec",
        "stored",
    )

    def __init__(
        self,
        seq: int,
        id: str,
        spec: Spec,
        payload: bytes,
        created_at: float,
        due_at: float,
        expires_at: float | None,
    ) -> None:
        self.seq = seq
        self.id = id
        self.spec = spec
        self.payload = payload
        self.created_at = created_at
        self.due_at = due_at
        self.expires_at = expires_at
        self.deliveries: tuple[Delivery, ...] = ()
        self.stored = False


class Delivery:
    """One message in one consumer group; `state` moves by the table of `engine.states` alone.

    `claims` counts how often it was handed out, less what was handed back; `failures` counts the
    attempts that raised. The difference are workers that were lost and, while it is leased, the
    one that has it. `cancelling`: its consumer shall stop (1) or be killed (2). `extended_to`: its
    lease lasts at least until then.
    """

    __slots__ = (
        "cancelling",
        "claims",
        "consumer",
        "due_at",
        "errors",
        "extended_to",
        "failures",
        "group",
        "leased_at",
        "message",
        "progress",
        "receipt",
        "state",
    )

    def __init__(self, message: Message, group: Group, state: State, due_at: float) -> None:
        self.message = message
        self.group = group
        self.state = state
        self.due_at = due_at
        self.claims = 0
        self.failures = 0
        self.receipt = 0
        self.leased_at: float = 0.0
        self.consumer: Consumer | None = None
        self.errors: list[ErrorInfo] | None = None
        self.progress: Progress | None = None
        self.cancelling = 0
        self.extended_to = 0.0

    @property
    def started(self) -> bool:
        """Whether an attempt has begun, in this life or before a replay."""
        return self.claims > 0 or self.errors is not None

    @property
    def last_error(self) -> ErrorInfo:
        """The latest failed attempt. A dead letter has one: nothing dies without an error."""
        assert self.errors
        return self.errors[-1]

    def add_error(self, error: ErrorInfo) -> None:
        """Remember one failed attempt; the oldest is dropped past `MAX_ERRORS`."""
        kept = self.errors or []
        self.errors = [*kept[-(MAX_ERRORS - 1) :], error]
