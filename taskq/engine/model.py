"""The objects of the engine, and how they refer to each other.

A *message* is one accepted call. It has a *delivery* in each consumer *group* of its *queue*. A
*worker* is a launcher; its *consumers* are the processes that claim. These are records: what may
happen to them is decided by the subjects (`producing`, `claims`, `leases`, …) and carried out by the
ledger. They are in one file because they refer to each other in a circle, and structs of msgspec since
these are made quickly; they are never encoded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from math import inf

from msgspec import Struct, field

from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.chain import Chain
from taskq.engine.parking import Parking
from taskq.engine.ready import ReadyQueue
from taskq.engine.sessions import Parked, Session
from taskq.engine.specs import Spec
from taskq.engine.states import State
from taskq.engine.timers import MovableTimer
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import ErrorInfo, Progress, Stop, WorkerInfo

MESSAGE, STATE, GROUP = "message", "state", "consumer_group"  # durable subjects, see `changes`
DEFAULT_GROUP = "default"
READY, PARKED = State.READY, State.PARKED  # an attribute of an enum costs more than a global
HEARTBEAT, GRACE = 10.0, 2.0  # seconds: between heartbeats at most; without a connection at most


class Message(Struct, eq=False):
    """One accepted call; only `deliveries` and its neighbours, `before` and `behind`, ever change.

    `seq` is its place in the order of acceptance and its key in the journal.
    """

    seq: int
    id: str
    spec: Spec
    payload: bytes
    created_at: float
    due_at: float
    expires_at: float | None
    deliveries: tuple[Delivery, ...] = ()
    before: Message | None = None
    behind: Message | None = None


class Delivery(Struct, eq=False):
    """One message in one consumer group; `state` moves by the table of `engine.states` alone.

    `deliveries` counts how often it was handed out; `failures` the attempts that raised and `deaths`
    the workers that were lost with it, both from the last replay on. `suspect`: a worker was lost that
    may have begun it. `cancelling`: its consumer is to stop (1) or to be killed (2). `extended_to`:
    its lease lasts at least until then, in listening time (see `Books`).
    """

    message: Message
    group: Group
    state: State
    due_at: float
    deliveries: int = 0
    failures: int = 0
    deaths: int = 0
    receipt: int = 0
    leased_at: float = 0.0
    consumer: Consumer | None = None
    errors: list[ErrorInfo] | None = None
    progress: Progress | None = None
    cancelling: int = 0
    extended_to: float = 0.0
    suspect: bool = False

    @property
    def has_run(self) -> bool:
        """Whether an attempt has ended, in this life or before a replay."""
        return self.errors is not None

    @property
    def attempt(self) -> int:
        """The number of the attempt that runs now, or is next, from 1."""
        return self.failures + self.deaths + 1

    @property
    def attempts(self) -> int:
        """How many attempts the task itself has ended: by returning, or by an exception."""
        return self.failures + (self.state is State.SUCCEEDED)

    @property
    def last_error(self) -> ErrorInfo:
        """The latest failed attempt. A dead letter has one: nothing dies without an error."""
        assert self.errors
        return self.errors[-1]


class Queue(Struct, eq=False):
    """A named queue. Its first group, `default`, gives the results.

    `messages`: all that are alive or dead letters, in the order of acceptance. `parked`: enqueues that
    wait for room, first come first. `filling`: groups that are not full yet, see `filling`.
    """

    name: str
    messages: Chain[Message] = field(default_factory=Chain)
    filling: list[Group] = []
    groups: dict[str, Group] = {}
    capacity: Capacity = UNBOUNDED
    parked: OrderedDict[ParkedEnqueue, None] = field(default_factory=OrderedDict)


class Group(Struct, eq=False):
    """One consumer group of one queue: what it has ready, parked and dead, and its counters.

    `from_seq`: the last message accepted before the group was made; those up to it belong to the
    group only if they were alive then. `dead`: by the `seq` of the message. `claims`: those of its
    consumers that are parked. `counts` is indexed by `State`: messages that are in that state now, or,
    for those that are final, that have ever reached it. `failed` counts attempts: those that raised and
    those that a worker's death ended. `bytes`: payloads of what is kept, `dead_bytes` of dead letters.
    `filled_to`: while the group is filled, the last message that it was given. `removing`: it is given
    nothing more, and gives nothing. `is_first`: its outcome is the result of the message.
    """

    queue: Queue
    name: str
    from_seq: int
    ready: ReadyQueue[Delivery] = field(default_factory=ReadyQueue)
    parked: Parking[Delivery] = field(default_factory=Parking)
    dead: dict[int, Delivery] = {}
    claims: dict[ParkedClaim, None] = {}
    consumers: set[Consumer] = set()
    counts: list[int] = field(default_factory=lambda: [0] * len(State))
    failed: int = 0
    bytes: int = 0
    dead_bytes: int = 0
    paused: bool = False
    filled_to: int | None = None
    removing: bool = False
    is_first: bool = False

    def __post_init__(self) -> None:
        self.is_first = self.name == DEFAULT_GROUP

    @property
    def unfinished(self) -> int:
        """Messages that are held, parked, scheduled, ready or leased."""
        return sum(self.counts[: State.LEASED + 1]) + self.counts[State.PARKED]

    @property
    def unfinished_bytes(self) -> int:
        """Bytes of their payloads."""
        return self.bytes - self.dead_bytes

    @property
    def has_work(self) -> bool:
        """Whether a claim might find something."""
        if not (self.counts[READY] or self.counts[PARKED]):
            return False
        return not (self.paused or self.removing) and self.filled_to is None

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left that a worker of this group will be given as things are."""
        waits = not self.paused and (self.counts[State.READY] or self.counts[State.SCHEDULED])
        return not (waits or self.counts[State.LEASED] or self.filled_to is not None)

    def next_for(self, consumer: Consumer) -> Iterator[Delivery]:
        """Deliveries for this consumer, each taken out; the caller claims or puts back each one.

        Among them are those in state READY whose task the consumer does not know: the caller
        parks them. Parked ones that it knows come first.
        """
        ready = self.ready.take()
        return chain(self.parked.take(consumer.knows), ready) if self.parked.lanes else ready

    def put(self, delivery: Delivery) -> None:
        """Put a delivery in line that is READY, or parked."""
        spec = delivery.message.spec
        if delivery.state is State.READY:
            self.ready.lanes[spec.options.priority].push(delivery)
        else:
            self.parked.push(delivery, spec.task)

    def mark_stale(self, delivery: Delivery, state: State) -> None:
        """A delivery has left READY or PARKED for good, without having been taken out."""
        spec = delivery.message.spec
        if state is State.READY:
            self.ready.lanes[spec.options.priority].mark_stale()
        else:
            self.parked.mark_stale(spec.task)


