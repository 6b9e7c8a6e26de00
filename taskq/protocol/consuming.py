"""Requests of workers: register, claim, settle, heartbeats."""

from __future__ import annotations

from taskq.protocol.base import Done, Parkable, Reply, Request, Seconds
from taskq.protocol.values import Delivered, Ended, Outcome, Progress, Stop, WorkerInfo


class Register(Request["Registered"], kw_only=True):
    """Register this connection as consumer `consumer` of worker `worker`, in `group`.

    `tasks`: the names it knows; `None` means all. `holding`: receipts of the messages that it has.
    Other messages that are leased to it were lost with the reply of a claim, and are released without
    cost. Missing queues and a missing group are created.
    """

    worker: str
    consumer: str
    group: str
    queues: list[str]
    tasks: list[str] | None = None
    holding: list[int] = []


class Registered(Reply, kw_only=True):
    """The reply to `Register`. `released`: receipts that were leased to it and not in `holding`.

    `epoch`: names the state of the broker. In a new epoch old receipts are stale, so a consumer drops
    claimed messages that have not begun, and outcomes that are not settled.
    """

    released: list[int]
    epoch: str = ""


class Claim(Parkable["Claimed"], kw_only=True):
    """Claim up to `n` messages from `queues`, in that order; park for up to `wait` seconds.

    A consumer has at most one parked claim: a later claim ends it, and its reply has no messages.
    """

    queues: list[str]
    n: int


class Claimed(Reply, kw_only=True):
    """The claimed messages; none after `wait`, or if another claim of the consumer ended this one.

    `drained`: no message can become ready.
    """

    messages: list[Delivered]
    drained: bool = False


class Begin(Request[Done], kw_only=True):
    """Report that the consumer begins a delivery; required if `Delivered.announce` is set.

    Fails with `LeaseLost`; the delivery must not begin then.
    """

    receipt: int
    id: str
    group: str = "default"


class Settle(Request["Settled"], kw_only=True):
    """End deliveries of one group, on any connection. The result, the acknowledgement and the retry
    are one transaction."""

    outcomes: list[Outcome]
    group: str = "default"


class Settled(Reply, kw_only=True):
    """The reply to `Settle`. `rejected`: stale receipts, whose outcomes changed nothing."""

    rejected: list[int]


class Heartbeat(Parkable["HeartbeatReply"], kw_only=True):
    """Renew all leases of a worker; park until a cancellation or the end of `wait`.

    `running`: receipts of the tasks that run now.
    """

    worker: str
    info: WorkerInfo
    running: list[int] = []


class HeartbeatReply(Reply, kw_only=True):
    """The reply to `Heartbeat`. `renew_in`: seconds within which the next heartbeat is due.

    `stop`: deliveries of this worker that are cancelled. `unknown`: tasks of parked messages in its
    queues that no consumer knows; if there are many, only the first ones.
    """

    renew_in: float
    stop: list[Stop] = []
    unknown: list[str] = []

    @property
    def cancel(self) -> list[int]:
        """Receipts whose tasks are asked to stop."""
        return [each.receipt for each in self.stop if not each.kill]

    @property
    def terminate(self) -> list[int]:
        """Receipts whose tasks are killed."""
        return [each.receipt for each in self.stop if each.kill]


class Reap(Request["Reaped"], kw_only=True):
    """Report the death of a consumer, which ends its leases at once.

    `running`: receipts it was executing; these count as a delivery that was lost, or, with
    `timed_out` or `cancelled`, as a failed attempt or a cancellation. `began`: the newest receipt that
    it had begun. Deliveries up to it count as lost, too: they may have ended, but their outcomes died
    with the consumer. The others are released without cost.
    """

    worker: str
    consumer: str
    running: list[int]
    reason: str
    timed_out: bool = False
    cancelled: bool = False
    began: int = 0


class Reaped(Reply, kw_only=True):
    """The reply to `Reap`. `count`: leases of the consumer. `ended`: the end of those it had begun."""

    count: int = 0
    ended: list[Ended] = []


class Leave(Request[Done], kw_only=True):
    """Report the end of a worker. Messages that it still holds are released without cost."""

    worker: str


class Extend(Request[Done], kw_only=True):
    """Make the lease of a message, in one group, last at least `seconds` from now.

    Fails with `LeaseLost`.
    """

    receipt: int
    id: str
    seconds: Seconds
    group: str = "default"


class Report(Request[Done], kw_only=True):
    """Store the progress of a running message, in one group. Fails with `LeaseLost`."""

    receipt: int
    id: str
    progress: Progress
    group: str = "default"


Requests = Register | Claim | Begin | Settle | Heartbeat | Reap | Leave | Extend | Report
Replies = Registered | Claimed | Settled | HeartbeatReply | Reaped
