"""The ledger: the state of the engine, and the only functions that change a message.

The subjects (`producing`, `claims`, `leases`, …) decide *what* happens to a message; how its state,
its counters, its lease, its result and the journal follow is decided here, once.

Theory of operation. A message lives in `messages` from its acceptance until each of its deliveries
has ended in a state other than DEAD. `move` takes a delivery along the transition table and notes
the message in `changes`. The first group's end is the result of the message: it goes to `results`
and wakes the watches of the id. What is READY lies in the group's ready queue, what is SCHEDULED
in the timers, what is PARKED in the group's lanes by task, what is LEASED in `leases` by its receipt,
what is DEAD in the group's dead letters: exactly one entry each. The entry of a delivery that was
cancelled while it waited is stale: it is skipped when its turn comes, or swept out before.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskq.engine.books import Books
from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.filling import Filling
from taskq.engine.model import (
    DEFAULT_GROUP,
    GROUP,
    MESSAGE,
    STATE,
    Consumer,
    Delivery,
    Group,
    Message,
    Queue,
)
from taskq.engine.result import Result
from taskq.engine.results import ON_DISK, Retention
from taskq.engine.specs import Spec
from taskq.engine.states import ENDED, TRANSITIONS, WAITING, Event, State, after
from taskq.protocol.values import ErrorInfo

# an attribute of an enum costs more than a global, and these are asked for with each message
READY, SCHEDULED, PARKED, LEASED = State.READY, State.SCHEDULED, State.PARKED, State.LEASED
DUE, CLAIM, ACK = Event.DUE, Event.CLAIM, Event.ACK


class Ledger(Books):
    """The books, and the steps that change them."""

    def __init__(self, capacity: Capacity = UNBOUNDED, retention: Retention = ON_DISK) -> None:
        super().__init__(capacity, retention)
        self.filling = Filling(self.changes, self.operations, self._give, self._filled)

    # --- names ----------------------------------------------------------------------------

    def queue(self, name: str) -> Queue:
        """The queue of that name; a new one is made, with its default group."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(name)
            self.group(name, DEFAULT_GROUP)
        return queue

    def group(self, queue_name: str, name: str) -> Group:
        """A consumer group of a queue; a new one is given every message that is alive."""
        queue = self.queue(queue_name)
        group = queue.groups.get(name)
        if group is None:
            group = queue.groups[name] = Group(queue, name, self.seq)
            self.changes.put[GROUP][group] = None
            self.filling.begin(group)
        return group

    def _give(self, message: Message, group: Group) -> None:
        self.deliver((message,), group)
        self.rearm_expiry(message)

    def _filled(self, group: Group) -> None:
        if group.claims:
            self.groups_to_serve[group] = None

    # --- the life of a message ------------------------------------------------------------

    def accept(self, messages: dict[str, Message], spec: Spec, queue: Queue) -> None:
        """Take new messages of one call's spec in, by id: a delivery of each for each group."""
        new = messages.values()
        put, chain = self.changes.put[MESSAGE], queue.messages
        size = 0
        for message in new:
            put[message] = None
            chain.append(message)
            size += len(message.payload)
        self.messages.update(messages)
        self.bytes += size
        spec.uses += len(messages)
        for group in queue.groups.values():
            if not group.removing:
                self.deliver(new, group)
        if message.expires_at is not None:
            for message in new:
                self.arm_expiry(message)

    def deliver(self, messages: Iterable[Message], group: Group) -> None:
        """Begin the life of messages of one task in a group; they are in order."""
        ready, size = [], 0
        for message in messages:
            is_due = message.due_at <= message.created_at
            delivery = Delivery(message, group, READY if is_due else SCHEDULED, message.due_at)
            message.deliveries = (*message.deliveries, delivery)
            size += len(message.payload)
            if is_due:
                ready.append(delivery)
            else:
                group.counts[SCHEDULED] += 1
                self.place(delivery)
        group.bytes += size
        if ready:
            group.counts[READY] += len(ready)
            group.ready.lanes[message.spec.options.priority].extend(ready)
            if group.claims:
                self.groups_to_serve[group] = None

    def place(self, delivery: Delivery) -> None:
        """Put a waiting delivery where its state belongs."""
        state = delivery.state
        if state is SCHEDULED:
            self.timers.at(delivery.due_at, self._due, delivery)
        elif state in WAITING:
            group = delivery.group
            group.put(delivery)
            if group.claims:
                self.groups_to_serve[group] = None

    def move(self, delivery: Delivery, event: Event) -> None:
        """Take one step of the transition table. Raises `IllegalTransition`."""
        old = delivery.state
        new = TRANSITIONS[old].get(event)
        if new is None:
            after(old, event)  # raises, with a sentence
            return
        group = delivery.group
        counts = group.counts
        counts[old] -= 1
        counts[new] += 1
        delivery.state = new
        if new is PARKED or old is PARKED:
            group.parked.count(delivery.message.spec.task, 1 if new is PARKED else -1)
        if event is not DUE:  # follows from the clock, after a restart too
            self.changes.put[STATE][delivery.message] = None
            if new in ENDED:
                self.changes.put[GROUP][group] = None

    def lease(self, delivery: Delivery, consumer: Consumer, now: float) -> None:
        """Hand a delivery to a consumer, under a new receipt."""
        self.move(delivery, CLAIM)
        self.fence = fence = self.fence + 1
        delivery.receipt = fence
        delivery.deliveries += 1
        delivery.consumer = consumer
        delivery.leased_at = now
        delivery.progress = None
        consumer.leases[fence] = self.leases[fence] = delivery
        worker = consumer.worker
        length = delivery.message.spec.options.lease
        delivery.extended_to = now - self.paused + length
        if length < worker.shortest_lease:
            worker.shortest_lease = length
            self.heartbeats_due[worker] = None
        if now + length < worker.timer.when:
            worker.timer.set(now + length)

    def end_lease(self, delivery: Delivery) -> None:
        """End the lease of a delivery; its receipt is stale from then on."""
        del self.leases[delivery.receipt]
        consumer = delivery.consumer
        assert consumer is not None
        del consumer.leases[delivery.receipt]

    def revoke(self, delivery: Delivery) -> None:
        """End a lease that its consumer still holds: nothing that it reports later counts."""
        self.end_lease(delivery)
        delivery.receipt = 0

    def finish(
        self,
        delivery: Delivery,
        event: Event,
        now: float,
        value: bytes | None = None,
        error: ErrorInfo | None = None,
    ) -> None:
        """End a delivery for good (ACK, CANCEL, EXPIRE), and the message with its last one."""
        message = delivery.message
        group = delivery.group
        if group.queue.filling:
            self.filling.copy(message, group.queue.filling)
        old = delivery.state
        self.move(delivery, event)
        group.bytes -= len(message.payload)
        if old is not LEASED:
            self.drop_entry(delivery, old)
        if event is ACK and delivery.consumer is not None:
            delivery.consumer.worker.finished += 1
        if group.is_first:
            self.results.put(Result.of(delivery, value, error, now))
            self.watchers.finished(message.id)
        self.retire(message)

    def bury(self, delivery: Delivery) -> None:
        """Move a delivery, with its errors, to the dead letters."""
        if delivery.group.queue.filling:
            self.filling.copy(delivery.message, delivery.group.queue.filling)
        self.move(delivery, Event.BURY)
        delivery.group.dead[delivery.message.seq] = delivery
        delivery.group.dead_bytes += len(delivery.message.payload)
        if delivery.group.is_first:
            self.watchers.finished(delivery.message.id)

    def unbury(self, delivery: Delivery) -> None:
        """Take a delivery out of the dead letters; the caller changes its state."""
        del delivery.group.dead[delivery.message.seq]
        delivery.group.dead_bytes -= len(delivery.message.payload)

    def drop(self, delivery: Delivery) -> None:
        """Purge a delivery: no result, no trace but a count."""
        old = delivery.state
        message = delivery.message
        queue = delivery.group.queue
        if queue.filling:
            self.filling.copy(message, queue.filling)
        if old is State.DEAD:
            self.unbury(delivery)
        self.move(delivery, Event.PURGE)
        delivery.group.bytes -= len(message.payload)
        self.drop_entry(delivery, old)
        self.retire(message)
        if delivery.group.is_first:
            self.watchers.finished(message.id)

    def retire(self, message: Message) -> None:
        """Forget a message if each of its deliveries has ended."""
        for delivery in message.deliveries:
            if delivery.state not in ENDED:
                return
        if self.older:
            self.unname(message)
        else:
            del self.messages[message.id]
        self.queues[message.spec.queue].messages.remove(message)
        self.bytes -= len(message.payload)
        self.specs.release(message.spec)
        message.deliveries = ()  # also breaks the reference cycle: the collector is off
        message.payload = b""  # a lane or a timer may still keep the rest for a while
        if message.expires_at is not None:
            self.timers.mark_stale(_is_live)
        changes = self.changes
        changes.put[STATE].pop(message, None)
        changes.put[MESSAGE].pop(message, None)
        changes.removed[MESSAGE][message] = None

    def drop_entry(self, delivery: Delivery, old: State) -> None:
        """Mark the entry of a waiting delivery that has ended as stale; `old`: its state before."""
        if old is State.SCHEDULED:
            self.timers.mark_stale(_is_live)
        elif old in WAITING:
            delivery.group.mark_stale(delivery, old)

    def schedule(self, delivery: Delivery, event: Event, due_at: float) -> None:
        """Let a delivery wait until `due_at` (RETRY, REPLAY_LATER)."""
        self.move(delivery, event)
        delivery.due_at = due_at
        self.place(delivery)

    def _due(self, delivery: Delivery, now: float) -> None:
        if delivery.state is State.SCHEDULED and delivery.due_at <= now:
            self.move(delivery, Event.DUE)
            self.place(delivery)

    def _expire(self, message: Message, now: float) -> None:
        for delivery in message.deliveries:
            if delivery.state in WAITING and not delivery.has_run:
                self.finish(delivery, Event.EXPIRE, now)

    def arm_expiry(self, message: Message) -> None:
        """Set the timer for the expiry of a message that has one."""
        if message.expires_at is not None:
            self.timers.at(message.expires_at, self._expire, message)

    def rearm_expiry(self, message: Message) -> None:
        """Set that timer again if it may have fired. There is no more than one that is yet to."""
        if message.expires_at is not None and message.expires_at <= self.timers.looked_at:
            self.arm_expiry(message)


def _is_live(subject: object) -> bool:
    """Whether a timer still has something to do."""
    if isinstance(subject, Message):
        return bool(subject.deliveries)
    return not isinstance(subject, Delivery) or subject.state is State.SCHEDULED
