"""Structs nested in requests and replies."""

from __future__ import annotations

from msgspec import Struct

from taskq.protocol.backoff import Backoff

MAX_ID = 1000  # characters of the id of a message


class Options(Struct, array_like=True, frozen=True):
    """The options of a message, the same for every call of a task.

    `ack_early`: the message is finished when it is handed out. `carries_code`: the payload carries its
    function by value, so any worker can run it.
    """

    priority: int = 2
    retries: int = 0
    backoff: Backoff = Backoff()
    timeout: float | None = None
    lease: float = 30.0
    max_deliveries: int = 5
    result_ttl: float = 3600.0
    ack_early: bool = False
    carries_code: bool = False


class Call(Struct, array_like=True):
    """One message of an `Enqueue`. `id`: at most 1,000 characters."""

    id: str
    payload: bytes


class ErrorInfo(Struct, array_like=True):
    """One failed attempt. `kind` is the exception's qualified class name."""

    kind: str
    text: str
    traceback: str = ""
    pickled: bytes | None = None
    attempt: int = 0
    at: float = 0.0
    worker: str = ""

    @property
    def size(self) -> int:
        """Bytes that it adds to a reply, about."""
        return len(self.text) + len(self.traceback) + len(self.pickled or b"")


class Delivered(Struct, array_like=True):
    """One claimed message. `attempt` counts from 1; `receipt` is also the fencing token; `failures`:
    attempts that have raised. `announce`: the consumer sends `Begin` before it runs the task.
    """

    receipt: int
    id: str
    queue: str
    task: str
    payload: bytes
    attempt: int
    timeout: float | None
    lease: float
    ack_early: bool = False
    failures: int = 0
    announce: bool = False


class Ack(Struct, array_like=True, tag=True):
    """The task returned. `value` is the encoded result; `None` stores none."""

    receipt: int
    id: str
    value: bytes | None


class Fail(Struct, array_like=True, tag=True):
    """The task raised. `final`: no further attempt. `delay`: overrides the backoff of the message."""

    receipt: int
    id: str
    error: ErrorInfo
    final: bool = False
    delay: float | None = None


class Release(Struct, array_like=True, tag=True):
    """Handed back unstarted, or on shutdown: costs no attempt.

    `unknown`: the worker has no task of that name; the message is parked for one that has.
    """

    receipt: int
    id: str
    unknown: bool = False


class Abandon(Struct, array_like=True, tag=True):
    """The task stopped after a cancel request."""

    receipt: int
    id: str


Outcome = Ack | Fail | Release | Abandon


class Ended(Struct, array_like=True):
    """A delivery that ended with its consumer. `state`: where the message is now."""

    receipt: int
    id: str
    task: str
    state: str


class Stop(Struct, array_like=True):
    """A cancelled delivery, and the consumer that has it: its task is asked to stop, or killed."""

    receipt: int
    consumer: str
    kill: bool = False


class Finished(Struct, array_like=True):
    """The end of one message. `state` is a label of `engine.states.State`, or `"unknown"`, or
    `"forgotten"` (finished, and its result has expired)."""

    id: str
    state: str
    value: bytes | None = None
    error: ErrorInfo | None = None
    queue: str = ""
    task: str = ""


class WorkerInfo(Struct, array_like=True):
    """The description of a worker by its launcher."""

    host: str = ""
    pid: int = 0
    group: str = "default"
    queues: list[str] = []
    concurrency: int = 1
    version: str = ""
    python: str = ""


class QueueStats(Struct):
    """One consumer group of one queue. `held` wait for other messages, `parked` for a worker that knows
    their task; `unknown`: parked ones by task name. `failed` counts attempts, not messages; `consumers`
    the processes that claim, not workers. `bytes`: payloads.

    `unfinished_bytes`: those without the dead letters'. `max_messages`, `max_bytes`: the limits of
    the queue, 0 for none; `producers`: how many wait for room in it. `running`: leased ones
    that are known to have begun, as of the heartbeats of their workers.
    """

    queue: str
    group: str
    paused: bool
    held: int
    scheduled: int
    ready: int
    leased: int
    dead: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    purged: int
    bytes: int
    consumers: int
    oldest_ready_at: float | None
    unknown: dict[str, int]
    unfinished_bytes: int = 0
    max_messages: int = 0
    max_bytes: int = 0
    producers: int = 0
    parked: int = 0
    running: int = 0


class WorkerStats(Struct):
    """One worker: a launcher and its children. `seen_at`: its last heartbeat."""

    name: str
    info: WorkerInfo
    seen_at: float
    consumers: int
    leased: int
    tasks: int


class BrokerStats(Struct):
    """The broker as a whole. `acknowledged`: messages ever accepted by this journal. `results`: `None`
    if the broker does not count them.

    `bytes`: payloads of its messages. `max_messages`, `max_bytes`: its limits, 0 for none.
    `result_bytes`: values and errors of its results; `max_results`, `max_result_bytes`: their limits.
    `evicted_results`: how many expired early because of a limit, since the broker was started.
    """

    messages: int
    results: int | None
    acknowledged: int
    parked: int
    now: float
    bytes: int = 0
    max_messages: int = 0
    max_bytes: int = 0
    result_bytes: int = 0
    max_results: int = 0
    max_result_bytes: int = 0
    evicted_results: int = 0


class JobInfo(Struct):
    """Everything known of one message, in one group.

    `attempts`: those that the task itself ended, by returning or raising. `deliveries`: how often it
    was handed to a worker. `deaths`: workers that were lost with it. Attempts and deaths count from the
    last replay on. `payload`: its beginning, where it was asked for. `consumer`: which process has it,
    `is_running`: whether it is known to have begun there; of leased messages only.
    """

    id: str
    state: str
    queue: str
    task: str
    group: str
    priority: int
    attempts: int
    deliveries: int
    enqueued_at: float
    due_at: float
    started_at: float | None
    finished_at: float | None
    worker: str
    errors: list[ErrorInfo]
    progress: Progress | None
    size: int
    deaths: int = 0
    carries_code: bool = False
    payload: bytes = b""
    consumer: str = ""
    is_running: bool = False


class Progress(Struct, array_like=True):
    """The progress report of a running task."""

    done: float
    total: float | None = None
    note: str = ""


class DeadLetter(Struct):
    """One entry of the dead-letter queue. `errors` holds the latest attempts, oldest first."""

    id: str
    queue: str
    group: str
    task: str
    payload: bytes
    reason: str
    attempts: int
    deliveries: int
    enqueued_at: float
    first_failed_at: float
    last_failed_at: float
    errors: list[ErrorInfo]
    deaths: int = 0


class Preview(Struct):
    """One message as `taskq queue peek` shows it.

    `consumer`: which process has it, `leased_at`: since when, `is_running`: whether it is known to
    have begun; of leased messages only.
    """

    id: str
    task: str
    state: str
    priority: int
    attempts: int
    due_at: float
    size: int
    consumer: str = ""
    leased_at: float | None = None
    is_running: bool = False
