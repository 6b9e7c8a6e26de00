"""The stage of the state machine: engine, journal, model, actors, and what is always true."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from taskq.engine.states import WAITING, State
from taskq.journal.sqlite import SqliteJournal
from taskq.protocol.backoff import Backoff
from taskq.protocol.consuming import Begin, Claim, Register
from taskq.protocol.operating import Control
from taskq.protocol.producing import Enqueue, Enqueued
from taskq.protocol.values import (
    Ack,
    Delivered,
    Options,
)
from tests.kit.engine import EngineBench
from tests.kit.snapshot import snapshot
from tests.property.deaths import Deaths, held
from tests.property.model import Model

QUEUES = ["q", "p"]
TASKS = ["known", "rare"]
GROUPS = ["late", "later"]
WAITER = 500
TICKS = 10  # in which a loaded engine does what is due: a hundred timers in each

picks = st.integers(0, 1000)
seconds = st.sampled_from([0.001, 0.5, 1.0, 1.0, 2.0, 2.0, 3.0, 5.0, 10.0, 30.0, 61.0, 4000.0])
kinds = st.sampled_from(
    ["ack", "ack", "fail", "fail", "final", "later", "release", "unknown", "abandon"]
)
task_options = st.builds(
    Options,
    priority=st.integers(0, 3),
    retries=st.integers(0, 2),
    backoff=st.sampled_from([Backoff(base=0), Backoff(base=1), Backoff(steps=(2.0, 5.0))]),
    lease=st.sampled_from([1.0, 5.0, 30.0]),
    max_deliveries=st.integers(1, 3),
    result_ttl=st.sampled_from([0.0, 5.0, 100.0]),
    ack_early=st.sampled_from([False, False, False, True]),
    carries_code=st.sampled_from([False, False, False, True]),
)
WORKERS = st.sampled_from(["w1", "w2", "w3", "w4"])


@dataclass
class Actor:
    """One consumer process, as a host sees it from outside."""

    worker: str
    consumer: str
    group: str
    queues: list[str]
    tasks: list[str] | None
    session: int
    registered: bool = False
    parked: int = 0
    hand: dict[int, Delivered] = field(default_factory=dict)


class Stage(RuleBasedStateMachine):
    """Drives one engine on one journal, and a model of it. `steps`: of all runs together."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.bench = EngineBench(journal=SqliteJournal(":memory:", "os"))
        self.model = Model()
        self.deaths = Deaths(self.model)
        self.sessions = 10
        self.actors = [
            self.make_actor("w1", "c1", "default", QUEUES, None),
            self.make_actor("w1", "c2", "default", ["q"], ["known"]),
            self.make_actor("w2", "c1", "default", QUEUES, None),
            self.make_actor("w3", "c1", "audit", ["q"], None),
        ]
        self.secured: dict[int, float] = {}  # receipts, and until when they are promised
        self.settled: set[int] = set()  # receipts
        self.told: list[tuple[Delivered, str]] = []
        self.watched: set[str] = set()
        self.heard: set[str] = set()
        self.offers: list[Any] = []  # see limiting.Waiting

    def learn(self) -> None:
        """See `Limiting.learn`."""

    def teardown(self) -> None:
        try:
            self._let_everything_end()
        finally:
            assert self.bench.journal is not None
            self.bench.journal.close()

    def make_actor(
        self, worker: str, consumer: str, group: str, queues: list[str], tasks: list[str] | None
    ) -> Actor:
        self.sessions += 1
        return Actor(worker, consumer, group, queues, tasks, self.sessions)

    @property
    def ledger(self) -> Any:
        return self.bench.engine.ledger

    def pick_actor(self, pick: int, registered: bool | None = None) -> Actor | None:
        fit = [a for a in self.actors if registered is None or a.registered == registered]
        return fit[pick % len(fit)] if fit else None

    def at_work(self, pick: int) -> Actor:
        """An actor that is registered, if need be from now on."""
        actor = self.actors[pick % len(self.actors)]
        if not actor.registered:
            self.enroll(actor, sorted(actor.hand))
        return actor

    def pick_id(self, pick: int) -> str | None:
        ids = [message.id for message in self.model.messages.values() if message.name == message.id]
        return ids[-1 - pick % len(ids)] if ids else None

    def collect(self) -> None:
        """Hand parked claims that were answered to their actors, in the order of their service."""
        self.learn()
        answered = [
            (actor, self.bench.answer(actor.parked).messages)
            for actor in self.actors
            if actor.parked and self.bench.answer(actor.parked) is not None
        ]
        for actor, messages in sorted(answered, key=lambda each: [m.receipt for m in each[1]]):
            actor.parked = 0
            self.hand_over(actor, messages)

    def hand_over(self, actor: Actor, messages: list[Delivered]) -> None:
        self.learn()
        queues = self.ledger.queues
        for each in {message.queue for message in messages}:
            assert not queues[each].groups[actor.group].paused, "delivered from a paused queue"
        self.model.delivered(messages, actor.group, self.bench.now, self.bench.engine)
        for message in messages:
            if message.announce and message.receipt % 3:  # or it is yet to begin
                self.bench.call(Begin(receipt=message.receipt, id=message.id), actor.session)
                self.deaths.began((actor.worker, actor.consumer), message.receipt)
            actor.hand[message.receipt] = message
            self.secured[message.receipt] = self.bench.now + message.lease
            self.told.append((message, actor.group))

    def pass_time(self, by: float) -> None:
        """3: no lease of a connected worker ends before its time."""
        self.collect()
        self.model.check(self.bench.engine, self.bench.now)  # what has just ended may be forgotten
        until = self.bench.now + by
        safe = {
            receipt
            for receipt, lease in self.ledger.leases.items()
            if lease.consumer.worker.gone_at == inf and self.secured.get(receipt, 0.0) > until
        }
        leases = held(self.bench.engine)
        self.bench.after(by)
        assert safe <= set(self.ledger.leases), "3: a lease has ended before its time"
        for lease in leases:
            if lease.receipt not in self.ledger.leases:
                self.deaths.lapsed(lease)

    def registration(self, actor: Actor, holding: list[int]) -> Register:
        return Register(
            worker=actor.worker,
            consumer=actor.consumer,
            group=actor.group,
            queues=list(actor.queues),
            tasks=actor.tasks,
            holding=holding,
        )

    def enroll(self, actor: Actor, holding: list[int]) -> None:
        new = [
            name
            for name in actor.queues
            if name not in self.ledger.queues or actor.group not in self.ledger.queues[name].groups
        ]
        self.bench.call(self.registration(actor, holding), actor.session)
        for name in new:
            self.model.new_group(name, actor.group, self.bench.engine)
        actor.registered = True
        self.collect()
        self.model.check(self.bench.engine, self.bench.now)

    def drop_session(self, actor: Actor) -> None:
        self.sessions += 1
        actor.session = self.sessions
        actor.registered = False
        actor.parked = 0

    def try_to_enqueue(self, request: Enqueue) -> Enqueued | None:
        """See `Limiting.try_to_enqueue`; to be called before the tick.

        Parked claims are served in the tick: the model must know the messages by then.
        """
        raise NotImplementedError

    def states(self, id: str) -> set[State]:
        message = self.ledger.current(id)
        return {entry.state for entry in message.deliveries} if message is not None else set()

    def someone_waits(self) -> bool:
        return bool(self.offers) or any(actor.parked for actor in self.actors)

    @invariant()
    def every_promise_holds(self) -> None:
        Stage.steps += 1
        self.collect()
        self.model.check(self.bench.engine, self.bench.now)

    @invariant()
    def the_journal_has_it_all(self) -> None:
        assert snapshot(self.bench.reload(TICKS)) == snapshot(self.bench.engine), "8: load = memory"

    def _let_everything_end(self) -> None:
        """13: the faults stop, the clock goes on, and nothing waits for ever."""
        for queue in list(self.ledger.queues):
            self.bench.call(Control(queue=queue, action="resume"))
        groups = {
            (queue.name, group.name)
            for queue in self.ledger.queues.values()
            for group in queue.groups.values()
        }
        last = [
            self.make_actor("last", f"{queue}-{group}", group, [queue], None)
            for queue, group in sorted(groups)
        ]
        for _ in range(40):
            self.pass_time(500)
            for actor in last:
                self.enroll(actor, [])
                while messages := self.bench.call(
                    Claim(queues=actor.queues, n=100, wait=0), actor.session
                ).messages:
                    self.hand_over(actor, messages)
                    acks = [Ack(m.receipt, m.id, b"") for m in messages if not m.ack_early]
                    assert self.bench.settle(*acks) == []
            open_ = [
                entry.state
                for message in self.ledger.all_messages()
                for entry in message.deliveries
            ]
            if all(state is State.DEAD or state not in WAITING | {State.LEASED} for state in open_):
                assert not self.bench.engine.has_parked_enqueues, "13: a producer waits for ever"
                assert not self.bench.unanswered, "15: a request was never answered"
                return
        raise AssertionError("13: something waits for ever")
