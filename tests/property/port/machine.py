"""The state machine: producers, workers, operators and a clock, by way of the port alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from taskq import errors
from taskq.backends.port import Connection
from taskq.protocol.backoff import Backoff
from taskq.protocol.consuming import Claim, Extend, Heartbeat, Leave, Reap, Register, Settle
from taskq.protocol.operating import Control, GetStats, ListDead, PurgeDead, Replay
from taskq.protocol.producing import Cancel, Enqueue, Inspect, Wait
from taskq.protocol.values import (
    Ack,
    Call,
    Delivered,
    JobInfo,
    Options,
    Outcome,
    WorkerInfo,
)
from tests.property.outcomes import outcome_of
from tests.property.port.backends import PortBackend
from tests.property.port.model import FINAL, OPEN, REMEMBERED, WAITING, Message, PortModel

GROUPS = {"q": ["default", "audit"], "p": ["default"]}
KEPT = (
    "held",
    "parked",
    "scheduled",
    "ready",
    "leased",
    "dead",
)  # states that are counted while they last

picks = st.integers(0, 1000)
names = st.lists(st.integers(0, 30), min_size=1, max_size=5)
kinds = st.sampled_from(["ack", "ack", "fail", "fail", "final", "later", "release", "unknown"])
task_options = st.builds(
    Options,
    priority=st.integers(0, 3),
    retries=st.integers(0, 2),
    backoff=st.sampled_from([Backoff(base=0), Backoff(base=1), Backoff(steps=(2.0, 5.0))]),
    lease=st.sampled_from([1.0, 5.0, 30.0]),
    max_deliveries=st.integers(1, 3),
    result_ttl=st.sampled_from([0.0, 5.0, 100.0]),
    ack_early=st.sampled_from([False, False, False, True]),
)


@dataclass(eq=False)
class Actor:
    """One consumer. `parked`: its claim that waits for an answer."""

    worker: str
    consumer: str
    group: str
    queues: list[str]
    tasks: list[str] | None = None
    connection: Connection | None = None
    parked: Claim | None = None
    hand: dict[int, Delivered] = field(default_factory=dict)


class PortMachine(RuleBasedStateMachine):
    """Drives one backend, and a model of it."""

    make_backend: Callable[[], PortBackend]

    def __init__(self) -> None:
        super().__init__()
        self.backend = type(self).make_backend()
        self.broker = self.backend.broker
        self.model = PortModel(GROUPS)
        self.paused: set[tuple[str, str]] = set()
        self.watched: set[str] = set()
        self.restarted: set[str] = set()  # ids that were purged or replayed: their ends are old
        self.watcher = self.broker.connect()
        self.actors = [
            Actor("w1", "c1", "default", ["q", "p"]),
            Actor("w1", "c2", "default", ["q"], ["known"]),
            Actor("w2", "c1", "default", ["p", "q"]),
            Actor("w3", "c1", "audit", ["q"]),
        ]
        for actor in self.actors:
            self.register(actor)

    def teardown(self) -> None:
        try:
            self.everything_ends()
        finally:
            self.watcher.close()
            for actor in self.actors:
                self.hang_up(actor)
            self.backend.close()

    # --- helpers ------------------------------------------------------------------------------

    def register(self, actor: Actor) -> Connection:
        """The connection of an actor, a new one if it has none."""
        if actor.connection is None:
            actor.connection = self.broker.connect(
                lambda: Register(
                    worker=actor.worker,
                    consumer=actor.consumer,
                    group=actor.group,
                    queues=actor.queues,
                    tasks=actor.tasks,
                    holding=sorted(actor.hand),
                )
            )
        return actor.connection

    def hang_up(self, actor: Actor) -> None:
        self.collect()
        if actor.connection is not None:
            actor.connection.close()
        actor.connection = actor.parked = None

    def collect(self) -> None:
        """Hand over what parked claims were answered with, in the order of the fences."""
        answered = []
        for actor in self.actors:
            if actor.parked is None or actor.connection is None:
                continue
            if actor.connection.arrived(actor.parked):
                answered.append((actor, actor.connection.receive(actor.parked).messages))
                actor.parked = None
        for actor, messages in sorted(answered, key=lambda each: [m.receipt for m in each[1]]):
            self.hand_over(actor, messages)

    def hand_over(self, actor: Actor, messages: list[Delivered]) -> None:
        for message in messages:
            assert (message.queue, actor.group) not in self.paused, "delivered from a paused queue"
            actor.hand[message.receipt] = message
        self.model.delivered(messages, actor.group, self.backend.now)

    def jobs(self, id: str) -> list[JobInfo]:
        try:
            return self.broker.call(Inspect(id=id)).jobs
        except (errors.UnknownMessage, errors.ResultExpired):
            return []

    def state(self, id: str, group: str) -> str:
        return next((job.state for job in self.jobs(id) if job.group == group), "unknown")

    def look(self) -> None:
        """Compare what the broker shows of every message with what was promised."""
        self.collect()
        for id in self.model.messages:
            self.model.seen(id, self.jobs(id), self.backend.now)

    def pass_time(self, seconds: float) -> None:
        """In steps that let nothing end and be forgotten unseen."""
        self.look()
        while seconds > 0:
            step = min(seconds, REMEMBERED * 0.8)
            self.backend.advance(step)
            self.look()
            seconds -= step

    # --- rules: producers -----------------------------------------------------------------------

    @rule(
        names=names,
        queue=st.sampled_from(["q", "q", "p"]),
        task=st.sampled_from(["known", "rare"]),
        options=task_options,
        delay=st.sampled_from([0.0, 0.0, 0.0, 0.5, 10.0]),
        expires=st.sampled_from([None, None, None, 2.0, 40.0]),
    )
    def enqueue(
        self,
        names: list[int],
        queue: str,
        task: str,
        options: Options,
        delay: float,
        expires: float | None,
    ) -> None:
        now = self.backend.now
        self.look()
        shared = self.model.kept_by_others(now)
        calls = [
            Call(f"m{name}", b"%d at %r" % (name, now))
            for name in names
            if f"m{name}" not in shared
        ]
        reply = self.broker.call(
            Enqueue(
                queue=queue,
                task=task,
                options=options,
                calls=list(calls),
                delay=delay,
                expires=expires,
            )
        )
        expires_at = None if expires is None else now + expires
        messages = {
            call.id: Message(
                queue, call.payload, options, now + delay, expires_at, 0, delayed=delay > 0
            )
            for call in calls
        }
        self.model.enqueued(messages, [call.id for call in calls], reply.existing, now)

    @rule(pick=picks, terminate=st.booleans())
    def cancel(self, pick: int, terminate: bool) -> None:
        ids = list(self.model.messages)
        if not ids:
            return
        id = ids[-1 - pick % len(ids)]
        jobs = self.jobs(id)
        try:
            reply = self.broker.call(Cancel(ids=[id], terminate=terminate))
        except (errors.UnknownMessage, errors.ResultExpired):
            assert not jobs
            return
        leased = [job.group for job in jobs if job.state == "leased"]
        for group in leased:
            self.model.messages[id].copies[group].asked = True
        assert (id in reply.asked) == bool(leased)
        if not leased:
            assert (id in reply.cancelled) == any(job.state in WAITING for job in jobs)

    @rule(picked=st.lists(picks, min_size=1, max_size=4))
    def wait(self, picked: list[int]) -> None:
        ids = list(self.model.messages)
        add = sorted({ids[-1 - pick % len(ids)] for pick in picked}) if ids else []
        self.watched |= set(add)
        reply = self.watcher.call(Wait(watch=1, add=add, wait=0))
        for end in reply.finished:
            assert end.id in self.watched, "reported, and not asked for, or twice"
            self.watched.discard(end.id)
            state = self.state(end.id, "default")
            shown = end.id in self.restarted or end.state in (state, "forgotten")
            shown |= state == "unknown"
            assert shown, f"{end.state} was reported of what is {state}"
        assert reply.pending == len(self.watched)
        for id in self.watched:
            assert self.state(id, "default") in OPEN, "13: somebody waits for what has ended"

    # --- rules: workers -------------------------------------------------------------------------

    @rule(pick=picks, n=st.integers(0, 5), parked=st.booleans())
    def claim(self, pick: int, n: int, parked: bool) -> None:
        actor = self.actors[pick % len(self.actors)]
        connection = self.register(actor)
        if actor.parked is not None:
            return
        request = Claim(queues=actor.queues, n=n, wait=30.0 if parked and n else 0.0)
        connection.send(request)
        actor.parked = request
        self.collect()
        if not request.wait:
            assert actor.parked is None, "a claim that does not wait was not answered"

    @rule(pick=picks, how=st.lists(kinds, min_size=1, max_size=4), twice=st.booleans())
    def settle(self, pick: int, how: list[str], twice: bool) -> None:
        self.look()
        busy = [actor for actor in self.actors if actor.hand] or self.actors
        actor = busy[pick % len(busy)]
        messages = list(actor.hand.values())[-len(how) :]
        outcomes = [outcome_of(kind, message) for kind, message in zip(how, messages, strict=False)]
        live = {each.receipt for each in outcomes if self.model.is_live(each.receipt)}
        known = self.model.settled.copy()
        leads_to = {
            each.id: self.model.settled_as(each, self.backend.now)
            for each in outcomes
            if each.receipt in live
        }
        rejected = set(self.broker.call(Settle(outcomes=list(outcomes))).rejected)
        assert not live & rejected, "4: an outcome in time was refused"
        for each in outcomes:
            early = actor.hand.pop(each.receipt).ack_early
            if each.receipt not in live | known and not early:
                assert each.receipt in rejected, "4: a lost lease was taken for a settled one"
        for id, states in leads_to.items():
            state = self.state(id, actor.group)
            assert state in states or state == "unknown", f"{state}, not {states}"
        if twice:
            self.look()
            before = {each.id: self.jobs(each.id) for each in outcomes}
            self.broker.call(Settle(outcomes=list(outcomes)))
            assert {each.id: self.jobs(each.id) for each in outcomes} == before, "4: again"

    @rule(pick=picks)
    def extend_what_is_lost(self, pick: int) -> None:
        self.look()
        stale = [receipt for receipt in self.model.owners if not self.model.is_live(receipt)]
        if stale:
            receipt = stale[pick % len(stale)]
            with pytest.raises(errors.LeaseLost):
                self.broker.call(
                    Extend(receipt=receipt, id=self.model.owners[receipt][0], seconds=100)
                )

    @rule(pick=picks, how=st.sampled_from(["gone", "reaped", "left", "back"]))
    def a_worker_goes(self, pick: int, how: str) -> None:
        actor = self.actors[pick % len(self.actors)]
        self.hang_up(actor)
        if how == "left":
            self.model.released(r for a in self.actors if a.worker == actor.worker for r in a.hand)
        elif how != "back":
            self.model.released(actor.hand)
        if how == "reaped":
            running = sorted(actor.hand)[::2]
            self.broker.call(
                Reap(
                    worker=actor.worker,
                    consumer=actor.consumer,
                    running=running,
                    reason="signal 9",
                )
            )
        elif how == "left":
            for each in self.actors:
                if each.worker == actor.worker:
                    self.hang_up(each)
            self.broker.call(Leave(worker=actor.worker))
        elif how == "back":
            self.register(actor)

    @rule(worker=st.sampled_from(["w1", "w2", "w3"]))
    def heartbeat(self, worker: str) -> None:
        reply = self.broker.call(Heartbeat(worker=worker, info=WorkerInfo(), wait=0.0))
        for stop in reply.stop:
            id, group = self.model.owners[stop.receipt]
            assert self.model.messages[id].copies[group].asked, "told to stop, and not cancelled"

    # --- rules: operators, and time -------------------------------------------------------------

    @rule(queue=st.sampled_from(["q", "p"]), action=st.sampled_from(["pause", "resume", "resume"]))
    def pause(self, queue: str, action: str) -> None:
        self.collect()
        self.broker.call(Control(queue=queue, action=action))
        for group in GROUPS[queue]:
            (self.paused.add if action == "pause" else self.paused.discard)((queue, group))

    @rule(queue=st.sampled_from(["q", "p"]))
    def purge(self, queue: str) -> None:
        self.look()
        doomed = [
            (id, copy)
            for id, message in self.model.messages.items()
            for copy in message.copies.values()
            if message.queue == queue and copy.state in WAITING and not copy.purged
        ]
        assert self.broker.call(Control(queue=queue, action="purge")).count == len(doomed)
        for id, copy in doomed:
            copy.purged = True
            self.restarted.add(id)

    @rule(throw_away=st.booleans())
    def dead_letters(self, throw_away: bool) -> None:
        self.look()
        letters = self.broker.call(ListDead()).entries
        request = PurgeDead() if throw_away else Replay()
        assert self.broker.call(request).count == len(letters)
        for letter in letters:
            self.restarted.add(letter.id)
            copy = self.model.messages[letter.id].copies[letter.group]
            assert copy.state == "dead"
            copy.purged = throw_away
            copy.replayed = not throw_away
            copy.asked = False
            copy.failures = 0
            copy.replayed_after = copy.deliveries
            copy.not_before = 0.0

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 5.0, 30.0, 61.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    # --- always ---------------------------------------------------------------------------------

    @invariant()
    def every_promise_holds(self) -> None:
        self.look()
        counts = self.model.counts()
        for stats in self.broker.call(GetStats()).queues:
            key = stats.queue, stats.group
            kept = {state: getattr(stats, state) for state in KEPT}
            assert kept == {state: counts.get(key, {}).get(state, 0) for state in KEPT}, (
                "12: counts"
            )
            ended = stats.succeeded + stats.cancelled + stats.expired + stats.purged
            assert sum(kept.values()) + ended == self.model.accepted[key], (
                "1: the sum of all states"
            )

    def everything_ends(self) -> None:
        """13: the faults stop, the clock goes on, and nothing waits for ever."""
        for queue in GROUPS:
            self.pause(queue, "resume")
        for _ in range(60):
            self.look()
            copies = [c for m in self.model.messages.values() for c in m.copies.values()]
            if all(copy.purged or copy.state in FINAL | {"dead"} for copy in copies):
                return
            self.pass_time(20)
            for pick, actor in enumerate(self.actors):
                actor.tasks = None
                self.hang_up(actor)
                self.claim(pick, 100, parked=False)
                acks: list[Outcome] = [
                    Ack(each.receipt, each.id, b"") for each in actor.hand.values()
                ]
                actor.hand.clear()
                self.broker.call(Settle(outcomes=acks))
        raise AssertionError("13: something waits for ever")
