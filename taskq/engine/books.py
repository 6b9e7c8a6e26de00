"""The state of the engine: queues, messages, leases, results, workers, timers and replies."""

from __future__ import annotations

from collections.abc import Iterable

from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.changes import Changes, HighWaterMarks
from taskq.engine.model import Consumer, Delivery, Group, Message, Queue, Worker
from taskq.engine.operations import Operations
from taskq.engine.results import ON_DISK, Results, Retention
from taskq.engine.sessions import Parked, Session
from taskq.engine.specs import Specs
from taskq.engine.states import ENDED
from taskq.engine.timers import Timers
from taskq.engine.watches import Watchers
from taskq.protocol.base import Reply


class Books:
    """State of the engine. `seq` and `fence` are the last numbers given.

    `epoch`: see `Engine.begin_epoch`.

    `messages`: by id, the newest that is alive. `older`: by id and `seq`, those that other groups still
    have though their id is free, and was given to a newer one (docs/decisions/0017); `older_count` of
    them.

    `bytes`: payloads of all messages. `registered`, `attached`: sessions that belong to a consumer or
    a worker. `groups_to_serve`: those in which a parked claim may find something,
    now or in the next tick. `heartbeats_due`:
    workers whose parked heartbeat is to be answered. `queues_with_parked`: those with enqueues that
    wait for room; `parked_enqueues`: the last number that one of these was given. `broker_full`: the
    first of them waits for room in the broker, not in its queue.

    `paused`: seconds in which the host did not listen. Leases run in listening time, the time less
    `paused`, so that a pause makes all of them longer at once.
    """

    def __init__(self, capacity: Capacity = UNBOUNDED, retention: Retention = ON_DISK) -> None:
        self.capacity = capacity
        self.seq = self.fence = 0
        self.epoch = ""
        self.marks = HighWaterMarks()
        self.specs = Specs()
        self.messages: dict[str, Message] = {}
        self.older: dict[str, dict[int, Message]] = {}
        self.older_count = 0
        self.bytes = 0
        self.queues: dict[str, Queue] = {}
        self.leases: dict[int, Delivery] = {}
        self.workers: dict[str, Worker] = {}
        self.registered: dict[Session, Consumer] = {}
        self.attached: dict[Session, Worker] = {}
        self.replies: list[tuple[int, Reply]] = []  # (session, reply), in order
        self.timers = Timers()  # of messages
        self.alarms = Timers()  # of connections and workers: never behind a million messages
        self.operations = Operations(lambda session, reply: self.replies.append((session, reply)))
        self.changes = Changes()
        self.results = Results(self.changes, retention)
        self.watchers = Watchers()
        self.groups_to_serve: dict[Group, None] = {}
        self.groups_to_serve_next: dict[Group, None] = {}
        self.heartbeats_due: dict[Worker, None] = {}
        self.queues_with_parked: dict[Queue, None] = {}
        self.parked_enqueues, self.broker_full = 0, False
        self.paused = 0.0

    @property
    def message_count(self) -> int:
        """How many messages there are."""
        return len(self.messages) + self.older_count

    def all_messages(self) -> Iterable[Message]:
        """All messages; in an engine that is being loaded, in the order of acceptance."""
        if not self.older:
            return self.messages.values()
        older = [message for each in self.older.values() for message in each.values()]
        return sorted([*self.messages.values(), *older], key=lambda message: message.seq)

    def named(self, id: str) -> list[Message]:
        """All messages of that id, oldest first."""
        newest = self.messages.get(id)
        return [] if newest is None else [*self.older.get(id, {}).values(), newest]

    def current(self, id: str) -> Message | None:
        """The message that the id means: the newest one, as long as anything of it is alive."""
        message = self.messages.get(id)
        if message is None or message.deliveries[0].state not in ENDED:
            return message
        entry = self.results.entry(id)
        return message if entry is None or entry.seq == message.seq else None

    def supersede(self, id: str) -> None:
        """Move the message of that id to `older`, before a newer one gets the id."""
        message = self.messages.pop(id)
        self.older.setdefault(id, {})[message.seq] = message
        self.older_count += 1

    def unname(self, message: Message) -> None:
        """Remove a message. If others have its id, the newest of them has it from then on."""
        id = message.id
        older = self.older.get(id)
        if older is None:
            del self.messages[id]
            return
        if self.messages[id] is message:
            _, self.messages[id] = older.popitem()
        else:
            del older[message.seq]
        if not older:
            del self.older[id]
        self.older_count -= 1

    def answer(self, parked: Parked, reply: Reply) -> None:
        """Reply to a parked request and remove it."""
        parked.remove()
        reply.rid = parked.rid
        self.replies.append((parked.session.number, reply))
