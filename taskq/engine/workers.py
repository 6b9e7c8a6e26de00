"""Workers and their consumers: who is there, who has gone, and what becomes of their leases."""

from __future__ import annotations

from functools import partial
from itertools import islice
from math import inf, nextafter

from taskq.engine.beginnings import has_begun, note
from taskq.engine.handlers import Handlers, ParkedKinds
from taskq.engine.leases import lease_lost, release, stop_of
from taskq.engine.ledger import Ledger
from taskq.engine.model import GRACE, Consumer, Delivery, Group, ParkedClaim, Worker
from taskq.engine.operations import SLICE
from taskq.engine.sessions import Parked, Session
from taskq.engine.states import Event
from taskq.engine.tick import Tick
from taskq.engine.timers import MovableTimer
from taskq.protocol.consuming import Claimed, Heartbeat, HeartbeatReply, Register, Registered

UNKNOWN_LOOK = 100  # unknown tasks of one group that a worker is told at once


class ParkedHeartbeat(Parked):
    """A heartbeat that waits for something that its worker is to know."""

    __slots__ = ("worker",)

    def __init__(self, session: Session, rid: int, deadline: float, worker: Worker) -> None:
        super().__init__(session, rid, deadline)
        self.worker = worker
        worker.heartbeat = self


def worker_named(ledger: Ledger, name: str, now: float) -> Worker:
    """The worker of that name, made where it is new."""
    worker = ledger.workers.get(name)
    if worker is None:
        worker = ledger.workers[name] = Worker(
            name, MovableTimer(ledger.alarms), seen_at=now, renewed_at=now - ledger.paused
        )
        worker.timer.action = partial(_expire_leases, ledger, worker)
    return worker


def consumer_named(worker: Worker, name: str) -> Consumer:
    """The consumer of that name, made where it is new."""
    consumer = worker.consumers.get(name)
    if consumer is None:
        consumer = worker.consumers[name] = Consumer(name, worker)
    return consumer


# --- coming and going -----------------------------------------------------------------------


def register(ledger: Ledger, session: Session, request: Register, tick: Tick) -> Registered:
    """Make this connection a consumer, and release what it no longer knows to hold."""
    worker = _attach(ledger, session, request.worker, tick.now)
    consumer = consumer_named(worker, request.consumer)
    unsubscribe(consumer)
    if consumer.session is not session:
        retire(ledger, consumer)
        former = ledger.registered.get(session)
        if former is not None:
            unsubscribe(former)
            retire(ledger, former)
        consumer.session = session
        ledger.registered[session] = consumer
    consumer.tasks = None if request.tasks is None else frozenset(request.tasks)
    consumer.group = request.group
    consumer.queues = tuple(ledger.group(name, request.group) for name in request.queues)
    for group in consumer.queues:
        group.consumers.add(consumer)
    holding = set(request.holding)
    lost = [receipt for receipt in consumer.leases if receipt not in holding]
    _take_back(ledger, [consumer.leases[receipt] for receipt in lost], tick.now)
    return Registered(released=lost, epoch=ledger.epoch)


def _take_back(ledger: Ledger, held: list[Delivery], now: float) -> None:
    for delivery in held:
        ledger.revoke(delivery)
        release(ledger, delivery, now, Event.RELEASE)


def disconnect(ledger: Ledger, session: Session, now: float) -> None:
    """A connection has closed. Its leases stay, for now: the worker may return."""
    consumer = ledger.registered.get(session)
    if consumer is not None:
        unsubscribe(consumer)
        retire(ledger, consumer)
    worker = ledger.attached.pop(session, None)
    if worker is not None:
        _detach(ledger, worker, now)


def _attach(ledger: Ledger, session: Session, name: str, now: float) -> Worker:
    worker = worker_named(ledger, name, now)
    former = ledger.attached.get(session)
    if former is not worker:
        if former is not None:
            _detach(ledger, former, now)
        ledger.attached[session] = worker
        worker.sessions += 1
    worker.gone_at = inf
    return worker


def _detach(ledger: Ledger, worker: Worker, now: float) -> None:
    """One of the worker's connections has closed. Unless it returns, its leases end after a grace."""
    worker.sessions -= 1
    if worker.sessions == 0:
        worker.gone_at = now - ledger.paused
        if now + GRACE < worker.timer.when:
            worker.timer.set(now + GRACE)


def dismiss(ledger: Ledger, worker: Worker) -> None:
    """Forget a worker that holds nothing and is not connected."""
    for consumer in worker.consumers.values():
        unsubscribe(consumer)
    if ledger.workers.get(worker.name) is worker:  # not its successor of the same name
        del ledger.workers[worker.name]
    worker.timer.set(inf)


