"""Requests of operators: pause, resume, purge and drop."""

from __future__ import annotations

from taskq.engine.handlers import Handlers
from taskq.engine.ledger import Ledger
from taskq.engine.model import GROUP, Group
from taskq.engine.removing import remove_group
from taskq.engine.selecting import groups_of
from taskq.engine.sessions import Session
from taskq.engine.states import WAITING
from taskq.engine.tick import Tick
from taskq.errors import TaskqError
from taskq.protocol.base import Done
from taskq.protocol.operating import Control


def control(ledger: Ledger, session: Session, request: Control, tick: Tick) -> Done:
    """Pause, resume or purge a queue, or remove one of its groups."""
    groups = groups_of(ledger, request.queue, request.group)
    if request.action == "purge":
        return Done(count=sum(_purge(ledger, group) for group in groups))
    if request.action == "drop":
        if not request.group:
            raise TaskqError("say which consumer group of the queue to drop")
        return Done(count=remove_group(ledger, groups[0]))
    if request.action not in ("pause", "resume"):
        raise TaskqError(f"{request.action!r} is not one of pause, resume, purge, drop")
    for group in groups:
        group.paused = request.action == "pause"
        ledger.changes.put[GROUP][group] = None
        ledger.groups_to_serve[group] = None
    return Done(count=len(groups))


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


HANDLERS: Handlers = {Control: control}
