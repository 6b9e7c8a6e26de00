"""Removes a consumer group: one that nobody works would collect messages for ever."""

from __future__ import annotations

from taskq.engine.ledger import Ledger
from taskq.engine.model import GROUP, STATE, Delivery, Group
from taskq.engine.operations import Steps
from taskq.engine.parking import Parking
from taskq.engine.ready import ReadyQueue
from taskq.engine.states import ENDED, State
from taskq.errors import TaskqError
from taskq.protocol.base import Done


def remove_group(ledger: Ledger, group: Group) -> Steps:
    """Forget a group and all its copies, dead letters and leased ones included; how many those were.

    A worker that registers for it later, or during the removal, creates it again. After a crash the
    next broker completes the removal.

    Raises:
        TaskqError: it is `default`, or somebody works it.
    """
    refuse_if_needed(group)
    ledger.filling.stop(group)
    group.removing = True
    ledger.changes.put[GROUP][group] = None
    queue = group.queue
    count = group.unfinished + group.counts[State.DEAD]
    cursor = queue.messages.cursor()
    try:
        while (message := cursor.step()) is not None:
            for delivery in message.deliveries:
                if delivery.group is group:
                    _forget(ledger, delivery)
            yield
    finally:
        queue.messages.release(cursor)
    if queue.groups.get(group.name) is group:
        _remove(ledger, group)
    return Done(count=count)


def _forget(ledger: Ledger, delivery: Delivery) -> None:
    """One that has ended goes, too: the journal's record of it would make the group again."""
    message = delivery.message
    filling = delivery.group.queue.filling
    if filling:  # while it still counts as alive
        ledger.filling.copy(message, filling)
    if delivery.state is State.LEASED:
        ledger.revoke(delivery)
    message.deliveries = tuple(each for each in message.deliveries if each is not delivery)
    if delivery.state not in ENDED:
        ledger.drop(delivery)
    else:
        ledger.changes.put[STATE][message] = None
        ledger.retire(message)


def _remove(ledger: Ledger, group: Group) -> None:
    queue = group.queue
    del queue.groups[group.name]
    ledger.groups_to_serve.pop(group, None)
    ledger.changes.remove(GROUP, group)
    # the deliveries refer to the group: they go without the collector's help
    group.ready, group.parked = ReadyQueue(), Parking()
    group.dead.clear()
    for consumer in group.consumers:
        again = ledger.group(queue.name, group.name)
        consumer.queues = tuple(again if each is group else each for each in consumer.queues)
        again.consumers.add(consumer)
    for parked in group.claims:
        again = ledger.group(queue.name, group.name)
        parked.groups = [again if each is group else each for each in parked.groups]
        again.claims[parked] = None
        ledger.groups_to_serve[again] = None


def refuse_if_needed(group: Group) -> None:
    """Check that a group may be removed.

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
