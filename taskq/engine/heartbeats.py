"""Heartbeats: renew the leases of a worker, and report cancellations and unknown tasks to it."""

from __future__ import annotations

from itertools import islice
from math import inf

from taskq.engine.beginnings import note
from taskq.engine.handlers import Handlers, ParkedKinds
from taskq.engine.leases import stop_of
from taskq.engine.ledger import Ledger
from taskq.engine.model import Group, Worker
from taskq.engine.operations import Steps
from taskq.engine.sessions import Parked, Session
from taskq.engine.tick import Tick
from taskq.engine.workers import LOOKS_IN_A_STEP, attach
from taskq.protocol.consuming import Heartbeat, HeartbeatReply

UNKNOWN_LOOK = 100  # unknown tasks of one group in one heartbeat


class ParkedHeartbeat(Parked):
    """A heartbeat that waits until there is something to report to its worker."""

    __slots__ = ("worker",)

    def __init__(self, session: Session, rid: int, deadline: float, worker: Worker) -> None:
        super().__init__(session, rid, deadline)
        self.worker = worker
        worker.heartbeat = self


def heartbeat(ledger: Ledger, session: Session, request: Heartbeat, tick: Tick) -> None:
    """Renew the leases of a worker, and park until there is something to report to it."""
    former = ledger.attached.get(session)
    worker = attach(ledger, session, request.worker, tick.now)
    if worker is not former:
        worker.stops = []
        ledger.operations.start(0, 0, _remind(ledger, worker))
    heard(ledger, worker)
    worker.info = request.info
    for receipt in request.running:
        if receipt in ledger.leases:
            note(ledger.leases[receipt])
    worker.seen_at = tick.now
    worker.renewed_at = tick.now - ledger.paused
    at_once = worker.reply_due or request.wait <= 0
    deadline = inf if at_once else tick.now + min(request.wait, worker.renew_in)
    if worker.heartbeat is not None:  # of a connection that is lost, as the broker is yet to notice
        ledger.answer(worker.heartbeat, HeartbeatReply(renew_in=worker.renew_in))
    ParkedHeartbeat(session, request.rid, deadline, worker)
    if at_once:
        ledger.heartbeats_due[worker] = None


def heard(ledger: Ledger, worker: Worker) -> None:
    """Serve the claims of a silent worker again, since it has sent something."""
    if not worker.silent:
        return
    worker.silent = False
    for consumer in worker.consumers.values():
        if consumer.claim is not None:
            for group in consumer.claim.groups:
                ledger.groups_to_serve[group] = None


def _remind(ledger: Ledger, worker: Worker) -> Steps:
    """Report all cancellations again to a worker on a new connection: replies may be lost."""
    for consumer in list(worker.consumers.values()):
        for position, receipt in enumerate(list(consumer.leases)):
            if position % LOOKS_IN_A_STEP == LOOKS_IN_A_STEP - 1:
                yield
            delivery = consumer.leases.get(receipt)
            if delivery is not None and delivery.cancelling:
                worker.stops.append(stop_of(delivery))
                worker.reply_due = True
                ledger.heartbeats_due[worker] = None
    return None


def answer_heartbeats(ledger: Ledger) -> None:
    """Reply to the parked heartbeats that are due."""
    while ledger.heartbeats_due:
        worker, _ = ledger.heartbeats_due.popitem()
        if worker.heartbeat is None:
            continue
        reply = HeartbeatReply(
            renew_in=worker.renew_in, stop=worker.stops, unknown=_unknown_tasks(worker)
        )
        worker.stops, worker.reply_due = [], False
        ledger.answer(worker.heartbeat, reply)
        worker.heartbeat = None


def tell_unknown(ledger: Ledger, worker: Worker, group: Group, task: str) -> None:
    """Report a task to the worker that had it parked, once, if no consumer knows it."""
    if group.parked.counts[task] == 1 and not is_task_known(group, task):
        worker.reply_due = True
        ledger.heartbeats_due[worker] = None


def _unknown_tasks(worker: Worker) -> list[str]:
    """Tasks of parked messages in the worker's queues that no consumer there knows."""
    groups = {group for consumer in worker.consumers.values() for group in consumer.queues}
    return [
        task
        for group in groups
        for task in islice(group.parked.counts, UNKNOWN_LOOK)
        if not is_task_known(group, task)
    ]


def is_task_known(group: Group, task: str) -> bool:
    """Whether a consumer of the group knows a task of that name."""
    return any(consumer.knows(task) for consumer in group.consumers)


def expire(ledger: Ledger, parked: ParkedHeartbeat, now: float) -> None:
    """Answer a heartbeat at its deadline, in the same tick, so that the next one is sent."""
    ledger.heartbeats_due[parked.worker] = None


def withdraw(ledger: Ledger, parked: ParkedHeartbeat) -> None:
    """Remove the parked heartbeat of a session that has closed."""
    if parked.worker.heartbeat is parked:
        parked.worker.heartbeat = None


HANDLERS: Handlers = {Heartbeat: heartbeat}
PARKED: ParkedKinds = {ParkedHeartbeat: (expire, withdraw)}
