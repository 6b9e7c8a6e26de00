"""Queues and their consumer groups."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from taskq.engine.capacity import UNBOUNDED
from taskq.engine.message import Delivery
from taskq.engine.ready import Lane, ReadyQueue
from taskq.engine.states import State

if TYPE_CHECKING:
    from taskq.engine.consumers import Consumer, ParkedClaim
    from taskq.engine.enqueue import ParkedEnqueue

DEFAULT_GROUP = "default"


class Queue:
    """A named queue. Its first group, `default`, gives the results.

    `offers`: producers that wait for room, first come first.
    """

    __slots__ = ("capacity", "groups", "name", "offers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.groups: dict[str, Group] = {}
        self.capacity = UNBOUNDED
        self.offers: OrderedDict[ParkedEnqueue, None] = OrderedDict()


class Group:
    """One consumer group of one queue: what it has ready, parked and dead, and its counters.

    `counts` is indexed by `State`: messages that are in that state now, or, for succeeded,
    cancelled and expired, that have ever reached it. `from_seq`: the last message accepted before
    the group was made; those up to it belong to the group only if they were alive then. `unknown`:
    parked deliveries by task. `bytes`: payloads of what is kept, `dead_bytes` of them dead letters.
    """

    __slots__ = (
        "bytes",
        "claims",
        "consumers",
        "counts",
        "dead",
        "dead_bytes",
        "failed",
        "from_seq",
        "name",
        "parked",
        "paused",
        "purged",
        "queue",
        "ready",
        "unknown",
    )

    def __init__(self, queue: Queue, name: str, from_seq: int) -> None:
        self.queue = queue
        self.name = name
        self.from_seq = from_seq
        self.ready = ReadyQueue()
        self.parked: dict[str, Lane] = {}
        self.dead: dict[str, Delivery] = {}
        self.unknown: dict[str, int] = {}
        self.claims: dict[ParkedClaim, None] = {}
        self.consumers: set[Consumer] = set()
        self.counts = [0] * len(State)
        self.failed = 0
        self.purged = 0
        self.bytes = 0
        self.dead_bytes = 0
        self.paused = False

    @property
    def is_first(self) -> bool:
        """Whether this group's outcome is the result of the message."""
        return self.name == DEFAULT_GROUP

    @property
    def unfinished(self) -> int:
        """Messages that are held, scheduled, ready or leased."""
        return sum(self.counts[: State.LEASED + 1])

    @property
    def unfinished_bytes(self) -> int:
        """Bytes of their payloads."""
        return self.bytes - self.dead_bytes

    @property
    def has_work(self) -> bool:
        """Whether a claim might find something."""
        return not self.paused and bool(self.counts[State.READY] or self.counts[State.HELD])

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left that a worker of this group could ever be given."""
        counts = self.counts
        return not (counts[State.READY] or counts[State.SCHEDULED] or counts[State.LEASED])

    def next_for(self, consumer: Consumer) -> Iterator[Delivery]:
        """Deliveries for this consumer, each taken out; the caller claims or puts back each one.

        Yields a delivery in state READY whose task the consumer does not know, too: the caller
        parks it. Parked ones that it knows come first.
        """
        for task in [task for task in self.parked if consumer.knows(task)]:
            lane = self.parked[task]
            while (delivery := lane.pop()) is not None:
                yield delivery
            del self.parked[task]
        while (delivery := self.ready.pop()) is not None:
            yield delivery

    def forget_all(self) -> None:
        """The group is removed. Its deliveries refer to it: they go without the collector's help."""
        self.ready = ReadyQueue()
        self.parked.clear()
        self.dead.clear()

    def count_unknown(self, task: str, by: int) -> None:
        """Keep the number of parked deliveries of a task that no consumer knew."""
        count = self.unknown.get(task, 0) + by
        if count:
            self.unknown[task] = count
        else:
            self.unknown.pop(task, None)

    def died(self, delivery: Delivery, state: State) -> None:
        """A delivery has left READY or HELD for good, without having been taken out."""
        spec = delivery.message.spec
        if state is State.READY:
            self.ready.lanes[spec.options.priority].died()
        elif spec.task in self.parked:
            self.parked[spec.task].died()

    def put_back(self, delivery: Delivery) -> None:
        """Return what `next_for` yielded and the caller did not claim."""
        if delivery.state is State.READY:
            self.ready.push(delivery)
        else:
            self.park(delivery)

    def park(self, delivery: Delivery) -> None:
        """Keep a delivery in state HELD until a consumer comes that knows its task."""
        task = delivery.message.spec.task
        if task not in self.parked:
            self.parked[task] = Lane(State.HELD)
        self.parked[task].push(delivery)
