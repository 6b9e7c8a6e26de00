"""Dead letters: the calls that were given up. List, replay, purge."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import dropwhile

from taskq.engine.handlers import REPLY_BYTES, Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import Delivery, Group
from taskq.engine.selecting import matching_groups
from taskq.engine.sessions import Session
from taskq.engine.states import Event
from taskq.engine.tick import Tick
from taskq.errors import TaskqError, UnknownMessage
from taskq.protocol.base import Done
from taskq.protocol.operating import DeadLetters, ListDead, PurgeDead, Replay
from taskq.protocol.values import DeadLetter


def list_dead(ledger: Ledger, session: Session, request: ListDead, tick: Tick) -> DeadLetters:
    """Dead letters that fit the filter, oldest first."""
    groups = matching_groups(ledger, request.queue, request.group)
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


def _fits(entry: Delivery, request: ListDead | Replay | PurgeDead) -> bool:
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
        attempts=entry.attempts,
        deliveries=entry.deliveries,
        enqueued_at=message.created_at,
        first_failed_at=errors[0].at,
        last_failed_at=last.at,
        errors=errors,
        deaths=entry.deaths,
    )


def _chosen(ledger: Ledger, request: Replay | PurgeDead) -> list[Delivery]:
    groups = matching_groups(ledger, request.queue, request.group)
    ids = list(dict.fromkeys(request.ids))
    if not ids:
        everything = (entry for each in groups for entry in each.dead.values())
        return [entry for entry in everything if _fits(entry, request)]
    chosen = []
    for id in ids:
        found = [each.dead[id] for each in groups if id in each.dead]
        if not found:
            raise UnknownMessage(f"no dead letter {id!r}")
        chosen += [entry for entry in found if _fits(entry, request)]
    return chosen


def replay(ledger: Ledger, session: Session, request: Replay, tick: Tick) -> Done:
    """Put dead letters back into their queues with a fresh count of attempts."""
    if request.rate is not None and not request.rate > 0:
        raise TaskqError(f"the rate of a replay must be above 0, not {request.rate}")
    chosen = _chosen(ledger, request)
    for position, delivery in enumerate(chosen):
        ledger.unbury(delivery)
        delivery.failures = delivery.deaths = 0
        delivery.suspect = False
        delivery.due_at = tick.now  # at the end of the line
        if request.rate is None or position == 0:
            ledger.move(delivery, Event.REPLAY)
            ledger.place(delivery)
        else:
            ledger.schedule(delivery, Event.REPLAY_LATER, tick.now + position / request.rate)
    return Done(count=len(chosen))


def purge_dead(ledger: Ledger, session: Session, request: PurgeDead, tick: Tick) -> Done:
    """Forget dead letters."""
    chosen = _chosen(ledger, request)
    for delivery in chosen:
        ledger.drop(delivery)
    return Done(count=len(chosen))


HANDLERS: Handlers = {ListDead: list_dead, Replay: replay, PurgeDead: purge_dead}
