"""The end of workers and consumers: a `Leave`, or a reported death."""

from __future__ import annotations

from taskq.engine.handlers import Handlers
from taskq.engine.leases import fail, lease_lost, release
from taskq.engine.ledger import Ledger
from taskq.engine.model import Consumer, Worker
from taskq.engine.operations import Steps
from taskq.engine.sessions import Session
from taskq.engine.states import Event
from taskq.engine.tick import Tick
from taskq.engine.workers import dismiss, retire, revoke_held, unsubscribe
from taskq.protocol.base import Done, Reply
from taskq.protocol.consuming import Leave, Reap, Reaped
from taskq.protocol.values import Ended, ErrorInfo


def leave(ledger: Ledger, session: Session, request: Leave, tick: Tick) -> Reply | None:
    """Remove a worker that ends, and release what it holds."""
    worker = ledger.workers.get(request.worker)
    if worker is None:
        return Done()
    for consumer in worker.consumers.values():
        retire(ledger, consumer)
    dismiss(ledger, worker)  # who comes under its name while its leases end is another one
    return ledger.operations.start(session.number, request.rid, _leave(ledger, worker, tick.now))


def _leave(ledger: Ledger, worker: Worker, began: float) -> Steps:
    count = 0
    for consumer in list(worker.consumers.values()):
        # a copy: the first of a dict is found behind all that were taken out before it
        for receipt in list(consumer.leases):
            yield
            delivery = revoke_held(ledger, consumer, receipt)
            if delivery is None:
                continue
            release(ledger, delivery, ledger.operations.time(began), Event.RELEASE)
            count += 1
    return Done(count=count)


def reap(ledger: Ledger, session: Session, request: Reap, tick: Tick) -> Reply | None:
    """End the leases of a dead consumer: what it had begun is lost, the rest is released."""
    worker = ledger.workers.get(request.worker)
    consumer = worker.consumers.pop(request.consumer, None) if worker is not None else None
    if worker is None or consumer is None:
        return Reaped()
    unsubscribe(consumer)
    retire(ledger, consumer)
    steps = _reap(ledger, worker, consumer, request, tick)
    return ledger.operations.start(session.number, request.rid, steps)


def _reap(ledger: Ledger, worker: Worker, consumer: Consumer, request: Reap, tick: Tick) -> Steps:
    all_running = set(request.running)
    count = 0
    ended = []
    for receipt in list(consumer.leases):
        yield
        delivery = revoke_held(ledger, consumer, receipt)
        if delivery is None:
            continue
        count += 1
        running = receipt in all_running
        tick = Tick(ledger.operations.time(tick.now), tick.jitter)
        if running and request.cancelled:
            ledger.finish(delivery, Event.CANCEL, tick.now)
        elif running and request.timed_out:
            error = ErrorInfo("TaskTimeout", request.reason, worker=worker.name)
            fail(ledger, delivery, error, tick)
        elif running or receipt <= request.began:
            lease_lost(ledger, delivery, request.reason, tick.now)
        else:
            release(ledger, delivery, tick.now, Event.RELEASE)
            continue
        message = delivery.message
        ended.append(Ended(receipt, message.id, message.spec.task, delivery.state.label))
    return Reaped(count=count, ended=ended)


HANDLERS: Handlers = {Leave: leave, Reap: reap}
