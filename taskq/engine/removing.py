"""Removes a consumer group: one that nobody works would collect messages for ever."""

from __future__ import annotations

from taskq.engine.ledger import Ledger
from taskq.engine.model import GROUP, STATE, Group
from taskq.engine.parking import Parking
from taskq.engine.ready import ReadyQueue
from taskq.engine.states import ENDED, State
from taskq.errors import TaskqError


def remove_group(ledger: Ledger, group: Group) -> int:
    """Forget a group and all its copies, dead letters and leased ones included; how many those were.

    A worker that comes to it later makes it anew.

    Raises:
        TaskqError: it is `default`, or somebody works it.
    """
    _refuse_if_needed(group)
    count = group.unfinished + group.counts[State.DEAD]
    for lease in [each for each in ledger.leases.values() if each.group is group]:
        ledger.revoke(lease)
    for message in list(ledger.messages.values()):
        for delivery in message.deliveries:
            if delivery.group is group:
                # one that has ended goes, too: the journal's record of it would make the group again
                message.deliveries = tuple(d for d in message.deliveries if d is not delivery)
                if delivery.state not in ENDED:
                    ledger.drop(delivery)
                else:
                    ledger.changes.put[STATE][message] = None
                    ledger.retire(message)
                break
    del group.queue.groups[group.name]
    ledger.groups_to_serve.pop(group, None)
    ledger.changes.remove(GROUP, group)
    # the deliveries refer to the group: they go without the collector's help
    group.ready, group.parked = ReadyQueue(), Parking()
    group.dead.clear()
    return count


def _refuse_if_needed(group: Group) -> None:
    place = f"the group {group.name!r} of the queue {group.queue.name!r}"
    if group.is_first:
        raise TaskqError(f"{place} gives the results, so it stays; purge forgets what waits in it")
    consumers = {parked.consumer for parked in group.claims} | group.consumers
    if consumers:
        number = "1 consumer" if len(consumers) == 1 else f"{len(consumers)} consumers"
        raise TaskqError(f"{place} has {number}; stop its workers first")
