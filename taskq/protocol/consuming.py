"""Requests of workers: register, claim, settle, heartbeats."""

from __future__ import annotations

from taskq.protocol.base import Done, Parkable, Reply, Request, Seconds
from taskq.protocol.values import Delivered, Ended, Outcome, Progress, Stop, WorkerInfo


class Register(Request["Registered"], kw_only=True):
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


class Registered(Reply, kw_only=True):
    """`released`: receipts that were leased to the consumer and not in its hands. `epoch`: the life of
    the broker's books. Receipts of another one mean nothing, so a consumer drops what it has claimed
    and not begun, and outcomes that are not settled."""

    released: list[int]
    epoch: str = ""


class Claim(Parkable["Claimed"], kw_only=True):
    """Claim up to `n` messages from `queues`, in that order; park for up to `wait` seconds.

    A consumer has at most one parked claim: a later claim ends it, and its reply has no messages.
    """

    queues: list[str]
    n: int


class Claimed(Reply, kw_only=True):
    """The claimed messages; none after `wait`, or where another claim has taken the place of this
    one. `drained`: no message can become ready."""

    messages: list[Delivered]
    drained: bool = False


class Begin(Request[Done], kw_only=True):
    """The consumer begins this delivery now; for those that ask for it (`Delivered.announce`).

    Fails with `LeaseLost`: then it must not begin.
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
    """`rejected`: stale receipts; their outcomes changed nothing."""

    rejected: list[int]


class Heartbeat(Parkable["HeartbeatReply"], kw_only=True):
    """Renew all leases of a worker; park until a cancellation or the end of `wait`.

    `running`: receipts of the tasks that run now.
    """

    worker: str
    info: WorkerInfo
    running: list[int] = []


class HeartbeatReply(Reply, kw_only=True):
    """`renew_in`: send the next heartbeat within so many seconds. `stop`: deliveries of this worker
    that are cancelled. `unknown`: tasks of parked messages in its queues that no consumer knows; only
    the first ones, where they are many."""

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
    """A consumer died: end its leases at once.

    `running`: receipts it was executing; these count as a delivery that was lost, or, with
    `timed_out` / `cancelled`, as a failed attempt / a cancellation. `began`: what has a receipt up to
    it had begun, and had perhaps ended; its outcome died with the consumer, so it counts as lost,
    too. The others cost nothing.
    """

    worker: str
    consumer: str
    running: list[int]
    reason: str
    timed_out: bool = False
    cancelled: bool = False
    began: int = 0


class Reaped(Reply, kw_only=True):
    """`count`: leases that the consumer had; `ended`: those it had begun, and what became of them."""

    count: int = 0
    ended: list[Ended] = []


class Leave(Request[Done], kw_only=True):
    """A worker ends: whatever it still holds is released without cost."""

    worker: str


class Extend(Request[Done], kw_only=True):
    """Make the lease of a message, in one group, last at least `seconds` from now. Fails with
    `LeaseLost`."""

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
