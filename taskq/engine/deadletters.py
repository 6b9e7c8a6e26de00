"""Dead letters: the calls that were given up. List, replay, purge."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from heapq import merge
from itertools import dropwhile, islice

from taskq.engine.handlers import REPLY_BYTES, Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import Delivery, Group
from taskq.engine.operations import Steps
from taskq.engine.selecting import matching_groups
from taskq.engine.sessions import Session
from taskq.engine.states import Event, State
from taskq.engine.tick import Tick
from taskq.errors import TaskqError, UnknownMessage
from taskq.protocol.base import Done, Reply
from taskq.protocol.operating import DeadLetters, ListDead, PurgeDead, Replay
from taskq.protocol.values import DeadLetter

LOOKS_IN_A_STEP = 5  # dead letters that a listing looks at in one step
MOST = 1000  # entries of one reply


def list_dead(ledger: Ledger, session: Session, request: ListDead, tick: Tick) -> Reply | None:
    """Dead letters that fit the filter, oldest first."""
    return ledger.operations.start(session.number, request.rid, _list(ledger, request))


def _list(ledger: Ledger, request: ListDead) -> Steps:
    groups = matching_groups(ledger, request.queue, request.group)
    total = sum(len(group.dead) for group in groups)
    letters: list[DeadLetter] = []
    size = 0
    for position, entry in enumerate(_from(ledger, request, groups)):
        if position % LOOKS_IN_A_STEP == LOOKS_IN_A_STEP - 1:
            yield
        if not _fits(entry, request):
            continue
        if len(letters) >= min(request.limit, MOST) or size >= REPLY_BYTES:
            return DeadLetters(entries=letters, total=total, more=True)
        letters.append(_letter(entry))
        size += len(entry.message.payload) + sum(error.size for error in entry.errors or ())
    return DeadLetters(entries=letters, total=total)


def _from(ledger: Ledger, request: ListDead, groups: list[Group]) -> Iterator[Delivery]:
    """The dead letters of all groups in the order of their deaths, from where the request says."""
    if request.id:
        yield from _of_id(ledger, request.id, groups)
        return
    later: Iterator[Delivery] = merge(
        *(_since(group, request.since) for group in groups), key=_died_at
    )
    lasts = [
        each
        for each in _of_id(ledger, request.after, groups)
        if each.group.name == request.after_group and _died_at(each) == request.since
    ]
    if lasts:
        later = dropwhile(lambda entry: entry is not lasts[-1], later)
        next(later)
    for entry in later:
        if entry.group.dead.get(entry.message.seq) is entry:  # not replayed or purged meanwhile
            yield entry


def _of_id(ledger: Ledger, id: str, groups: list[Group]) -> list[Delivery]:
    """The dead letters of that id in those groups; one group may have several."""
    return [
        entry
        for message in ledger.named(id)
        for entry in message.deliveries
        if entry.group.dead.get(message.seq) is entry and entry.group in groups
    ]


def _since(group: Group, time: float) -> Iterator[Delivery]:
    entries = list(group.dead.values())
    return islice(entries, bisect_left(entries, time, key=_died_at), None)


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


def _chosen(ledger: Ledger, request: Replay | PurgeDead) -> Iterator[Delivery | None]:
    """The dead letters that are meant, one by one; `None` for a step that found none.

    Raises:
        UnknownMessage: an id that the request names has none; nothing was changed.
    """
    groups = matching_groups(ledger, request.queue, request.group)
    for id in request.ids:
        if not _of_id(ledger, id, groups):
            raise UnknownMessage(f"no dead letter {id!r}")
        yield None
    for id in dict.fromkeys(request.ids):
        for entry in _of_id(ledger, id, groups):
            yield entry if _fits(entry, request) else None
    for group in () if request.ids else groups:
        for seq in list(group.dead):
            found = group.dead.get(seq)
            yield found if found is not None and _fits(found, request) else None


def replay(ledger: Ledger, session: Session, request: Replay, tick: Tick) -> Reply | None:
    """Put dead letters back into their queues with a fresh count of attempts."""
    if request.rate is not None and not request.rate > 0:
        raise TaskqError(f"the rate of a replay must be above 0, not {request.rate}")
    steps = _replay(ledger, request, tick.now)
    return ledger.operations.start(session.number, request.rid, steps)


def _replay(ledger: Ledger, request: Replay, now: float) -> Steps:
    count = 0
    for delivery in _chosen(ledger, request):
        yield
        if delivery is None or delivery.state is not State.DEAD:
            continue
        ledger.unbury(delivery)
        delivery.failures = delivery.deaths = 0
        delivery.suspect = False
        delivery.due_at = now  # at the end of the line
        if request.rate is None or count == 0:
            ledger.move(delivery, Event.REPLAY)
            ledger.place(delivery)
        else:
            ledger.schedule(delivery, Event.REPLAY_LATER, now + count / request.rate)
        count += 1
    return Done(count=count)


def purge_dead(ledger: Ledger, session: Session, request: PurgeDead, tick: Tick) -> Reply | None:
    """Forget dead letters."""
    return ledger.operations.start(session.number, request.rid, _purge(ledger, request))


def _purge(ledger: Ledger, request: PurgeDead) -> Steps:
    count = 0
    for delivery in _chosen(ledger, request):
        yield
        if delivery is not None and delivery.state is State.DEAD:
            ledger.drop(delivery)
            count += 1
    return Done(count=count)


HANDLERS: Handlers = {ListDead: list_dead, Replay: replay, PurgeDead: purge_dead}
