"""Finds the consumer groups that a request of an operator means."""

from __future__ import annotations

from taskq.engine.ledger import Ledger
from taskq.engine.model import Group
from taskq.errors import TaskqError


def groups_of(ledger: Ledger, queue: str, group: str) -> list[Group]:
    """The named group of one queue, or all of them. Raises `TaskqError` if there is none."""
    if queue not in ledger.queues:
        names = ", ".join(sorted(ledger.queues)) or "none yet"
        raise TaskqError(f"there is no queue {queue!r}; this broker has {names}")
    found = matching_groups(ledger, queue, group)
    if not found:
        names = ", ".join(sorted(ledger.queues[queue].groups))
        raise TaskqError(f"the queue {queue!r} has no consumer group {group!r}; it has {names}")
    return found


def matching_groups(ledger: Ledger, queue: str = "", group: str = "") -> list[Group]:
    """The groups of that queue and name; empty strings match everything."""
    return [
        entry
        for each in ledger.queues.values()
        if not queue or each.name == queue
        for entry in each.groups.values()
        if not group or entry.name == group
    ]
