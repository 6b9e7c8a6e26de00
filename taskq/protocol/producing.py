"""Requests of producers: enqueue, cancel, wait, inspect."""

from __future__ import annotations

from taskq.protocol.base import Done, Parkable, Reply, Request
from taskq.protocol.values import Call, Finished, JobInfo, Options


class Enqueue(Parkable["Enqueued"], kw_only=True):
    """Enqueue messages of one task. Messages with known ids are not changed.

    `delay` starts at acceptance; `eta_at` is a Unix time; the later one applies. A message that has not
    started by `expires_at`, or within `expires` seconds after acceptance, expires.

    If the queue or the broker is full, the request fails with `QueueFull`. With `wait` it is parked up
    to that many seconds, behind earlier requests, and its calls are accepted when there is room. It
    fails if none was accepted in that time.
    """

    queue: str
    task: str
    options: Options
    calls: list[Call]
    delay: float = 0.0
    eta_at: float | None = None
    expires_at: float | None = None
    expires: float | None = None


class Enqueued(Reply, kw_only=True):
    """The reply to `Enqueue`: the messages are in the journal. `existing`: ids that were already known.

    `rest`: number of calls, at the end of the list, that were not accepted within `wait`.
    """

    existing: list[str] = []
    rest: int = 0


class Cancel(Request["Cancelled"], kw_only=True):
    """Cancel messages. A running one is asked to stop; with `terminate` its process is killed.
    `missing_ok`: ignore unknown ids."""

    ids: list[str]
    terminate: bool = False
    missing_ok: bool = False


class Cancelled(Reply, kw_only=True):
    """The reply to `Cancel`. `cancelled`: ids that had not started. `asked`: running ones that were
    asked to stop. The others had finished.
    """

    cancelled: list[str]
    asked: list[str]


class Wait(Parkable["Waited"], kw_only=True):
    """Wait until at least one message of a watch has finished.

    A watch is a set of ids that the broker keeps for this connection under the number `watch`. `add`
    adds ids. Every finished id is reported once and removed. The reply comes after `wait` seconds at
    the latest. A watch has at most one parked request: a later one ends it, and its reply has no ids.
    """

    watch: int
    add: list[str]


class Waited(Reply, kw_only=True):
    """The reply to `Wait`. `pending`: number of ids still in the watch. `unconsumed`: their queues
    without consumers.
    """

    finished: list[Finished]
    pending: int
    unconsumed: list[str] = []


class Unwatch(Request[Done], kw_only=True):
    """Remove a watch, and end the request that is parked for it: its reply has no ids."""

    watch: int


class Inspect(Request["Inspected"], kw_only=True):
    """Request the state of a message, one entry per group. Fails with `UnknownMessage`.

    `head`: bytes of the beginning of the payload that the answer contains; at most 64 KiB.
    """

    id: str
    head: int = 0


class Inspected(Reply, kw_only=True):
    """The reply to `Inspect`."""

    jobs: list[JobInfo]


Requests = Enqueue | Cancel | Wait | Unwatch | Inspect
Replies = Enqueued | Cancelled | Waited | Inspected
