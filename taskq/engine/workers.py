"""Workers and their consumers: registration, lost connections, and leases."""

from __future__ import annotations

from functools import partial
from math import inf, nextafter

from taskq.engine.beginnings import has_begun
from taskq.engine.handlers import Handlers
from taskq.engine.leases import lease_lost, release
from taskq.engine.ledger import Ledger
from taskq.engine.model import GRACE, Consumer, Delivery, ParkedClaim, Worker
from taskq.engine.operations import Steps
from taskq.engine.sessions import Session
from taskq.engine.states import Event
from taskq.engine.tick import Tick
from taskq.engine.timers import MovableTimer
from taskq.protocol.base import Reply
from taskq.protocol.consuming import Claimed, Register, Registered

LOOKS_IN_A_STEP = 5  # leases


def worker_named(ledger: Ledger, name: str, now: float) -> Worker:
    """The worker of that name; a new one is made."""
    worker = ledger.workers.get(name)
    if worker is None:
        worker = ledger.workers[name] = Worker(
            name, MovableTimer(ledger.alarms), seen_at=now, renewed_at=now - ledger.paused
        )
        worker.timer.action = partial(_look_at_leases, ledger, worker)
    return worker


def consumer_named(worker: Worker, name: str) -> Consumer:
    """The consumer of that name; a new one is made."""
    consumer = worker.consumers.get(name)
    if consumer is None:
        consumer = worker.consumers[name] = Consumer(name, worker)
    return consumer


# --- coming and going -----------------------------------------------------------------------


def register(ledger: Ledger, session: Session, request: Register, tick: Tick) -> Reply | None:
    """Make this connection a consumer, and release the leases that it does not hold any more."""
    worker = attach(ledger, session, request.worker, tick.now)
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
    if consumer.claim is not None:  # it may know more tasks than before
        for group in consumer.claim.groups:
            ledger.groups_to_serve[group] = None
    steps = _take_back(ledger, consumer, set(request.holding), tick.now)
    return ledger.operations.start(session.number, request.rid, steps)


def _take_back(ledger: Ledger, consumer: Consumer, holding: set[int], began: float) -> Steps:
    released = []
    for position, receipt in enumerate(list(consumer.leases)):
        if position % LOOKS_IN_A_STEP == LOOKS_IN_A_STEP - 1:
            yield
        if receipt in holding:
            continue
        yield
        delivery = revoke_held(ledger, consumer, receipt)
        if delivery is None:
            continue
        release(ledger, delivery, ledger.operations.time(began), Event.RELEASE)
        released.append(receipt)
    return Registered(released=released, epoch=ledger.epoch)


def revoke_held(ledger: Ledger, consumer: Consumer, receipt: int) -> Delivery | None:
    """Take a delivery away from its consumer; `None` if it was settled between two slices."""
    delivery = consumer.leases.get(receipt)
    if delivery is not None:
        ledger.revoke(delivery)
    return delivery


def disconnect(ledger: Ledger, session: Session, now: float) -> None:
    """Unregister the consumer of a closed connection. Its leases stay: it may reconnect."""
    consumer = ledger.registered.get(session)
    if consumer is not None:
        unsubscribe(consumer)
        retire(ledger, consumer)
    worker = ledger.attached.pop(session, None)
    if worker is not None:
        _detach(ledger, worker, now)


def attach(ledger: Ledger, session: Session, name: str, now: float) -> Worker:
    """This connection is one of the worker of that name."""
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
    """Note a closed connection. Without any, the leases of the worker end after `GRACE`."""
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
    """Remove the consumer from its groups."""
    for group in consumer.queues:
        group.consumers.discard(consumer)
    consumer.queues = ()


def retire(ledger: Ledger, consumer: Consumer) -> None:
    """Detach the consumer from its session, which is replaced or closed, and end its claim."""
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
    """Remove a parked claim."""
    parked.consumer.claim = None
    for group in parked.groups:
        group.claims.pop(parked, None)


# --- the clock ------------------------------------------------------------------------------


def _look_at_leases(ledger: Ledger, worker: Worker, now: float) -> None:
    """A lease of that worker may have run out; the worker's timer rings here."""
    if worker.ending:
        worker.timer.set(nextafter(now, inf))  # again, behind those that are under way
        return
    worker.ending = True
    ledger.operations.start(0, 0, _end_leases(ledger, worker, now))


def _end_leases(ledger: Ledger, worker: Worker, began: float) -> Steps:
    """End the leases of a worker that have run out; there may be many others."""
    again = inf
    for consumer in list(worker.consumers.values()):
        receipts = list(consumer.leases)
        head = receipts[0] if receipts else 0  # they rise
        for position, receipt in enumerate(receipts):
            if position % LOOKS_IN_A_STEP == LOOKS_IN_A_STEP - 1:
                yield
            delivery = consumer.leases.get(receipt)
            if delivery is None:
                continue  # settled meanwhile
            now = ledger.operations.time(began)
            ends = worker.lease_ends(delivery)
            if ends > now - ledger.paused:
                again = min(again, ends)
                continue
            _end_lease(ledger, delivery, head, now)
            yield
    worker.ending = False
    _look_again(ledger, worker, again, ledger.operations.time(began))
    return None


def _end_lease(ledger: Ledger, delivery: Delivery, head: int, now: float) -> None:
    consumer, receipt = delivery.consumer, delivery.receipt
    assert consumer is not None
    worker = consumer.worker
    worker.silent = True
    ledger.revoke(delivery)
    if has_begun(delivery, receipt, consumer.began, head):
        gone = _is_gone(ledger, worker, now)
        reason = "its connections were closed" if gone else "its lease ran out"
        lease_lost(ledger, delivery, f"worker {worker.name} was lost: {reason}", now)
    else:
        delivery.suspect = True
        release(ledger, delivery, now, Event.RELEASE)


def _is_gone(ledger: Ledger, worker: Worker, now: float) -> bool:
    return worker.gone_at + GRACE <= now - ledger.paused


def _look_again(ledger: Ledger, worker: Worker, ends: float, now: float) -> None:
    """Forget a worker that has nothing and does not come back; else look again in time.

    Args:
        ends: when the first lease ends of those that were looked at, in listening time.
    """
    has_leases = any(consumer.leases for consumer in worker.consumers.values())
    if not has_leases:
        # the journal remembered it, and it has never come back
        unseen = not worker.sessions and worker.gone_at == inf
        if unseen or _is_gone(ledger, worker, now):
            dismiss(ledger, worker)
            return
    again = min(ends, worker.gone_at + GRACE) + ledger.paused
    if again < worker.timer.when:  # which may have been set for later leases
        worker.timer.set(again)


HANDLERS: Handlers = {Register: register}
