"""Any sequence of requests, deaths, crashes and jumps of the clock keeps every promise."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskq import errors
from taskq.engine import commands as c
from taskq.engine.retry import Backoff
from taskq.engine.states import WAITING, State
from taskq.journal.sqlite import SqliteJournal
from tests.property.model import ABSORBING, Model
from tests.unit.engine.bench import Bench
from tests.unit.engine.snapshot import snapshot

QUEUES = ["q", "p"]
TASKS = ["known", "rare"]
GROUPS = ["late", "later"]
WAITER = 500

picks = st.integers(0, 1000)
seconds = st.sampled_from([0.001, 0.5, 1.0, 2.0, 3.0, 10.0, 30.0, 61.0, 200.0, 4000.0])
options = st.builds(
    c.Options,
    priority=st.integers(0, 3),
    retries=st.integers(0, 2),
    backoff=st.sampled_from([Backoff(base=0), Backoff(base=1), Backoff(steps=(2.0, 5.0))]),
    lease=st.sampled_from([1.0, 5.0, 30.0]),
    max_deliveries=st.integers(1, 3),
    result_ttl=st.sampled_from([0.0, 5.0, 100.0]),
    early=st.sampled_from([False, False, False, True]),
    portable=st.sampled_from([False, False, False, True]),
)


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
    hand: dict[int, c.Delivered] = field(default_factory=dict)


class EngineMachine(RuleBasedStateMachine):
    """Drives one engine on one journal, and a model beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(journal=SqliteJournal(":memory:", "os"))
        self.model = Model()
        self.sessions = 10
        self.actors = [
            self._actor("w1", "c1", "default", QUEUES, None),
            self._actor("w1", "c2", "default", ["q"], ["known"]),
            self._actor("w2", "c1", "default", QUEUES, None),
            self._actor("w3", "c1", "audit", ["q"], None),
        ]
        self.told: list[tuple[c.Delivered, str]] = []
        self.watched: set[str] = set()
        self.heard: set[str] = set()

    def teardown(self) -> None:
        try:
            self._let_everything_end()
        finally:
            assert self.bench.journal is not None
            self.bench.journal.close()

    # --- helpers ------------------------------------------------------------------------------

    def _actor(
        self, worker: str, consumer: str, group: str, queues: list[str], tasks: list[str] | None
    ) -> Actor:
        self.sessions += 1
        return Actor(worker, consumer, group, queues, tasks, self.sessions)

    @property
    def ledger(self) -> Any:
        return self.bench.engine.ledger

    def _pick_actor(self, pick: int, registered: bool | None = None) -> Actor | None:
        fit = [a for a in self.actors if registered is None or a.registered == registered]
        return fit[pick % len(fit)] if fit else None

    def _pick_id(self, pick: int) -> str | None:
        ids = list(self.model.messages)
        return ids[-1 - pick % len(ids)] if ids else None

    def _collect(self) -> None:
        """Hand parked claims that were answered to their actors, in the order of their service."""
        answered = [
            (actor, self.bench.answer(actor.parked).messages)
            for actor in self.actors
            if actor.parked and self.bench.answer(actor.parked) is not None
        ]
        for actor, messages in sorted(answered, key=lambda each: [m.receipt for m in each[1]]):
            actor.parked = 0
            self._deliver(actor, messages)

    def _deliver(self, actor: Actor, messages: list[c.Delivered]) -> None:
        self.model.delivered(messages, actor.group, self.bench.now)
        for message in messages:
            actor.hand[message.receipt] = message
            self.told.append((message, actor.group))

    def _registration(self, actor: Actor, holding: list[int]) -> c.Register:
        return c.Register(
            worker=actor.worker,
            consumer=actor.consumer,
            group=actor.group,
            queues=list(actor.queues),
            tasks=actor.tasks,
            holding=holding,
        )

    def _register(self, actor: Actor, holding: list[int]) -> None:
        new = [
            name
            for name in actor.queues
            if name not in self.ledger.queues or actor.group not in self.ledger.queues[name].groups
        ]
        self.bench.call(self._registration(actor, holding), actor.session)
        for name in new:
            self.model.new_group(name, actor.group, self.bench.engine)
        actor.registered = True
        self._collect()
        self.model.check(self.bench.engine, self.bench.now)

    def _drop_session(self, actor: Actor) -> None:
        self.sessions += 1
        actor.session = self.sessions
        actor.registered = False
        actor.parked = 0

    # --- producers ----------------------------------------------------------------------------

    @initialize()
    def a_worker_is_there(self) -> None:
        self._register(self.actors[0], [])

    @rule(
        names=st.lists(st.integers(0, 60), min_size=1, max_size=6),
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        options=options,
        payload=st.binary(max_size=20),
        delay=st.sampled_from([0.0, 0.0, 0.0, 0.5, 10.0, 300.0]),
        eta_in=st.sampled_from([None, None, -5.0, 3.0]),
        expires_in=st.sampled_from([None, None, None, -1.0, 2.0, 40.0]),
    )
    def enqueue(
        self,
        names: list[int],
        queue: str,
        task: str,
        options: c.Options,
        payload: bytes,
        delay: float,
        eta_in: float | None,
        expires_in: float | None,
    ) -> None:
        now = self.bench.now
        request = c.Enqueue(
            queue=queue,
            task=task,
            options=options,
            calls=[c.Call(f"m{name}", payload) for name in names],
            delay=delay,
            eta_at=None if eta_in is None else now + eta_in,
            expires_at=None if expires_in is None else now + expires_in,
        )
        rid = self.bench.apply(request)
        self.model.enqueued(request, self._reply_before_the_tick(rid), now, self.bench.engine)
        self.bench.tick()

    def _reply_before_the_tick(self, rid: int) -> Any:
        # parked claims are served in the tick: the model must know the messages by then
        self.bench.deliver()
        reply = self.bench.answer(rid)
        assert not isinstance(reply, c.Failed), reply
        return reply

    @rule(pick=picks, terminate=st.booleans())
    def cancel(self, pick: int, terminate: bool) -> None:
        id = self._pick_id(pick)
        if id is None:
            return
        waiting = self._states(id)
        try:
            reply = self.bench.call(c.Cancel(ids=[id], terminate=terminate))
        except errors.UnknownMessage:
            assert id not in self.ledger.messages
            assert id not in self.ledger.results
            return
        assert (id in reply.asked) == (State.LEASED in waiting)
        if State.LEASED not in waiting:
            assert (id in reply.cancelled) == bool(waiting & WAITING)

    def _states(self, id: str) -> set[State]:
        message = self.ledger.messages.get(id)
        return {entry.state for entry in message.deliveries} if message is not None else set()

    @rule(picked=st.lists(picks, min_size=1, max_size=4), wait=st.sampled_from([0.0, 5.0, 60.0]))
    def wait_for(self, picked: list[int], wait: float) -> None:
        add = {id for id in map(self._pick_id, picked) if id is not None}
        rid = self.bench.apply(c.Wait(watch=1, add=sorted(add), wait=wait), WAITER)
        self.watched |= add
        self.heard -= add
        self.bench.tick()
        reply = self.bench.answer(rid)
        if reply is None:
            return
        for end in reply.finished:
            assert end.id in self.watched, "told of what was not asked for"
            assert end.id not in self.heard, "told twice"
            self.heard.add(end.id)
            self._check_end(end)

    def _check_end(self, end: c.Finished) -> None:
        message = self.ledger.messages.get(end.id)
        result = self.ledger.results.get(end.id)
        if result is not None:
            assert end.state in (result.state.label, "forgotten")
        elif message is not None and message.deliveries[0].state is State.DEAD:
            assert end.state == "dead"
        else:
            assert end.state in ("unknown", "forgotten")

    # --- workers ------------------------------------------------------------------------------

    @rule(pick=picks, keep=st.sampled_from(["all", "none", "some"]))
    def register(self, pick: int, keep: str) -> None:
        actor = self._pick_actor(pick)
        assert actor is not None
        receipts = sorted(actor.hand)
        held = {"all": receipts, "none": [], "some": receipts[::2]}[keep]
        actor.hand = {receipt: actor.hand[receipt] for receipt in held}
        self._register(actor, held)

    @precondition(lambda self: len(self.actors) < 6)
    @rule()
    def a_new_group_appears(self) -> None:
        name = GROUPS[len(self.actors) - 4]
        actor = self._actor("w4", f"c{len(self.actors)}", name, ["q"], None)
        self.actors.append(actor)
        self._register(actor, [])

    @rule(pick=picks, n=st.integers(0, 5))
    def claim(self, pick: int, n: int) -> None:
        actor = self._pick_actor(pick, registered=True)
        if actor is None:
            return
        actor.parked = 0
        reply = self.bench.call(c.Claim(queues=list(actor.queues), n=n, wait=0), actor.session)
        assert len(reply.messages) <= n
        self._deliver(actor, reply.messages)

    @rule(pick=picks, n=st.integers(1, 5))
    def park_a_claim(self, pick: int, n: int) -> None:
        actor = self._pick_actor(pick, registered=True)
        if actor is None:
            return
        request = c.Claim(queues=list(actor.queues), n=n, wait=30)
        actor.parked = self.bench.apply(request, actor.session)
        self.bench.tick()

    @rule(
        pick=picks,
        how=st.lists(
            st.sampled_from(["ack", "fail", "final", "later", "release", "unknown", "abandon"]),
            min_size=1,
            max_size=4,
        ),
        twice=st.booleans(),
    )
    def settle(self, pick: int, how: list[str], twice: bool) -> None:
        actor = self._pick_actor(pick)
        assert actor is not None
        messages = list(actor.hand.values())[: len(how)]
        outcomes = [_outcome(kind, m) for kind, m in zip(how, messages, strict=False)]
        outcomes = [o for o in outcomes if self._possible(o)]
        live = {o.receipt for o in outcomes if o.receipt in self.ledger.leases}
        others = self._copies_of_other_groups(actor.group)
        reply = self.bench.call(c.Settle(outcomes=outcomes), WAITER)
        assert not live & set(reply.rejected), "an outcome in time was refused"
        if not self._someone_waits():
            assert self._copies_of_other_groups(actor.group) == others, "10: another group's copy"
        for outcome in outcomes:
            actor.hand.pop(outcome.receipt, None)
        if twice and outcomes and not self._someone_waits():
            before = snapshot(self.bench.engine)
            again = self.bench.call(c.Settle(outcomes=outcomes), WAITER)
            assert snapshot(self.bench.engine) == before, "4: the same outcome again"
            assert not (set(again.rejected) & live - self._seconds_of_groups(outcomes))

    def _seconds_of_groups(self, outcomes: list[c.Outcome]) -> set[int]:
        """Receipts whose message is gone with another group's end: nothing is left to compare."""
        return {o.receipt for o in outcomes if o.id not in self.ledger.messages}

    def _possible(self, outcome: c.Outcome) -> bool:
        """An early one is over already; abandoning is for what was cancelled."""
        delivery = self.ledger.leases.get(outcome.receipt)
        return delivery is None or not isinstance(outcome, c.Abandon) or delivery.cancelling > 0

    def _someone_waits(self) -> bool:
        return any(actor.parked for actor in self.actors)

    def _copies_of_other_groups(self, name: str) -> dict[tuple[str, str], Any]:
        return {
            (message.id, entry.group.name): (entry.state, entry.receipt, entry.claims)
            for message in self.ledger.messages.values()
            for entry in message.deliveries
            if entry.group.name != name and entry.state not in ABSORBING
        }

    @rule(pick=picks, kind=st.sampled_from(["ack", "fail", "release", "abandon"]))
    def a_stale_actor_speaks(self, pick: int, kind: str) -> None:
        stale = [m for m, _ in self.told if m.receipt not in self.ledger.leases]
        if not stale:
            return
        message = stale[pick % len(stale)]
        before = snapshot(self.bench.engine)
        self.bench.call(c.Settle(outcomes=[_outcome(kind, message)]), WAITER)
        with pytest.raises(errors.LeaseLost):
            self.bench.call(c.Extend(receipt=message.receipt, seconds=100), WAITER)
        assert snapshot(self.bench.engine) == before, "4: a stale receipt changed something"

    @rule(worker=st.sampled_from(["w1", "w2", "w3", "w4"]))
    def heartbeat(self, worker: str) -> None:
        attended = self.bench.heartbeat(worker, session=600 + int(worker[1]))
        told = [*attended.cancel, *attended.terminate]
        for receipt in told:
            lease = self.ledger.leases.get(receipt)
            assert lease is None or lease.cancelling

    @rule(pick=picks, wanted=seconds)
    def extend(self, pick: int, wanted: float) -> None:
        if self.ledger.leases:
            receipts = sorted(self.ledger.leases)
            request = c.Extend(receipt=receipts[pick % len(receipts)], seconds=wanted)
            self.bench.call(request, WAITER)

    @rule(pick=picks, mode=st.sampled_from(["lost", "timed out", "cancelled"]), every=picks)
    def a_child_dies(self, pick: int, mode: str, every: int) -> None:
        actor = self._pick_actor(pick)
        assert actor is not None
        running = sorted(actor.hand)[:: 1 + every % 3]
        request = c.Reap(
            worker=actor.worker,
            consumer=actor.consumer,
            running=running,
            reason="signal 9",
            timed_out=mode == "timed out",
            cancelled=mode == "cancelled",
        )
        self.bench.disconnect(actor.session)
        self.bench.call(request, WAITER)
        self._drop_session(actor)  # its hand stays: it may speak when it is dead

    @rule(pick=picks)
    def disconnect(self, pick: int) -> None:
        actor = self._pick_actor(pick)
        assert actor is not None
        self.bench.disconnect(actor.session)
        self._drop_session(actor)

    @rule(worker=st.sampled_from(["w1", "w2", "w3", "w4"]))
    def leave(self, worker: str) -> None:
        self.bench.call(c.Leave(worker=worker), WAITER)
        for actor in self.actors:
            if actor.worker == worker:
                actor.registered, actor.parked = False, 0

    # --- operators ----------------------------------------------------------------------------

    @rule(
        queue=st.sampled_from(QUEUES),
        group=st.sampled_from(["", "", "default", "audit"]),
        action=st.sampled_from(["pause", "resume", "resume", "purge"]),
    )
    def control(self, queue: str, group: str, action: str) -> None:
        doomed = [
            (message.id, entry.group.name)
            for message in self.ledger.messages.values()
            for entry in message.deliveries
            if entry.group.queue.name == queue
            and entry.group.name in (group or entry.group.name)
            and entry.state in WAITING
        ]
        try:
            reply = self.bench.call(c.Control(queue=queue, group=group, action=action))
        except errors.TaskqError:
            known = self.ledger.queues.get(queue)
            assert known is None or group not in known.groups
            return
        if action == "purge":
            assert reply.count == len(doomed)
            for id, name in doomed:
                self.model.purged(id, name)

    @rule(
        picked=st.lists(picks, max_size=3),
        rate=st.sampled_from([None, 0.5, 10.0]),
        throw_away=st.booleans(),
    )
    def replay_or_purge(self, picked: list[int], rate: float | None, throw_away: bool) -> None:
        dead = [
            (id, group)
            for queue in self.ledger.queues.values()
            for group in queue.groups.values()
            for id in group.dead
        ]
        ids = sorted({dead[pick % len(dead)][0] for pick in picked}) if dead else []
        chosen = [(id, group) for id, group in dead if not ids or id in ids]
        request: Any = c.PurgeDead(ids=ids) if throw_away else c.Replay(ids=ids, rate=rate)
        rid = self.bench.apply(request)
        for id, group in chosen:
            if throw_away:
                self.model.purged(id, group.name)
        self.bench.tick()
        assert self.bench.answer(rid).count == len(chosen)

    @rule(pick=picks)
    def look(self, pick: int) -> None:
        self.bench.call(c.GetStats())
        entries = self.bench.call(c.ListDead()).entries
        assert [e.last_failed_at for e in entries if e.group == "default" and e.queue == "q"] == (
            sorted(e.last_failed_at for e in entries if e.group == "default" and e.queue == "q")
        )
        id = self._pick_id(pick)
        if id is not None and (id in self.ledger.messages or id in self.ledger.results):
            assert self.bench.call(c.Inspect(id=id)).jobs

    # --- time and crashes -----------------------------------------------------------------------

    @rule(by=seconds)
    def time_passes(self, by: float) -> None:
        self.bench.after(by)

    @rule(by=seconds)
    def the_broker_was_stopped(self, by: float) -> None:
        self.bench.now += by
        self.bench.engine.forgive(by)
        self.bench.tick()

    @rule(
        pick=picks,
        committed=st.booleans(),
        down=st.sampled_from([0.0, 1.0, 100.0]),
        returning=st.booleans(),
    )
    def crash(self, pick: int, committed: bool, down: float, returning: bool) -> None:
        """The broker dies in a tick: before its commit, or after it and before its replies."""
        self._collect()
        actor = self._pick_actor(pick, registered=True)
        enqueue = c.Enqueue("q", "known", c.Options(), [c.Call(f"m{pick % 70}", b"in flight")])
        rid = self.bench.apply(enqueue)
        enqueued = self._reply_before_the_tick(rid)
        claimed = 0
        if actor is not None:
            claim = c.Claim(queues=list(actor.queues), n=2, wait=0)
            claimed = self.bench.apply(claim, actor.session)
        if committed:
            self.model.enqueued(enqueue, enqueued, self.bench.now, self.bench.engine)
            self.bench.tick()
            if actor is not None:
                self.model.lost_on_the_way(self.bench.answer(claimed).messages, actor.group)
            for other in self.actors:
                if other.parked and (reply := self.bench.answer(other.parked)) is not None:
                    self.model.lost_on_the_way(reply.messages, other.group)
            self.model.check(self.bench.engine, self.bench.now)
        self.bench.now += down
        self.bench.restart()
        self.model.check(self.bench.engine, self.bench.now)
        self.watched.clear()
        self.heard.clear()
        for each in self.actors:
            self._drop_session(each)
        if returning:
            for each in self.actors:
                self._register(each, sorted(each.hand))

    # --- what is always true ----------------------------------------------------------------------

    @invariant()
    def every_promise_holds(self) -> None:
        self._collect()
        self.model.check(self.bench.engine, self.bench.now)

    @invariant()
    def the_journal_has_it_all(self) -> None:
        assert snapshot(self.bench.reload()) == snapshot(self.bench.engine), "8: load = memory"

    def _let_everything_end(self) -> None:
        """13: the faults stop, the clock goes on, and nothing waits for ever."""
        for queue in list(self.ledger.queues):
            self.bench.call(c.Control(queue=queue, action="resume"))
        groups = {
            (queue.name, group.name)
            for queue in self.ledger.queues.values()
            for group in queue.groups.values()
        }
        last = [
            self._actor("last", f"{queue}-{group}", group, [queue], None)
            for queue, group in sorted(groups)
        ]
        for _ in range(40):
            self.bench.after(500)
            for actor in last:
                self._register(actor, [])
                while messages := self.bench.call(
                    c.Claim(queues=actor.queues, n=100, wait=0), actor.session
                ).messages:
                    acks = [c.Ack(m.receipt, m.id, b"") for m in messages if not m.early]
                    assert self.bench.settle(*acks) == []
            open_ = [s for id in self.ledger.messages for s in self._states(id)]
            if all(state is State.DEAD or state not in WAITING | {State.LEASED} for state in open_):
                return
        raise AssertionError("13: something waits for ever")


def _outcome(kind: str, message: c.Delivered) -> c.Outcome:
    receipt, id = message.receipt, message.id
    error = c.ErrorInfo("ValueError", "no")
    outcomes: dict[str, c.Outcome] = {
        "ack": c.Ack(receipt, id, b"value"),
        "fail": c.Fail(receipt, id, error),
        "final": c.Fail(receipt, id, error, final=True),
        "later": c.Fail(receipt, id, error, delay=7.0),
        "release": c.Release(receipt, id),
        "unknown": c.Release(receipt, id, unknown=True),
        "abandon": c.Abandon(receipt, id),
    }
    return outcomes[kind]


TestEngine = EngineMachine.TestCase
TestEngine.pytestmark = [
    pytest.mark.timeout(7200 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 120)
]
