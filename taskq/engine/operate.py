"""Requests of operators: pause, resume, purge, drop, peek, dead letters, statistics."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import dropwhile, islice

from taskq.engine.capacity import Capacity
from taskq.engine.consumers import Session
from taskq.engine.forget import drop
from taskq.engine.group import DEFAULT_GROUP, Group
from taskq.engine.ledger import Ledger
from taskq.engine.message import Delivery
from taskq.engine.produce import REPLY_BYTES
from taskq.engine.states import WAITING, Event, State
from taskq.errors import TaskqError, UnknownMessage
from taskq.protocol.base import Done
from taskq.protocol.operating import (
    Control,
    DeadLetters,
    GetStats,
    Limit,
    ListDead,
    Peek,
    Peeked,
    PurgeDead,
    Replay,
    Stats,
)
from taskq.protocol.values import BrokerStats, DeadLetter, Preview, QueueStats, WorkerStats


def control(ledger: Ledger, session: Session, request: Control, now: float, draw: float) -> Done:
    """Pause, resume or purge a queue, or remove one of its groups."""
    groups = _groups_of(ledger, request.queue, request.group)
    if request.action == "purge":
        return Done(count=sum(_purge(ledger, group) for group in groups))
    if request.action == "drop":
        if not request.group:
            raise TaskqError("say which consumer group of the queue to drop")
        return Done(count=drop(ledger, groups[0]))
    if request.action not in ("pause", "resume"):
        raise TaskqError(f"{request.action!r} is not one of pause, resume, purge, drop")
    for group in groups:
        group.paused = request.action == "pause"
        ledger.changes.groups[group] = None
        ledger.awake[group] = None
    return Done(count=len(groups))


def limit(ledger: Ledger, session: Session, request: Limit, now: float, draw: float) -> Done:
    """Set the capacity of a queue, which need not exist yet. What it has already stays."""
    if not request.queue:
        raise TaskqError("a limit needs the name of a queue")
    queue = ledger.queue(request.queue)
    old = queue.capacity
    queue.capacity = Capacity(
        old.messages if request.max_messages is None else request.max_messages,
        old.bytes if request.max_bytes is None else request.max_bytes,
    ).checked()
    ledger.changes.groups[queue.groups[DEFAULT_GROUP]] = None
    return Done(count=1)


def _purge(ledger: Ledger, group: Group) -> int:
    waiting = [
        delivery
        for message in list(ledger.messages.values())
        for delivery in message.deliveries
        if delivery.group is group and delivery.state in WAITING
    ]
    for delivery in waiting:
        ledger.drop(delivery)
    return len(waiting)


def _groups_of(ledger: Ledger, queue: str, group: str) -> list[Group]:
    """The named group of one queue, or all of them. Raises `TaskqError` if there is none."""
    if queue not in ledger.queues:
        names = ", ".join(sorted(ledger.queues)) or "none yet"
        raise TaskqError(f"there is no queue {queue!r}; this broker has {names}")
    groups = _groups(ledger, queue, group)
    if not groups:
        names = ", ".join(sorted(ledger.queues[queue].groups))
        raise TaskqError(f"the queue {queue!r} has no consumer group {group!r}; it has {names}")
    return groups


def _groups(ledger: Ledger, queue: str, group: str) -> list[Group]:
    return [
        entry
        for each in ledger.queues.values()
        if not queue or each.name == queue
        for entry in each.groups.values()
        if not group or entry.name == group
    ]


def peek(ledger: Ledger, session: Session, request: Peek, now: float, draw: float) -> Peeked:
    """The next messages in one state."""
    groups = _groups_of(ledger, request.queue, request.group)
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
    return Preview(
        id=message.id,
        task=message.spec.task,
        state=delivery.state.label,
        priority=message.spec.options.priority,
        attempts=delivery.claims,
        due_at=delivery.due_at,
        size=len(message.payload),
    )


# --- dead letters -------------------------------------------------------------------------------


def list_dead(
    ledger: Ledger, session: Session, request: ListDead, now: float, draw: float
) -> DeadLetters:
    """Dead letters that fit the filter, oldest first."""
    groups = _groups(ledger, request.queue, request.group)
    total = sum(len(group.dead) for group in groups)
    letters: list[DeadLetter] = []
    size = 0
    for entry in _from(request, groups):
        if not _fits(entry, request):
            continue
        if len(letters) >= request.limit or size >= REPLY_BYTES:
            return DeadLetters(entries=letters, total=total, more=True)
        letters.append(_letter(entry))
        size += len(entry.message.payload) + sum(error.size for error in entry.errors or ())
    return DeadLetters(entries=letters, total=total)


def _from(request: ListDead, groups: list[Group]) -> Iterator[Delivery]:
    """The dead letters of all groups in the order of their deaths, from where the request says."""
    if request.id:
        yield from (group.dead[request.id] for group in groups if request.id in group.dead)
        return
    entries = merge(*(group.dead.values() for group in groups), key=_died_at)
    later = dropwhile(lambda entry: _died_at(entry) < request.since, entries)
    lasts = [g.dead[request.after] for g in groups if request.after in g.dead]
    last = next((each for each in lasts if each.group.name == request.after_group), None)
    if last is not None and _died_at(last) == request.since:
        later = dropwhile(lambda entry: entry is not last, later)
        next(later)
    yield from later


def _died_at(entry: Delivery) -> float:
    return entry.last_error.at


def _fits(entry: Delivery, request: ListDead) -> bool:
    error = entry.last_error
    return (
        request.task in entry.message.spec.task and request.error in f"{error.kind}: {error.text}"
    )


def _letter(entry: Delivery) -> DeadLetter:
    message = entry.message
    errors = entry.errors or []
    last = entry.last_error
    return DeadLetter(
        id=message.id,
        queue=message.spec.queue,
        group=entry.group.name,
        task=message.spec.task,
        payload=message.payload,
        reason=f"{last.kind}: {last.text}" if last.text else last.kind,
        attempts=entry.claims,
        deliveries=entry.claims,
        enqueued_at=message.created_at,
        first_failed_at=errors[0].at,
        last_failed_at=last.at,
        errors=errors,
    )


def _chosen(ledger: Ledger, ids: Iterable[str], queue: str, group: str) -> list[Delivery]:
    groups = _groups(ledger, queue, group)
    ids = list(dict.fromkeys(ids))
    if not ids:
        return [entry for each in groups for entry in each.dead.values()]
    chosen = []
    for id in ids:
        found = [each.dead[id] for each in groups if id in each.dead]
        if not found:
            raise UnknownMessage(f"no dead letter {id!r}")
        chosen += found
    return chosen


def replay(ledger: Ledger, session: Session, request: Replay, now: float, draw: float) -> Done:
    """Put dead letters back into their queues with a fresh count of attempts."""
    if request.rate is not None and not request.rate > 0:
        raise TaskqError(f"the rate of a replay must be above 0, not {request.rate}")
    chosen = _chosen(ledger, request.ids, request.queue, request.group)
    for position, delivery in enumerate(chosen):
        ledger.exhume(delivery)
        delivery.claims = delivery.failures = 0
        delivery.due_at = now  # at the end of the line
        if request.rate is None or position == 0:
            ledger.move(delivery, Event.REPLAY)
            ledger.place(delivery)
        else:
            ledger.schedule(delivery, Event.REPLAY_LATER, now + position / request.rate)
    return Done(count=len(chosen))


def purge_dead(
    ledger: Ledger, session: Session, request: PurgeDead, now: float, draw: float
) -> Done:
    """Forget dead letters."""
    chosen = _chosen(ledger, request.ids, request.queue, request.group)
    for delivery in chosen:
        ledger.drop(delivery)
    return Done(count=len(chosen))


# --- statistics ---------------------------------------------------------------------------------


def stats(ledger: Ledger, session: Session, request: GetStats, now: float, draw: float) -> Stats:
    """All counters; the cost depends on the number of queues and workers, not of messages."""
    groups = _groups(ledger, "", "")
    broker = BrokerStats(
        messages=len(ledger.messages),
        results=len(ledger.results),
        acknowledged=sum(sum(group.counts) + group.purged for group in groups if group.is_first),
        parked=sum(group.counts[State.HELD] for group in groups),
        now=now,
        bytes=ledger.bytes,
        max_messages=ledger.capacity.messages,
        max_bytes=ledger.capacity.bytes,
    )
    workers = [
        WorkerStats(
            name=worker.name,
            info=worker.info,
            seen_at=worker.seen_at,
            consumers=len(worker.consumers),
            leased=worker.leased,
            tasks=worker.finished,
        )
        for worker in ledger.workers.values()
    ]
    return Stats(broker=broker, queues=[_group_stats(group) for group in groups], workers=workers)


def _group_stats(group: Group) -> QueueStats:
    counts = group.counts
    return QueueStats(
        queue=group.queue.name,
        group=group.name,
        paused=group.paused,
        held=counts[State.HELD],
        scheduled=counts[State.SCHEDULED],
        ready=counts[State.READY],
        leased=counts[State.LEASED],
        dead=counts[State.DEAD],
        succeeded=counts[State.SUCCEEDED],
        failed=group.failed,
        cancelled=counts[State.CANCELLED],
        expired=counts[State.EXPIRED],
        purged=group.purged,
        bytes=group.bytes,
        consumers=len(group.consumers),
        oldest_ready_at=group.ready.oldest(),
        unknown=dict(group.unknown),
        unfinished_bytes=group.unfinished_bytes,
        max_messages=group.queue.capacity.messages,
        max_bytes=group.queue.capacity.bytes,
        producers=len(group.queue.offers),
    )