class Consumer(Struct, eq=False):
    """One process that claims: a child of a worker. `claim`: its parked claim.

    `queues`: the groups that it has registered for. `tasks`: the names it knows; `None` means all.
    `leases`: by receipt, rising. It begins them in that order; `began`: the newest that it is known to.
    """

    name: str
    worker: Worker
    group: str = ""
    queues: tuple[Group, ...] = ()
    tasks: frozenset[str] | None = None
    leases: dict[int, Delivery] = {}
    began: int = 0
    session: Session | None = None
    claim: ParkedClaim | None = None

    def knows(self, task: str) -> bool:
        """Whether it can run a task of that name."""
        return self.tasks is None or task in self.tasks


class Worker(Struct, eq=False):
    """One launcher and its children. A heartbeat renews all its leases at once.

    `timer` rings when the first lease of it may end. `seen_at`: the last heartbeat. In listening time:
    `renewed_at`, the same, and `gone_at`, when the last of its `sessions` has closed.
    `shortest_lease` decides how often heartbeats come. `heartbeat`: the parked one. `reply_due`: it is
    to be answered now. `stops` go with the answer. `silent`: a lease has run out and the worker has not
    been heard since, so it gets no more. `ending`: its leases are looked at, in slices. `finished`:
    tasks that it has run.
    """

    name: str
    timer: MovableTimer
    seen_at: float
    renewed_at: float
    info: WorkerInfo = field(default_factory=WorkerInfo)
    consumers: dict[str, Consumer] = {}
    sessions: int = 0
    gone_at: float = inf
    shortest_lease: float = HEARTBEAT * 3
    heartbeat: Parked | None = None
    reply_due: bool = False
    stops: list[Stop] = []
    silent: bool = False
    ending: bool = False
    finished: int = 0

    @property
    def renew_in(self) -> float:
        """Seconds within which the next heartbeat is wanted."""
        return min(HEARTBEAT, self.shortest_lease / 3)

    def lease_ends(self, delivery: Delivery) -> float:
        """When that lease is over, in listening time, if nothing renews it before."""
        return min(self.renewed_until(delivery), self.gone_at + GRACE)

    def renewed_until(self, delivery: Delivery) -> float:
        """The same while the worker is connected."""
        length = delivery.message.spec.options.lease
        return max(self.renewed_at + length, delivery.extended_to)


class ParkedClaim(Parked):
    """A claim that found nothing and waits for up to `n` messages of these groups."""

    __slots__ = ("consumer", "groups", "n")

    def __init__(
        self,
        session: Session,
        rid: int,
        deadline: float,
        consumer: Consumer,
        groups: list[Group],
        n: int,
    ) -> None:
        super().__init__(session, rid, deadline)
        self.consumer = consumer
        self.groups = groups
        self.n = n


class ParkedEnqueue(Parked):
    """An enqueue that waits for room. `number`: its place among all. `taken`: so many of its calls
    have been accepted."""

    __slots__ = ("existing", "number", "queue", "request", "taken")

    def __init__(
        self, session: Session, deadline: float, queue: Queue, request: Enqueue, number: int
    ) -> None:
        super().__init__(session, request.rid, deadline)
        self.queue = queue
        self.request = request
        self.number = number
        self.taken = 0
        self.existing: list[str] = []

    @property
    def rest(self) -> int:
        """How many calls still wait."""
        return len(self.request.calls) - self.taken
