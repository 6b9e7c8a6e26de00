"""Removes empty queues, and groups without workers, which would collect messages for ever."""

from __future__ import annotations

from msgspec.structs import replace

from taskq.engine.changes import MARKS
from taskq.engine.ledger import Ledger
from taskq.engine.model import DEFAULT_GROUP, GROUP, STATE, Consumer, Delivery, Group, Queue
from taskq.engine.operations import Steps
from taskq.engine.parking import Parking
from taskq.engine.ready import ReadyQueue
from taskq.engine.states import ENDED, State
from taskq.errors import TaskqError
from taskq.protocol.base import Done


def remove_group(ledger: Ledger, group: Group) -> Steps:
    """Remove a group and all of its deliveries, also dead and leased ones. Replies with their number.

    A worker that registers for it later, or during the removal, creates it again. After a crash the
    next broker completes the removal.

    Raises:
        TaskqError: it is `default`, or it has consumers.
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
    """Remove a delivery, also one that has ended: its record would make the group again."""
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
        TaskqError: it is `default`, or it has consumers.
    """
    place = f"the group {group.name!r} of the queue {group.queue.name!r}"
    if group.is_first:
        raise TaskqError(f"{place} gives the results, so it stays; purge forgets what waits in it")
    _refuse_if_consumed(place, _consumers_of(group))


def remove_queue(ledger: Ledger, queue: Queue) -> Done:
    """Forget a queue with its groups, their totals and its limits. Its results stay.

    How many messages it has accepted still counts in the total of the broker.

    It is made again by its next message, worker or limit.

    Raises:
        TaskqError: it has messages or dead letters, somebody works it, or producers wait for it.
    """
    refuse_if_used(queue)
    dropped = ledger.marks.dropped + sum(queue.groups[DEFAULT_GROUP].counts)
    ledger.marks = replace(ledger.marks, dropped=dropped)
    ledger.changes.put[MARKS][ledger.marks] = None
    for group in queue.groups.values():
        ledger.filling.stop(group)
        ledger.groups_to_serve.pop(group, None)
        ledger.groups_to_serve_next.pop(group, None)
        ledger.changes.remove(GROUP, group)
    queue.groups.clear()
    del ledger.queues[queue.name]
    return Done()


def refuse_if_used(queue: Queue) -> None:
    """Check that a queue may be removed.

    Raises:
        TaskqError: it has messages or dead letters, somebody works it, or producers wait for it.
    """
    place = f"the queue {queue.name!r}"
    groups = queue.groups.values()
    _refuse_if_consumed(place, {each for group in groups for each in _consumers_of(group)})
    if queue.parked:
        raise TaskqError(f"{place} has producers that wait for room; raise its limit first")
    if queue.messages.last is not None:
        waiting = sum(group.unfinished for group in groups)
        dead = sum(group.counts[State.DEAD] for group in groups)
        raise TaskqError(
            f"{place} is not empty: its groups have {waiting} messages to finish and {dead} dead "
            "letters; purge both first (taskq queue purge, taskq dlq purge)"
        )


def _consumers_of(group: Group) -> set[Consumer]:
    return {parked.consumer for parked in group.claims} | group.consumers


def _refuse_if_consumed(place: str, consumers: set[Consumer]) -> None:
    if consumers:
        number = "1 consumer" if len(consumers) == 1 else f"{len(consumers)} consumers"
        raise TaskqError(f"{place} has {number}; stop its workers first")