def unsubscribe(consumer: Consumer) -> None:
    """The consumer no longer counts as one of its groups."""
    for group in consumer.queues:
        group.consumers.discard(consumer)
    consumer.queues = ()


def retire(ledger: Ledger, consumer: Consumer) -> None:
    """The consumer no longer claims through its session: that one is old, or it is dead."""
    supersede(ledger, consumer)
    if consumer.session is not None:
        del ledger.registered[consumer.session]
        consumer.session = None


def supersede(ledger: Ledger, consumer: Consumer) -> None:
    """Answer the parked claim of a consumer, if there is one, with no messages."""
    parked = consumer.claim
    if parked is not None:
        withdraw(ledger, parked)
        ledger.answer(parked, Claimed(messages=[]))


def withdraw(ledger: Ledger, parked: ParkedClaim) -> None:
    """A parked claim waits no longer."""
    parked.consumer.claim = None
    for group in parked.groups:
        group.claims.pop(parked, None)


# --- heartbeats -----------------------------------------------------------------------------


def heartbeat(ledger: Ledger, session: Session, request: Heartbeat, tick: Tick) -> None:
    """Renew the leases of a worker, and park until there is something that it is to know."""
    former = ledger.attached.get(session)
    worker = _attach(ledger, session, request.worker, tick.now)
    if worker is not former:
        _remind(worker)
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
    """A worker that had fallen silent lives: what its consumers wait for may be given again."""
    if not worker.silent:
        return
    worker.silent = False
    for consumer in worker.consumers.values():
        if consumer.claim is not None:
            for group in consumer.claim.groups:
                ledger.groups_to_serve[group] = None


def _remind(worker: Worker) -> None:
    """Tell a worker on a new connection again what is to stop: the first word may be lost."""
    held = [d for consumer in worker.consumers.values() for d in consumer.leases.values()]
    worker.stops = [stop_of(delivery) for delivery in held if delivery.cancelling]
    worker.reply_due = bool(worker.stops)


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
    """The worker has had a message parked: it is told the name, once, if nobody else knows it."""
    if group.parked.counts[task] == 1 and not _is_known(group, task):
        worker.reply_due = True
        ledger.heartbeats_due[worker] = None


def _unknown_tasks(worker: Worker) -> list[str]:
    """Tasks of parked messages in the worker's queues that no consumer there knows."""
    groups = {group for consumer in worker.consumers.values() for group in consumer.queues}
    return [
        task
        for group in groups
        for task in islice(group.parked.counts, UNKNOWN_LOOK)
        if not _is_known(group, task)
    ]


def _is_known(group: Group, task: str) -> bool:
    return any(consumer.knows(task) for consumer in group.consumers)


def expire(ledger: Ledger, parked: ParkedHeartbeat, now: float) -> None:
    """Nothing has happened: answered in the same tick, so that the next heartbeat comes."""
    ledger.heartbeats_due[parked.worker] = None


def withdraw_heartbeat(ledger: Ledger, parked: ParkedHeartbeat) -> None:
    """The session has closed."""
    if parked.worker.heartbeat is parked:
        parked.worker.heartbeat = None


# --- the clock ------------------------------------------------------------------------------


def _expire_leases(ledger: Ledger, worker: Worker, now: float) -> None:
    """End the leases of a worker that have run out; the worker's timer rings here."""
    again, ended = inf, 0
    listened = now - ledger.paused  # in listening time
    gone = worker.gone_at + GRACE <= listened
    reason = "its connections were closed" if gone else "its lease ran out"
    for consumer in list(worker.consumers.values()):
        head = consumer.head or min(consumer.leases, default=0)
        for delivery in list(consumer.leases.values()):
            ends = worker.lease_ends(delivery)
            if ends > listened:
                again = min(again, ends)
                continue
            if ended >= SLICE:
                consumer.head = head
                worker.timer.set(nextafter(now, inf))  # the rest in the next tick
                return
            ended += 1
            worker.silent = True
            receipt = delivery.receipt
            ledger.revoke(delivery)
            if has_begun(delivery, receipt, consumer.began, head):
                lease_lost(ledger, delivery, f"worker {worker.name} was lost: {reason}", now)
            else:
                delivery.suspect = True
                release(ledger, delivery, now, Event.RELEASE)
        consumer.head = 0
    if gone:
        dismiss(ledger, worker)
    elif again < inf:
        worker.timer.set(again + ledger.paused)
    elif not worker.sessions and worker.gone_at == inf:
        dismiss(ledger, worker)  # the journal remembered it, and it has never come back
    elif worker.gone_at < inf:
        worker.timer.set(worker.gone_at + GRACE + ledger.paused)


HANDLERS: Handlers = {Register: register, Heartbeat: heartbeat}
PARKED: ParkedKinds = {ParkedHeartbeat: (expire, withdraw_heartbeat)}
