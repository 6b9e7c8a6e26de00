"""Requests of producers about what they have enqueued: cancel, wait, inspect."""

from __future__ import annotations

from math import inf

from taskq.engine import leases
from taskq.engine.consumers import Session
from taskq.engine.ledger import Ledger
from taskq.engine.message import Delivery
from taskq.engine.results import Result
from taskq.engine.states import WAITING, Event, State
from taskq.engine.watches import Watch
from taskq.errors import UnknownMessage
from taskq.protocol.base import Done
from taskq.protocol.producing import Cancel, Cancelled, Inspect, Inspected, Unwatch, Wait, Waited
from taskq.protocol.values import Finished, JobInfo

REPLY_BYTES = 8 * 2**20  # from which on an answer carries no more; the rest comes with the next
UNCONSUMED_LOOK = 1000  # ids that are looked at to tell that nobody consumes their queue


def cancel(ledger: Ledger, session: Session, request: Cancel, now: float, draw: float) -> Cancelled:
    """Cancel what waits; ask what runs."""
    for id in () if request.missing_ok else request.ids:
        if id not in ledger.messages and ledger.results.finished(id, now).state == "unknown":
            raise UnknownMessage(f"no message {id!r}")
    cancelled, asked = [], []
    for id in request.ids:
        message = ledger.messages.get(id)
        if message is None:
            continue
        deliveries = message.deliveries
        running = [entry for entry in deliveries if entry.state is State.LEASED]
        waiting = [entry for entry in deliveries if entry.state in WAITING]
        for delivery in waiting:
            ledger.finish(delivery, Event.CANCEL, now)
        for delivery in running:
            _ask_to_stop(ledger, delivery, request.terminate)
        if running:
            asked.append(id)
        elif waiting:
            cancelled.append(id)
    return Cancelled(cancelled=cancelled, asked=asked)


def _ask_to_stop(ledger: Ledger, delivery: Delivery, terminate: bool) -> None:
    if delivery.cancelling > terminate:
        return  # it has been told
    delivery.cancelling = 1 + terminate
    ledger.changes.touched[delivery.message] = None
    assert delivery.consumer is not None
    worker = delivery.consumer.worker
    worker.stops.append(leases.stop_of(delivery))
    worker.news = True
    ledger.newsworthy[worker] = None


def wait(ledger: Ledger, session: Session, request: Wait, now: float, draw: float) -> None:
    """Park until one of the watch has finished; answered by `answer_watches` in the same tick."""
    watch = session.watches.get(request.watch)
    if watch is None:
        watch = session.watches[request.watch] = Watch(session, request.watch)
    for id in request.add:
        if id in watch.open:
            continue
        if is_open(ledger, id):
            watch.done.pop(id, None)
            ledger.watchers.add(watch, id)
        else:
            watch.done[id] = None
    if watch.rid:  # one request a watch is parked; an older one has nothing left to wait for
        ledger.replies.append(
            (session.number, Waited(finished=[], pending=watch.pending, rid=watch.rid))
        )
    watch.rid = request.rid
    watch.deadline = now + request.wait
    if watch.done or not watch.open or request.wait <= 0:
        ledger.watchers.answerable.append(watch)
    elif watch.deadline < session.alarm.when:
        session.alarm.set(watch.deadline)


def is_open(ledger: Ledger, id: str) -> bool:
    """Whether the outcome of that id is still to come."""
    message = ledger.messages.get(id)
    if message is None or not message.deliveries:
        return False
    state = message.deliveries[0].state
    return state in WAITING or state is State.LEASED


def outcome(ledger: Ledger, id: str, now: float) -> Finished:
    """The end of a message as its waiters are told."""
    message = ledger.messages.get(id)
    if message is not None and message.deliveries[0].state is State.DEAD:
        error, spec = message.deliveries[0].last_error, message.spec
        return Finished(id, State.DEAD.label, None, error, spec.queue, spec.task)
    return ledger.results.finished(id, now)


def answer_watch(ledger: Ledger, watch: Watch, now: float) -> Waited:
    """What one parked wait is told."""
    finished, looked_at = [], []
    size = 0
    for id in watch.done:
        if size >= REPLY_BYTES:
            break
        looked_at.append(id)
        if is_open(ledger, id):  # a dead letter that was replayed before anybody was told
            ledger.watchers.add(watch, id)
            continue
        entry = outcome(ledger, id, now)
        size += len(entry.value or b"") + (entry.error.size if entry.error else 0) + 100
        finished.append(entry)
    for id in looked_at:
        del watch.done[id]
    reply = Waited(finished=finished, pending=watch.pending)
    if not finished:
        reply.unconsumed = _unconsumed(ledger, watch)
    reply.rid, watch.rid, watch.deadline = watch.rid, 0, inf
    return reply


def _unconsumed(ledger: Ledger, watch: Watch) -> list[str]:
    names = set()
    for id, _ in zip(watch.open, range(UNCONSUMED_LOOK), strict=False):
        group = ledger.messages[id].deliveries[0].group
        if not group.consumers:
            names.add(group.queue.name)
    return sorted(names)


def unwatch(ledger: Ledger, session: Session, request: Unwatch, now: float, draw: float) -> Done:
    """Drop a watch."""
    watch = session.watches.pop(request.watch, None)
    if watch is not None:
        ledger.watchers.drop(watch)
    return Done()


def inspect(
    ledger: Ledger, session: Session, request: Inspect, now: float, draw: float
) -> Inspected:
    """All that is known of one message."""
    message = ledger.messages.get(request.id)
    result = ledger.results.get(request.id)
    if result is not None and result.has_expired(now):
        result = None  # the record is kept a little longer than its value, to know the id
    jobs = [] if message is None else [_live(entry) for entry in message.deliveries]
    if result is not None and message is None:
        jobs = [_ended(result)]
    if not jobs:
        raise UnknownMessage(
            f"no message {request.id!r}: it was never enqueued, was purged, or its result has expired"
        )
    return Inspected(jobs=jobs)


def _live(delivery: Delivery) -> JobInfo:
    message = delivery.message
    spec = message.spec
    consumer = delivery.consumer
    return JobInfo(
        id=message.id,
        state=delivery.state.label,
        queue=spec.queue,
        task=spec.task,
        group=delivery.group.name,
        priority=spec.options.priority,
        attempts=delivery.claims,
        deliveries=delivery.claims,
        enqueued_at=message.created_at,
        due_at=delivery.due_at,
        started_at=delivery.leased_at or None,
        finished_at=None,
        worker=consumer.worker.name if consumer else "",
        errors=delivery.errors or [],
        progress=delivery.progress,
        size=len(message.payload),
    )


def _ended(result: Result) -> JobInfo:
    spec = result.spec
    return JobInfo(
        id=result.id,
        state=result.state.label,
        queue=spec.queue,
        task=spec.task,
        group="default",
        priority=spec.options.priority,
        attempts=result.attempts,
        deliveries=result.attempts,
        enqueued_at=result.created_at,
        due_at=result.created_at,
        started_at=result.started_at or None,
        finished_at=result.finished_at,
        worker=result.worker,
        errors=[result.error] if result.error else [],
        progress=None,
        size=len(result.value or b""),
    )
