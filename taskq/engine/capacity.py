"""Capacity: how many messages and bytes a queue, or the broker, may hold, and whether that is left.

A queue is full when one of its consumer groups has that many messages to finish: those that are
held, scheduled, ready or leased. The broker is full when it keeps that many in memory, dead letters
included. Results count in neither. Only an enqueue asks; what was accepted always goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskq.errors import PayloadTooLarge, TaskqError

if TYPE_CHECKING:
    from taskq.engine.group import Group, Queue
    from taskq.engine.ledger import Ledger
    from taskq.protocol.values import Call


class Capacity(NamedTuple):
    """Upper bounds; 0 means none. `bytes` counts payloads."""

    messages: int = 0
    bytes: int = 0

    def checked(self) -> Capacity:
        """Itself. Raises `TaskqError` for a negative bound."""
        if self.messages < 0 or self.bytes < 0:
            raise TaskqError("a limit must be a number of at least 1, or 0 for none")
        return self

    def has_room(self, messages: int, size: int) -> bool:
        """Whether so many messages of so many bytes in all are within the bounds."""
        return not (
            (self.messages and messages > self.messages) or (self.bytes and size > self.bytes)
        )


def is_broker_full(ledger: Ledger, messages: int, size: int) -> bool:
    """Whether so much more would be too much for the broker."""
    return not ledger.capacity.has_room(len(ledger.messages) + messages, ledger.bytes + size)


def full_group(queue: Queue, messages: int, size: int) -> Group | None:
    """A group of the queue for which so much more would be too much."""
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
    """One sentence: what is full, and what to do; empty when so much more is not too much."""
    offered = f"{messages} more of {size} bytes"
    group = full_group(queue, messages, size)
    if group is not None:
        place = f"in its group {group.name!r} " if len(queue.groups) > 1 else ""
        gone = "" if group.is_first or group.consumers else _NOBODY
        return (
            f"the queue {queue.name!r} is full: {group.unfinished} messages of "
            f"{group.unfinished_bytes} bytes {place}are to be finished, {offered} were offered, and "
            f"its limit is {_bounds(queue.capacity)}; start more workers, wait with "
            f"when_full=SECONDS, or raise the limit with: taskq queue limit{gone}"
        )
    if is_broker_full(ledger, messages, size):
        groups = [group for each in ledger.queues.values() for group in each.groups.values()]
        return (
            f"the broker is full: it holds {len(ledger.messages)} messages of {ledger.bytes} bytes "
            f"({sum(len(group.dead) for group in groups)} dead letters), {offered} were offered, and "
            f"its limit is {_bounds(ledger.capacity)}; start more workers, wait with "
            "when_full=SECONDS, purge dead letters, or restart it with a higher limit"
        )
    return ""


def _bounds(capacity: Capacity) -> str:
    bounds = [f"{capacity.messages} messages"] if capacity.messages else []
    bounds += [f"{capacity.bytes} bytes"] if capacity.bytes else []
    return " and ".join(bounds)


UNBOUNDED = Capacity()
_NOBODY = "; no worker serves that group: if none shall, remove it with: taskq queue drop"
