"""Looks at messages without changing them: one by its id, or the next ones in a state."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

from taskq.engine.handlers import Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import DEFAULT_GROUP, Delivery, Group
from taskq.engine.result import Result
from taskq.engine.selecting import groups_of
from taskq.engine.sessions import Session
from taskq.engine.states import State
from taskq.engine.tick import Tick
from taskq.errors import ResultExpired, TaskqError, UnknownMessage
from taskq.protocol.operating import Peek, Peeked
from taskq.protocol.producing import Inspect, Inspected
from taskq.protocol.values import JobInfo, Preview

MAX_HEAD = 2**16  # bytes of a payload in one answer


def inspect(ledger: Ledger, session: Session, request: Inspect, tick: Tick) -> Inspected:
    """All that is known of one message."""
    message = ledger.messages.get(request.id)
    if message is not None:
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
    """What a waiter is told of an id that has no message, as an error."""
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
        finished_at=None,
        worker=consumer.worker.name if consumer else "",
        errors=delivery.errors or [],
        progress=delivery.progress,
        size=len(message.payload),
        carries_code=spec.options.carries_code,
        payload=message.payload[:head],
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


def peek(ledger: Ledger, session: Session, request: Peek, tick: Tick) -> Peeked:
    """The next messages in one state."""
    groups = groups_of(ledger, request.queue, request.group)
    labels = {state.label: state for state in State}
    state = labels.get(request.state)
    if state is None:
        raise TaskqError(f"{request.state!r} is not one of {', '.join(labels)}")
    found = islice(_in_state(ledger, groups[0], state), _bounded(request.limit))
    return Peeked(messages=[_preview(delivery) for delivery in found])


def _bounded(limit: int) -> int:
    # `islice` takes no number beyond 2**63
    return min(max(limit, 0), sys.maxsize)


def _in_state(ledger: Ledger, group: Group, state: State) -> Iterator[Delivery]:
    if state is State.READY:
        return iter(group.ready)
    if state is State.DEAD:
        return iter(group.dead.values())
    entries = (
        delivery
        for message in ledger.messages.values()
        for delivery in message.deliveries
        if delivery.group is group and delivery.state is state
    )
    return iter(sorted(entries, key=lambda entry: (entry.due_at, entry.message.seq)))


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
        is_running=consumer is not None and delivery.receipt <= consumer.began,
    )


HANDLERS: Handlers = {Inspect: inspect, Peek: peek}
