"""The vocabulary of the broker: every request, and the reply that answers it.

These structs are the port between the engine and everybody else. The in-memory broker hands them to
the engine as they are; the embedded broker sends them as MessagePack (`docs/protocol.md`). A request
carries a request id, `rid`, which its reply echoes. Times are seconds: durations, unless a name ends
in `_at`, which is a Unix time. Payloads, results and errors' `pickled` are opaque bytes.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from taskq.engine.retry import Backoff

# a deadline made of infinity or NaN would never come, and upset the order of the others
Seconds = Annotated[float, Meta(ge=-1e12, le=1e12)]
"""A finite number of seconds; 0 and less mean no time at all."""


class Reply(Struct, array_like=True, tag=True, kw_only=True):
    """The root of all replies."""

    rid: int = 0


R = TypeVar("R", bound=Reply)


class Request(Struct, Generic[R], array_like=True, tag=True, kw_only=True):
    """The root of all requests; `R` is the reply that answers it."""

    rid: int = 0


class Failed(Reply):
    """The request was refused and changed nothing. `error` names a class of `taskq.errors`."""

    error: str
    text: str


class Done(Reply):
    """The request was carried out. `count`: how many messages it changed."""

    count: int = 0


# --- values -----------------------------------------------------------------------------------


class Options(Struct, array_like=True, frozen=True):
    """What the broker must know of a message, alike for every call of a task.

    `portable`: the payload carries its function by value, so any worker can run it.
    """

    priority: int = 2
    retries: int = 0
    backoff: Backoff = Backoff()
    timeout: float | None = None
    lease: float = 30.0
    max_deliveries: int = 5
    result_ttl: float = 3600.0
    early: bool = False
    portable: bool = False


class Call(Struct, array_like=True):
    """One message of an `Enqueue`."""

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
    """One claimed message. `attempt` counts from 1; `receipt` is also the fencing token."""

    receipt: int
    id: str
    queue: str
    task: str
    payload: bytes
    attempt: int
    timeout: float | None
    lease: float
    early: bool = False


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
    """Handed back unstarted, or on shutdown: costs neither an attempt nor a delivery.

    `unknown`: the worker has no task of that name; the message is parked for one that has.
    """

    receipt: int
    id: str
    unknown: bool = False


class Abandon(Struct, array_like=True, tag=True):
    """The task noticed that it was cancelled and stopped."""

    receipt: int
    id: str


Outcome = Ack | Fail | Release | Abandon


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
    """What a launcher tells about itself."""

    host: str = ""
    pid: int = 0
    group: str = "default"
    queues: list[str] = []
    concurrency: int = 1
    version: str = ""
    python: str = ""


class QueueStats(Struct):
    """One consumer group of one queue. `unknown`: parked messages by task name. `bytes`: payloads.

    `unfinished_bytes`: those without the dead letters'. `max_messages`, `max_bytes`: the limits of
    the queue, 0 for none; `producers`: how many wait for room in it.
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


class WorkerStats(Struct):
    """One worker: a launcher and its children. `seen_at`: its last heartbeat."""

    name: str
    info: WorkerInfo
    seen_at: float
    consumers: int
    leased: int
    tasks: int


class BrokerStats(Struct):
    """The broker as a whole. `acknowledged`: messages ever accepted by this journal.

    `bytes`: payloads of its messages. `max_messages`, `max_bytes`: its limits, 0 for none.
    """

    messages: int
    results: int
    acknowledged: int
    parked: int
    now: float
    bytes: int = 0
    max_messages: int = 0
    max_bytes: int = 0


class JobInfo(Struct):
    """Everything known of one message, in one group."""

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


class Progress(Struct, array_like=True):
    """How far a running task says it is."""

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


class Preview(Struct):
    """One message as `taskq queue peek` shows it."""

    id: str
    task: str
    state: str
    priority: int
    attempts: int
    due_at: float
    size: int


