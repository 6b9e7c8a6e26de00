"""Removes a consumer group: what a worker with a mistyped `-g` has made would collect for ever."""

from __future__ import annotations

from taskq.engine.group import Group
from taskq.engine.ledger import Ledger
from taskq.engine.states import State
from taskq.errors import TaskqError


def drop(ledger: Ledger, group: Group) -> int:
    """Forget a group and all its copies, dead letters and leased ones included; how many those were.

    A worker that comes to it later makes it anew.

    Raises:
        TaskqError: it is `default`, or somebody works it.
    """
    place = f"the group {group.name!r} of the queue {group.queue.name!r}"
    if group.is_first:
        raise TaskqError(f"{place} gives the results, so it stays; purge forgets what waits in it")
    consumers = {parked.consumer for parked in group.claims} | group.consumers
    if consumers:
        number = "1 consumer" if len(consumers) == 1 else f"{len(consumers)} consumers"
        raise TaskqError(f"{place} has {number}; stop its workers first")
    count = group.unfinished + group.counts[State.DEAD]
    ledger.remove_group(group)
    return count
