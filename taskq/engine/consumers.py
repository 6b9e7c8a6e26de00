"""Who is connected: sessions, the consumers and workers behind them, and their parked requests."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from taskq.engine.group import Group
from taskq.engine.message import Delivery
from taskq.engine.timers import Alarm, Timers
from taskq.engine.watches import Watch
from taskq.protocol.values import Stop, WorkerInfo

if TYPE_CHECKING:
    from taskq.engine.enqueue import ParkedEnqueue

HEARTBEAT = 10.0  # seconds between heartbeats, at most; a shorter lease asks for more
GRACE = 2.0  # seconds that a worker may be without any connection before its leases end


class Consumer:
    """One process that claims: a child of a worker."""

    __slots__ = ("group", "leases", "name", "queues", "session", "tasks", "worker")

    def __init__(self, name: str, worker: Worker) -> None:
        self.name = name
        self.worker = worker
        self.group = ""
        self.queues: tuple[Group, ...] = ()
        self.tasks: frozenset[str] | None = None
        self.leases: dict[int, Delivery] = {}
        self.session: Session | None = None

    def knows(self, task: str) -> bool:
        """Whether it can run a task of that name."""
        return self.tasks is None or task in self.tasks


class Worker:
    """One launcher and its children. A heartbeat renews all its leases at once.

    `seen_at`: the last heartbeat. `shortest_lease` decides how often the heartbeats come.
    """

    __slots__ = (
        "alarm",
        "consumers",
        "finished",
        "gone_at",
        "heartbeat",
        "info",
        "name",
        "news",
        "seen_at",
        "sessions",
        "shortest_lease",
        "silent",
        "stops",
    )

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.info = WorkerInfo()
        self.seen_at = now
        self.consumers: dict[str, Consumer] = {}
        self.sessions = 0
        self.gone_at = inf
        self.shortest_lease = HEARTBEAT * 3
        self.heartbeat: ParkedHeartbeat | None = None
        self.silent = False  # a lease ran out and it has not been heard since: it gets no more
        self.news = False  # the parked heartbeat shall be answered now
        self.stops: list[Stop] = []
        self.finished = 0
        self.alarm: Alarm  # set by whoever knows what its firing does

    @property
    def renew_in(self) -> float:
        """Seconds within which the next heartbeat is wanted."""
        return min(HEARTBEAT, self.shortest_lease / 3)

    @property
    def leased(self) -> int:
        """How many deliveries its consumers hold."""
        return sum(len(consumer.leases) for consumer in self.consumers.values())

    def lease_ends(self, delivery: Delivery) -> float:
        """When that lease is over, if nothing renews it before."""
        return min(self._renewed_until(delivery), self.gone_at + GRACE)

    def forgive(self, seconds: float) -> None:
        """Nobody could renew a lease for that long: all of them end later by as much."""
        self.gone_at += seconds
        for consumer in self.consumers.values():
            for delivery in consumer.leases.values():
                delivery.extended_to = self._renewed_until(delivery) + seconds

    def _renewed_until(self, delivery: Delivery) -> float:
        length = delivery.message.spec.options.lease
        return max(delivery.leased_at + length, self.seen_at + length, delivery.extended_to)


class ParkedHeartbeat(NamedTuple):
    """A heartbeat that waits for news."""

    session: Session
    rid: int
    deadline: float


class ParkedClaim:
    """A claim that found nothing and waits."""

    __slots__ = ("consumer", "deadline", "groups", "n", "rid", "session")

    def __init__(
        self,
        session: Session,
        consumer: Consumer,
        rid: int,
        groups: list[Group],
        n: int,
        deadline: float,
    ) -> None:
        self.session = session
        self.consumer = consumer
        self.rid = rid
        self.groups = groups
        self.n = n
        self.deadline = deadline


class Session:
    """One connection: what it has registered as, and what it waits for."""

    __slots__ = ("alarm", "claim", "consumer", "number", "offers", "watches", "worker")

    def __init__(self, number: int, timers: Timers) -> None:
        self.number = number
        self.consumer: Consumer | None = None
        self.worker: Worker | None = None
        self.claim: ParkedClaim | None = None
        self.offers: dict[ParkedEnqueue, None] = {}
        self.watches: dict[int, Watch] = {}
        self.alarm: Alarm