# --- producing --------------------------------------------------------------------------------


class Enqueue(Request["Enqueued"]):
    """Accept messages of one task. An id that is known already is left as it is.

    `delay` is counted from now; `eta_at` is a Unix time; the later of the two holds. A message that
    has not started by `expires_at`, or `expires` seconds from now, expires. For one that waits for
    room, now is when it is accepted.

    Where the queue or the broker is full, the request is refused with `QueueFull`; with `wait` it is
    parked up to so many seconds, behind those that came before, and its calls are accepted as there
    is room. It is refused if none was accepted in that time.
    """

    queue: str
    task: str
    options: Options
    calls: list[Call]
    delay: float = 0.0
    eta_at: float | None = None
    expires_at: float | None = None
    expires: float | None = None
    wait: Seconds = 0.0


class Enqueued(Reply):
    """The messages are in the journal. `existing`: ids that were known already.

    `rest`: so many calls, the last ones, found no room within `wait`, and were not accepted.
    """

    existing: list[str] = []
    rest: int = 0


class Cancel(Request["Cancelled"]):
    """Cancel messages. A running one is asked to stop; with `terminate` its process is killed.
    `missing_ok`: an unknown id is no error, and the others are cancelled."""

    ids: list[str]
    terminate: bool = False
    missing_ok: bool = False


class Cancelled(Reply):
    """`cancelled` never started; `asked` were running and have been told; the rest had finished."""

    cancelled: list[str]
    asked: list[str]


# --- waiting ----------------------------------------------------------------------------------


class Wait(Request["Waited"]):
    """Wait until at least one message of a watch has finished.

    A watch is a set of ids that the broker keeps for this connection under the number `watch`; `add`
    puts ids in. Every finished id is reported once and leaves the watch. Answered after `wait`
    seconds in any case.
    """

    watch: int
    add: list[str]
    wait: Seconds


class Waited(Reply):
    """`pending`: ids still in the watch. `unconsumed`: their queues that no worker consumes."""

    finished: list[Finished]
    pending: int
    unconsumed: list[str] = []


class Unwatch(Request[Done]):
    """Drop a watch."""

    watch: int


class Inspect(Request["Inspected"]):
    """Ask for all that is known of a message; one entry a group. Fails with `UnknownMessage`."""

    id: str


class Inspected(Reply):
    """The answer to `Inspect`."""

    jobs: list[JobInfo]


# --- consuming --------------------------------------------------------------------------------


class Register(Request[Done]):
    """This connection is consumer `consumer` of worker `worker`, in `group`.

    `tasks`: the names it knows; `None` means all. `holding`: receipts that it has in hand; what else
    is leased to it was lost on the way, with the reply of a claim, and is released without cost.
    Creates the queues and the group where missing.
    """

    worker: str
    consumer: str
    group: str
    queues: list[str]
    tasks: list[str] | None = None
    holding: list[int] = []


class Claim(Request["Claimed"]):
    """Take up to `n` messages from `queues`, tried in that order; park up to `wait` seconds."""

    queues: list[str]
    n: int
    wait: Seconds


class Claimed(Reply):
    """The claimed messages; none where the wait was over. `drained`: nothing is left to wait for."""

    messages: list[Delivered]
    drained: bool = False


class Settle(Request["Settled"]):
    """End deliveries. The result, the acknowledgement and the retry are one transaction."""

    outcomes: list[Outcome]


class Settled(Reply):
    """`rejected`: receipts that were stale; for them nothing was changed."""

    rejected: list[int]


class Heartbeat(Request["Attended"]):
    """Renew every lease of a worker; park until there is news or `wait` is over."""

    worker: str
    info: WorkerInfo
    wait: Seconds


class Attended(Reply):
    """`renew_in`: send the next heartbeat within so many seconds.
    `cancel` and `terminate`: receipts of this worker whose tasks shall stop or be killed."""

    renew_in: float
    cancel: list[int] = []
    terminate: list[int] = []


