"""Requests of producers: enqueue, cancel, wait, inspect."""

from __future__ import annotations

from taskq.protocol.base import Done, Parkable, Reply, Request
from taskq.protocol.values import Call, Finished, JobInfo, Options


class Enqueue(Parkable["Enqueued"], kw_only=True):
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


class Enqueued(Reply, kw_only=True):
    """The messages are in the journal. `existing`: ids that were known already.

    `rest`: so many calls, the last ones, found no room within `wait`, and were not accepted.
    """

    existing: list[str] = []
    rest: int = 0


class Cancel(Request["Cancelled"], kw_only=True):
    """Cancel messages. A running one is asked to stop; with `terminate` its process is killed.
    `missing_ok`: an unknown id is no error, and the others are cancelled."""

    ids: list[str]
    terminate: bool = False
    missing_ok: bool = False


class Cancelled(Reply, kw_only=True):
    """`cancelled` never started; `asked` were running and have been told; the rest had finished."""

    cancelled: list[str]
    asked: list[str]


class Wait(Parkable["Waited"], kw_only=True):
    """Wait until at least one message of a watch has finished.

    A watch is a set of ids that the broker keeps for this connection under the number `watch`; `add`
    puts ids in. Every finished id is reported once and leaves the watch. Answered after `wait`
    seconds in any case.
    """

    watch: int
    add: list[str]


class Waited(Reply, kw_only=True):
    """`pending`: ids still in the watch. `unconsumed`: their queues that no worker consumes."""

    finished: list[Finished]
    pending: int
    unconsumed: list[str] = []


class Unwatch(Request[Done], kw_only=True):
    """Drop a watch."""

    watch: int


class Inspect(Request["Inspected"], kw_only=True):
    """Ask for all that is known of a message; one entry a group. Fails with `UnknownMessage`."""

    id: str


class Inspected(Reply, kw_only=True):
    """The answer to `Inspect`."""

    jobs: list[JobInfo]
