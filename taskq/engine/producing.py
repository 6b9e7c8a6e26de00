"""Requests of producers: enqueue and cancel."""

from __future__ import annotations

from math import isfinite

from taskq.engine.accepting import accept
from taskq.engine.capacity import UNBOUNDED
from taskq.engine.handlers import Handlers
from taskq.engine.leases import stop_of
from taskq.engine.ledger import Ledger
from taskq.engine.limiting import enqueue_limited
from taskq.engine.model import STATE, Delivery, Queue
from taskq.engine.operations import Steps
from taskq.engine.sessions import Session
from taskq.engine.states import WAITING, Event, State
from taskq.engine.tick import Tick
from taskq.errors import PayloadTooLarge, TaskqError, UnknownMessage
from taskq.protocol.base import Reply
from taskq.protocol.producing import Cancel, Cancelled, Enqueue, Enqueued
from taskq.protocol.values import MAX_ID

MAX_PAYLOAD = 64 * 2**20
_TIMES = ("delay", "eta_at", "expires_at", "expires", "wait")
_NO_TIMES = (0.0, None, None, None, 0.0)


def enqueue(ledger: Ledger, session: Session, request: Enqueue, tick: Tick) -> Enqueued | None:
    """Accept messages; ids that are known already are left as they are.

    Where something is full: all or none with `wait=0`; else in parts, as there is room.
    """
    _check(request)
    queue = ledger.queues.get(request.queue) or Queue(request.queue)  # made when it is accepted
    if queue.capacity == UNBOUNDED == ledger.capacity and not queue.parked:
        return Enqueued(existing=accept(ledger, request, request.calls, tick.now))
    return enqueue_limited(ledger, session, queue, request, tick.now)


def _check(request: Enqueue) -> None:
    if not request.queue or not request.task:
        raise TaskqError("a message needs the name of a queue and of a task")
    options = request.options
    if not 0 <= options.priority <= 3:
        raise TaskqError(f"priority must be from 0 to 3, not {options.priority}")
    if not options.lease > 0:
        raise TaskqError(f"the lease must be longer than 0 seconds, not {options.lease}")
    if not options.result_ttl >= 0:
        raise TaskqError(f"result_ttl must be 0 seconds or more, not {options.result_ttl}")
    times = request.delay, request.eta_at, request.expires_at, request.expires, request.wait
    if times != _NO_TIMES:
        for name, seconds in zip(_TIMES, times, strict=True):
            if seconds is not None and not isfinite(seconds):
                raise TaskqError(f"{name} must be a finite number of seconds, not {seconds}")
    for call in request.calls:
        if len(call.id) > MAX_ID:
            raise TaskqError(
                f"the id of a call of {request.task} has {len(call.id):,} characters; "
                f"the broker takes {MAX_ID:,}"
            )
        if len(call.payload) > MAX_PAYLOAD:
            raise PayloadTooLarge(
                f"the call {call.id} of {request.task} has {len(call.payload)} bytes; "
                f"the broker takes {MAX_PAYLOAD}"
            )


def cancel(ledger: Ledger, session: Session, request: Cancel, tick: Tick) -> Reply | None:
    """Cancel what waits; ask what runs."""
    return ledger.operations.start(session.number, request.rid, _cancel(ledger, request, tick.now))


def _cancel(ledger: Ledger, request: Cancel, began: float) -> Steps:
    for id in () if request.missing_ok else request.ids:
        if id not in ledger.messages and ledger.results.label(id, began) == "unknown":
            raise UnknownMessage(f"no message {id!r}")
        yield
    cancelled, asked = [], []
    for id in request.ids:
        yield
        message = ledger.current(id)
        if message is None:
            continue
        filling = ledger.queues[message.spec.queue].filling
        if filling:
            ledger.filling.copy(message, filling)
        deliveries = message.deliveries
        running = [entry for entry in deliveries if entry.state is State.LEASED]
        waiting = [entry for entry in deliveries if entry.state in WAITING]
        for delivery in waiting:
            ledger.finish(delivery, Event.CANCEL, ledger.operations.time(began))
        for delivery in running:
            _ask_to_stop(ledger, delivery, request.terminate)
        if running:
            asked.append(id)
        elif waiting:
            cancelled.append(id)
    return Cancelled(cancelled=cancelled, asked=asked)


def _ask_to_stop(ledger: Ledger, delivery: Delivery, terminate: bool) -> None:
    if delivery.cancelling > terminate:
        return  # it has been asked
    delivery.cancelling = 1 + terminate
    ledger.changes.put[STATE][delivery.message] = None
    assert delivery.consumer is not None
    worker = delivery.consumer.worker
    worker.stops.append(stop_of(delivery))
    worker.reply_due = True
    ledger.heartbeats_due[worker] = None


HANDLERS: Handlers = {Enqueue: enqueue, Cancel: cancel}