class Reap(Request[Done]):
    """A consumer died: end its leases at once.

    `running`: receipts it was executing; these count as a delivery that was lost, or, with
    `timed_out` / `cancelled`, as a failed attempt / a cancellation. The others cost nothing.
    """

    worker: str
    consumer: str
    running: list[int]
    reason: str
    timed_out: bool = False
    cancelled: bool = False


class Leave(Request[Done]):
    """A worker ends: whatever it still holds is released without cost."""

    worker: str


class Extend(Request[Done]):
    """Make one lease last at least `seconds` from now. Fails with `LeaseLost`."""

    receipt: int
    seconds: Seconds


class Report(Request[Done]):
    """Store the progress of a running message. Fails with `LeaseLost`."""

    receipt: int
    progress: Progress


# --- operating --------------------------------------------------------------------------------


class Control(Request[Done]):
    """`action`: `pause`, `resume` or `purge` a queue, in one group or (empty) in all.

    `drop` removes one group that has no consumers, with its copies; `default` stays.
    """

    queue: str
    action: str
    group: str = ""


class Limit(Request[Done]):
    """Set the limits of a queue, also before its first message. 0: none. `None`: as it is.

    `max_messages` and `max_bytes` bound what each consumer group has to finish.
    """

    queue: str
    max_messages: int | None = None
    max_bytes: int | None = None


class Peek(Request["Peeked"]):
    """Look at waiting messages without taking them, in the order in which they would run."""

    queue: str
    group: str = "default"
    state: str = "ready"
    limit: int = 20


class Peeked(Reply):
    """The answer to `Peek`."""

    messages: list[Preview]


class ListDead(Request["DeadLetters"]):
    """List dead letters, oldest first. Empty strings match everything; `error` and `task` match a
    part of the name. `since`, `after` and `after_group` go on behind an entry: its time of death,
    its id and group. If it is gone, those that died at the same instant come (again)."""

    queue: str = ""
    group: str = ""
    task: str = ""
    error: str = ""
    limit: int = 100
    id: str = ""
    since: float = 0.0
    after: str = ""
    after_group: str = ""


class DeadLetters(Reply):
    """The entries, and how many there are in all (`total` counts the queue and group, not the
    filter). `more`: the limit or the size of a reply has cut the list."""

    entries: list[DeadLetter]
    total: int
    more: bool = False


class Replay(Request[Done]):
    """Put dead letters back: those of `ids`, or all of a queue. `rate`: so many a second."""

    ids: list[str] = []
    queue: str = ""
    group: str = ""
    rate: float | None = None


class PurgeDead(Request[Done]):
    """Forget dead letters: those of `ids`, or all of a queue."""

    ids: list[str] = []
    queue: str = ""
    group: str = ""


class GetStats(Request["Stats"]):
    """Ask for all counters."""


class Stats(Reply):
    """The answer to `GetStats`."""

    broker: BrokerStats
    queues: list[QueueStats]
    workers: list[WorkerStats]


class Ping(Request["Pong"]):
    """Ask whether the broker lives."""


class Pong(Reply):
    """`version` of taskq, process id and directory of the broker."""

    version: str
    pid: int
    directory: str
    durability: str
    uptime: float


AnyRequest = (
    Enqueue
    | Cancel
    | Wait
    | Unwatch
    | Inspect
    | Register
    | Claim
    | Settle
    | Heartbeat
    | Reap
    | Leave
    | Extend
    | Report
    | Control
    | Limit
    | Peek
    | ListDead
    | Replay
    | PurgeDead
    | GetStats
    | Ping
)
AnyReply = (
    Failed
    | Done
    | Enqueued
    | Cancelled
    | Waited
    | Inspected
    | Claimed
    | Settled
    | Attended
    | Peeked
    | DeadLetters
    | Stats
    | Pong
)
