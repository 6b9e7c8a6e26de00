"""Whether a queue and the broker have room for more messages."""

from __future__ import annotations

import shlex
from itertools import islice

from taskq.engine.capacity import UNBOUNDED
from taskq.engine.heartbeats import is_task_known
from taskq.engine.ledger import Ledger
from taskq.engine.model import Group, Queue
from taskq.errors import PayloadTooLarge
from taskq.protocol.values import Call
from taskq.texts import one_line

NAMED = 3  # unknown tasks of a full group that the sentence names
LOOKED_AT = 100  # names of parked tasks that are looked at for it
MORE = "start more workers, wait with when_full=SECONDS, or raise the limit with: taskq queue limit"


def is_broker_full(ledger: Ledger, messages: int, size: int) -> bool:
    """Whether the broker has no room for `messages` more of `size` bytes."""
    return not ledger.capacity.has_room(ledger.message_count + messages, ledger.bytes + size)


def full_group(queue: Queue, messages: int, size: int) -> Group | None:
    """A group of the queue without room for `messages` more of `size` bytes, or `None`."""
    if queue.capacity == UNBOUNDED:
        return None
    for group in queue.groups.values():
        if not queue.capacity.has_room(group.unfinished + messages, group.unfinished_bytes + size):
            return group
    return None


def refuse_what_never_fits(ledger: Ledger, queue: Queue, calls: list[Call]) -> None:
    """Raise `PayloadTooLarge` for a call that would not even fit alone."""
    bounds = [each.bytes for each in (queue.capacity, ledger.capacity) if each.bytes]
    for call in calls if bounds else ():
        if len(call.payload) > min(bounds):
            raise PayloadTooLarge(
                f"the call {call.id} has {len(call.payload)} bytes, and the limit for all messages "
                f"of {queue.name!r} is {min(bounds)}; raise that limit, or pass less data"
            )


def why_full(ledger: Ledger, queue: Queue, messages: int, size: int) -> str:
    """A sentence that says what is full and what to do; empty if there is room."""
    offered = f"{messages} more of {size} bytes"
    group = full_group(queue, messages, size)
    if group is not None:
        place = f"in its group {group.name!r} " if len(queue.groups) > 1 else ""
        unserved = "" if group.is_first or group.consumers else _UNSERVED
        return (
            f"the queue {queue.name!r} is full: {group.unfinished} messages of "
            f"{group.unfinished_bytes} bytes {place}are to be finished, {offered} were offered, and "
            f"its limit is {queue.capacity}; {_what_to_do(queue, group)}{unserved}"
        )
    if is_broker_full(ledger, messages, size):
        groups = [group for each in ledger.queues.values() for group in each.groups.values()]
        return (
            f"the broker is full: it holds {ledger.message_count} messages of {ledger.bytes} bytes "
            f"({sum(len(group.dead) for group in groups)} dead letters), {offered} were offered, and "
            f"its limit is {ledger.capacity}; start more workers, wait with "
            "when_full=SECONDS, purge dead letters, or restart it with a higher limit"
        )
    return ""


def _what_to_do(queue: Queue, group: Group) -> str:
    """What to do about a full group. More workers do not help where none knows the tasks."""
    counts = group.parked.counts
    unknown = [task for task in islice(counts, LOOKED_AT) if not is_task_known(group, task)]
    if not unknown:
        return MORE
    count = sum(counts[task] for task in unknown)
    names = ", ".join(one_line(task) for task in unknown[:NAMED])
    advice = (
        f"{count} of them are parked, because no worker of the group {group.name!r} knows the "
        f"{'task' if len(unknown) == 1 else 'tasks'} {names}{', …' * (len(unknown) > NAMED)}: start "
        f"one that does, or give up what waits with: taskq queue purge "
        f"{shlex.quote(queue.name)} -g {shlex.quote(group.name)}"
    )
    return advice if count == group.unfinished else f"{advice}; for the others, {MORE}"


_UNSERVED = "; no worker serves that group: if it is not wanted, remove it with: taskq queue drop"
