"""Requests of operators: pause, resume, purge and drop."""

from __future__ import annotations

from taskq.engine.handlers import Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import GROUP, Group, Queue
from taskq.engine.operations import Steps
from taskq.engine.removing import refuse_if_needed, refuse_if_used, remove_group, remove_queue
from taskq.engine.selecting import groups_of
from taskq.engine.sessions import Session
from taskq.engine.states import WAITING
from taskq.engine.tick import Tick
from taskq.errors import TaskqError
from taskq.protocol.base import Done, Reply
from taskq.protocol.operating import Control

ACTIONS = ("pause", "resume", "purge", "drop", "may_drop", "drop_queue", "may_drop_queue")


def control(ledger: Ledger, session: Session, request: Control, tick: Tick) -> Reply | None:
    """Pause, resume or purge a queue, or remove it or one of its groups."""
    if request.action not in ACTIONS:
        raise TaskqError(f"{request.action!r} is not one of {', '.join(ACTIONS)}")
    groups = groups_of(ledger, request.queue, request.group)
    if request.action == "purge":
        return ledger.operations.start(session.number, request.rid, _purge(ledger, groups))
    if request.action in ("drop_queue", "may_drop_queue"):
        return _drop_queue(ledger, request, groups[0].queue)
    if request.action in ("drop", "may_drop"):
        if not request.group:
            raise TaskqError("say which consumer group of the queue to drop")
        if request.action == "may_drop":
            refuse_if_needed(groups[0])
            return Done()
        steps = remove_group(ledger, groups[0])
        return ledger.operations.start(session.number, request.rid, steps)
    for group in groups:
        group.paused = request.action == "pause"
        ledger.changes.put[GROUP][group] = None
        ledger.groups_to_serve[group] = None
    return Done(count=len(groups))


def _drop_queue(ledger: Ledger, request: Control, queue: Queue) -> Done:
    if request.group:
        raise TaskqError(
            f"{request.action!r} is about all groups of the queue {queue.name!r}, and "
            f"{request.group!r} was named; name none, or remove that one with 'drop'"
        )
    if request.action == "drop_queue":
        return remove_queue(ledger, queue)
    refuse_if_used(queue)
    return Done()


def _purge(ledger: Ledger, groups: list[Group]) -> Steps:
    """Drop what waits in the groups of one queue; what came after the request stays."""
    queue = groups[0].queue
    last = ledger.seq
    count = 0
    cursor = queue.messages.cursor()
    try:
        while (message := cursor.step()) is not None and message.seq <= last:
            if queue.filling:
                ledger.filling.copy(message, queue.filling)
            for delivery in message.deliveries:
                if delivery.state in WAITING and delivery.group in groups:
                    ledger.drop(delivery)
                    count += 1
            yield
    finally:
        queue.messages.release(cursor)
    return Done(count=count)


HANDLERS: Handlers = {Control: control}
