"""Reads messages without changing them: one by its id, or the next ones in a state."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush, heappushpop
from itertools import islice

from taskq.engine.handlers import Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import DEFAULT_GROUP, Consumer, Delivery, Group
from taskq.engine.operations import Steps
from taskq.engine.result import Result
from taskq.engine.selecting import groups_of
from taskq.engine.sessions import Session
from taskq.engine.states import State
from taskq.engine.tick import Tick
from taskq.errors import ResultExpired, TaskqError, UnknownMessage
from taskq.protocol.base import Reply
from taskq.protocol.operating import Peek, Peeked
from taskq.protocol.producing import Inspect, Inspected
from taskq.protocol.values import JobInfo, Preview

MAX_HEAD = 2**16  # bytes of a payload in one answer
LOOKS_IN_A_STEP = 10  # messages that a search looks at in one step
MOST = 1000  # messages of one reply


def inspect(ledger: Ledger, session: Session, request: Inspect, tick: Tick) -> Inspected:
    """All that is known of one message."""
    message = ledger.current(request.id)
    if message is not None:
        ledger.filling.copy(message, ledger.queues[message.spec.queue].filling)
        shown = [each for each in message.deliveries if each.state is not State.PURGED]
        head = min(max(request.head, 0), MAX_HEAD)
        return Inspected(jobs=[_live(delivery, head) for delivery in shown])
    entry = ledger.results.entry(request.id)
    # the record is kept a little longer than its value, to know the id
    expired = entry is None or entry.has_expired(tick.now)
    result = None if expired else ledger.results.get(request.id)
    if result is None:
        raise _absent(ledger, request.id, tick.now)
    return Inspected(jobs=[_ended(result)])


def _absent(ledger: Ledger, id: str, now: float) -> TaskqError:
    """The error for an id that has no message."""
    if ledger.results.label(id, now) == "forgotten":
        return ResultExpired(
            f"call {id} finished and its result has expired; give the task a longer result_ttl"
        )
    return UnknownMessage(
        f"no message {id!r}: it was never enqueued, was purged, or is long forgotten"
    )


def _live(delivery: Delivery, head: int) -> JobInfo:
    message = delivery.message
    spec = message.spec
    consumer = delivery.consumer
    holder = consumer if delivery.state is State.LEASED else None
    return JobInfo(
        id=message.id,
        state=delivery.state.label,
        queue=spec.queue,
        task=spec.task,
        group=delivery.group.name,
        priority=spec.options.priority,
        attempts=delivery.attempts,
        deliveries=delivery.deliveries,
        deaths=delivery.deaths,
        enqueued_at=message.created_at,
        due_at=delivery.due_at,
        started_at=delivery.leased_at or None,
        finished_at=delivery.last_error.at if delivery.state is State.DEAD else None,
        worker=consumer.worker.name if consumer else "",
        errors=delivery.errors or [],
        progress=delivery.progress,
        size=len(message.payload),
        carries_code=spec.options.carries_code,
        payload=message.payload[:head],
        consumer=holder.name if holder else "",
        is_running=_is_running(delivery, holder),
    )


def _ended(result: Result) -> JobInfo:
    spec = result.spec
    return JobInfo(
        id=result.id,
        state=result.state.label,
        queue=spec.queue,
        task=spec.task,
        group=DEFAULT_GROUP,
        priority=spec.options.priority,
        attempts=result.attempts,
        deliveries=result.deliveries,
        deaths=result.deaths,
        enqueued_at=result.created_at,
        due_at=result.created_at,
        started_at=result.started_at or None,
        finished_at=result.finished_at,
        worker=result.worker,
        errors=[result.error] if result.error else [],
        progress=None,
        size=len(result.value or b""),
        carries_code=spec.options.carries_code,
    )


def peek(ledger: Ledger, session: Session, request: Peek, tick: Tick) -> Reply | None:
    """The next messages in one state."""
    group = groups_of(ledger, request.queue, request.group)[0]
    labels = {state.label: state for state in State}
    state = labels.get(request.state)
    if state is None:
        raise TaskqError(f"{request.state!r} is not one of {', '.join(labels)}")
    limit = min(max(request.limit, 0), MOST)
    if state is State.READY:
        return _previews(islice(group.ready, limit))
    if state is State.DEAD:
        return _previews(islice(group.dead.values(), limit))
    steps = _search(group, state, limit)
    return ledger.operations.start(session.number, request.rid, steps)


def _search(group: Group, state: State, limit: int) -> Steps:
    """Look through the messages of the queue for the first ones in a state, by their times."""
    messages = group.queue.messages
    last = messages.last
    found: list[tuple[float, int, Delivery]] = []  # a heap: the last of the first ones is on top
    looked_at = 0
    cursor = messages.cursor()
    try:
        while (message := cursor.step()) is not None and last is not None:
            if message.seq > last.seq or not limit:
                break
            for delivery in message.deliveries:
                if delivery.state is state and delivery.group is group:
                    entry = (-delivery.due_at, -message.seq, delivery)
                    (heappushpop if len(found) >= limit else heappush)(found, entry)
            looked_at += 1
            if looked_at % LOOKS_IN_A_STEP == 0:
                yield
    finally:
        messages.release(cursor)
    still = (entry for *_, entry in sorted(found, reverse=True) if entry.state is state)
    return _previews(still)


def _previews(deliveries: Iterable[Delivery]) -> Peeked:
    return Peeked(messages=[_preview(delivery) for delivery in deliveries])


def _preview(delivery: Delivery) -> Preview:
    message = delivery.message
    consumer = delivery.consumer if delivery.state is State.LEASED else None
    return Preview(
        id=message.id,
        task=message.spec.task,
        state=delivery.state.label,
        priority=message.spec.options.priority,
        attempts=delivery.attempts,
        due_at=delivery.due_at,
        size=len(message.payload),
        consumer=consumer.name if consumer else "",
        leased_at=delivery.leased_at if consumer else None,
        is_running=_is_running(delivery, consumer),
    )


def _is_running(delivery: Delivery, holder: Consumer | None) -> bool:
    return holder is not None and delivery.receipt <= holder.began


HANDLERS: Handlers = {Inspect: inspect, Peek: peek}
