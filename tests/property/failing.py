"""Faults: deaths, closed connections, a clock that jumps, and crashes of the broker."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from taskq.engine.capacity import Capacity
from taskq.protocol.consuming import Claim, Leave, Reap
from taskq.protocol.producing import Enqueue
from taskq.protocol.values import Call, ErrorInfo, Fail, Options
from tests.property.stage import (
    WAITER,
    WORKERS,
    Stage,
    picks,
    seconds,
)


class Failing(Stage):
    """Rules of misfortune."""

    @rule(pick=picks, mode=st.sampled_from(["lost", "timed out", "cancelled"]), every=picks)
    def a_child_dies(self, pick: int, mode: str, every: int) -> None:
        actor = self.pick_actor(pick)
        assert actor is not None
        running = sorted(actor.hand)[:: 1 + every % 3]
        request = Reap(
            worker=actor.worker,
            consumer=actor.consumer,
            running=running,
            reason="signal 9",
            timed_out=mode == "timed out",
            cancelled=mode == "cancelled",
        )
        for receipt in running:
            lease = self.ledger.leases.get(receipt)
            if lease is not None and mode == "timed out":
                failure = Fail(receipt, lease.message.id, ErrorInfo("TaskTimeout", ""))
                self.model.settled(failure, actor.group, self.bench.now)
            elif lease is not None and mode == "lost":
                self.deaths.died(receipt, actor.group)
        self.bench.disconnect(actor.session)
        self.bench.call(request, WAITER)
        self.drop_session(actor)  # its hand stays: it may speak when it is dead

    @rule(
        pick=picks,
        worker=WORKERS,
        whole=st.sampled_from([False, False, True]),
    )
    def somebody_goes(self, pick: int, worker: str, whole: bool) -> None:
        if whole:
            self.leave(worker)
        else:
            self.disconnect(pick)

    def disconnect(self, pick: int) -> None:
        actor = self.pick_actor(pick)
        assert actor is not None
        self.bench.disconnect(actor.session)
        self.drop_session(actor)

    def leave(self, worker: str) -> None:
        self.bench.call(Leave(worker=worker), WAITER)
        for actor in self.actors:
            if actor.worker == worker:
                actor.registered, actor.parked = False, 0

    @rule(by=seconds, stopped=st.sampled_from([False, False, True]))
    def time_passes(self, by: float, stopped: bool) -> None:
        """`stopped`: and the broker was not running meanwhile."""
        if stopped:
            self.bench.engine.extend_for_pause(by)
        self.pass_time(by)

    @rule(
        pick=picks,
        committed=st.booleans(),
        down=st.sampled_from([0.0, 1.0, 100.0]),
        returning=st.booleans(),
        capacity=st.sampled_from([(0, 0), (0, 0), (0, 0), (12, 0), (0, 45), (30, 300)]),
    )
    def crash(
        self,
        pick: int,
        committed: bool,
        down: float,
        returning: bool,
        capacity: tuple[int, int],
    ) -> None:
        """The broker dies in a tick: before its commit, or after it and before its replies.

        It comes back with another limit for all that it keeps.
        """
        self.collect()
        actor = self.pick_actor(pick, registered=True)
        enqueue = Enqueue(
            queue="q", task="known", options=Options(), calls=[Call(f"m{pick % 70}", b"in flight")]
        )
        enqueued = self.try_to_enqueue(enqueue)
        claimed = 0
        if actor is not None:
            claim = Claim(queues=list(actor.queues), n=2, wait=0)
            claimed = self.bench.apply(claim, actor.session)
        if committed:
            if enqueued is not None:
                self.model.enqueued(enqueue, enqueued, self.bench.now, self.bench.engine)
            self.bench.tick()
            self.learn()
            if actor is not None:
                self.model.lost_on_the_way(
                    self.bench.answer(claimed).messages, actor.group, self.bench.engine
                )
            for other in self.actors:
                if other.parked and (reply := self.bench.answer(other.parked)) is not None:
                    self.model.lost_on_the_way(reply.messages, other.group, self.bench.engine)
            self.model.check(self.bench.engine, self.bench.now)
        self.restart(down, capacity)
        self.model.check(self.bench.engine, self.bench.now)
        self.go_on(returning)

    def restart(self, down: float = 0.0, capacity: tuple[int, int] | None = None) -> None:
        """The broker dies and comes back; its clients have not noticed."""
        self.offers.clear()
        self.bench.now += down
        if capacity is not None:
            self.bench.capacity = Capacity(*capacity)
        self.bench.restart()
        self.deaths.restarted(self.bench.engine)
        self.secured = {  # a full lease to come back; what was asked for with Extend is not kept
            receipt: self.bench.now + lease.message.spec.options.lease
            for receipt, lease in self.ledger.leases.items()
        }

    def go_on(self, returning: bool = True) -> None:
        """The clients notice that the broker was lost."""
        self.watched.clear()
        self.heard.clear()
        for each in self.actors:
            self.drop_session(each)
        if returning:
            for each in self.actors:
                self.enroll(each, sorted(each.hand))
