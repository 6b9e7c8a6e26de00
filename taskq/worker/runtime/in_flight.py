"""In-flight buffers of one consumer: messages not begun, outcomes not settled, receipts of both.

The main thread and the slow-task guard both take from the two deques. `popleft` and `remove` are
atomic, so each message and each outcome goes to exactly one of them, without a lock on the hot path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from taskq.protocol.values import Delivered, Outcome, Release


class InFlight:
    """The in-flight buffers of one consumer of `group`.

    Attributes:
        inbox: claimed and not begun, in the order in which they will run.
        outbox: finished and not settled.
        held: every receipt that the broker has leased to us, as far as we know.
        newest: the highest receipt that was ever claimed.
        began: `time.monotonic` at which the present batch began; 0 between batches.
        stopping: whether the consumer makes no further claims.
    """

    __slots__ = ("began", "group", "held", "inbox", "newest", "outbox", "stopping")

    def __init__(self, group: str = "default") -> None:
        self.group = group
        self.inbox: deque[Delivered] = deque()
        self.outbox: deque[Outcome] = deque()
        self.held: set[int] = set()
        self.newest = 0
        self.began = 0.0
        self.stopping = False

    def take(self, messages: list[Delivered]) -> None:
        """Put claimed messages in the inbox."""
        # a message of `ack="early"` is finished already, for the broker
        self.held.update([message.receipt for message in messages if not message.ack_early])
        if messages:
            self.newest = messages[-1].receipt  # they rise
        self.inbox.extend(messages)

    def unstarted(self) -> list[Outcome]:
        """Take out all that has not begun, to be handed back.

        What is acknowledged early stays: the broker would not give it to anyone else. It never leaves
        the inbox, not even for a moment, in which the main thread could find the inbox empty and go
        to sleep.
        """
        releases: list[Outcome] = []
        # from the end that is not the main thread's
        for message in reversed(list(self.inbox)):
            if not message.ack_early:
                with suppress(ValueError):  # the main thread has begun it meanwhile
                    self.inbox.remove(message)
                    releases.append(Release(message.receipt, message.id))
        releases.reverse()
        return releases

    def finished(self) -> list[Outcome]:
        """Take out all outcomes, to be settled."""
        outbox = self.outbox
        outcomes: list[Outcome] = []
        while outbox:
            try:
                outcomes.append(outbox.popleft())
            except IndexError:
                break
        return outcomes

    def drop(self) -> int:
        """Forget what the broker knows nothing of any more; how many messages that had not begun.

        What is acknowledged early stays, as it does everywhere: no other worker gets it.
        """
        count = len(self.unstarted())
        self.outbox.clear()
        self.held.clear()
        return count

    def settled(self, outcomes: Iterable[Outcome]) -> None:
        """The broker has these outcomes."""
        self.held.difference_update([outcome.receipt for outcome in outcomes])
