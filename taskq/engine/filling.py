"""Filling: gives a new consumer group every message that is alive when the group is made.

That may be a million, so it is done in slices. What would end before its turn comes is copied before it
ends, so that nothing is missing (docs/decisions/0006). Until the group is full its claims find nothing:
messages are given in their order.
"""

from __future__ import annotations

from collections.abc import Callable

from taskq.engine.changes import Changes
from taskq.engine.model import GROUP, STATE, Group, Message
from taskq.engine.operations import Operations, Steps
from taskq.engine.states import WAITING, State

_ALIVE = WAITING | {State.LEASED}


class Filling:
    """Fills groups.

    Args:
        changes: where copies are noted.
        operations: carries out the slices.
        give: makes the delivery of a message in a group.
        filled: called with a group that is full.
    """

    def __init__(
        self,
        changes: Changes,
        operations: Operations,
        give: Callable[[Message, Group], None],
        filled: Callable[[Group], None],
    ) -> None:
        self._changes = changes
        self._operations = operations
        self._give = give
        self._filled = filled

    def begin(self, group: Group, after: int = 0) -> None:
        """Start to fill a group with the messages after `after`, up to the newest one of now."""
        messages = group.queue.messages
        group.filled_to = None
        if messages.last is None or messages.last.seq <= after:
            return
        group.filled_to = after
        group.queue.filling.append(group)
        self._operations.start(0, 0, self._steps(group))

    def copy(self, message: Message, queue_filling: list[Group]) -> None:
        """Copy a message that is about to change to the groups that are being filled."""
        for group in queue_filling:
            self._copy(message, group)

    def stop(self, group: Group) -> None:
        """Stop to fill a group: it is full, or is to be removed."""
        if group in group.queue.filling:
            group.queue.filling.remove(group)
            group.filled_to = None
            self._changes.put[GROUP][group] = None
            self._filled(group)

    def _steps(self, group: Group) -> Steps:
        messages = group.queue.messages
        cursor = messages.cursor()
        try:
            while (message := cursor.step()) is not None and message.seq <= group.from_seq:
                if group.filled_to is None:
                    return None  # stopped
                self._copy(message, group)
                group.filled_to = max(message.seq, group.filled_to)
                self._changes.put[GROUP][group] = None
                yield
        finally:
            messages.release(cursor)
        self.stop(group)
        return None

    def _copy(self, message: Message, group: Group) -> None:
        if group.filled_to is None or not group.filled_to < message.seq <= group.from_seq:
            return
        alive = False
        for delivery in message.deliveries:
            if delivery.group is group:
                return
            alive = alive or delivery.state in _ALIVE
        if alive:
            self._give(message, group)
            self._changes.put[STATE][message] = None
