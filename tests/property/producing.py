"""Producers: they enqueue, cancel and wait."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from taskq import errors
from taskq.engine.states import WAITING, State
from taskq.protocol.producing import Cancel, Enqueue, Unwatch, Wait
from taskq.protocol.values import Call, Finished, Options
from tests.property.stage import (
    QUEUES,
    TASKS,
    WAITER,
    Stage,
    picks,
    task_options,
)


class Producing(Stage):
    """Rules of producers."""

    @rule(
        names=st.lists(st.integers(0, 60), min_size=1, max_size=6),
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        options=task_options,
        payload=st.binary(max_size=20),
        delay=st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 10.0]),
        eta_in=st.sampled_from([None, None, None, -5.0, 3.0]),
        expires_in=st.sampled_from([None, None, None, None, None, -1.0, 2.0, 40.0]),
    )
    def enqueue(
        self,
        names: list[int],
        queue: str,
        task: str,
        options: Options,
        payload: bytes,
        delay: float,
        eta_in: float | None,
        expires_in: float | None,
    ) -> None:
        now = self.bench.now
        request = Enqueue(
            queue=queue,
            task=task,
            options=options,
            calls=[Call(f"m{name}", payload) for name in names],
            delay=delay,
            eta_at=None if eta_in is None else now + eta_in,
            expires_at=None if expires_in is None else now + expires_in,
        )
        reply = self.try_to_enqueue(request)
        if reply is not None:
            self.learn()
            self.model.enqueued(request, reply, now, self.bench.engine)
        self.bench.tick()

    @rule(
        names=st.lists(st.integers(0, 60), min_size=1, max_size=6),
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        options=task_options,
    )
    def enqueue_plainly(self, names: list[int], queue: str, task: str, options: Options) -> None:
        self.enqueue(names, queue, task, options, b"payload", 0.0, None, None)

    @rule(pick=picks, terminate=st.booleans())
    def cancel(self, pick: int, terminate: bool) -> None:
        id = self.pick_id(pick)
        if id is None:
            return
        waiting = self.states(id)
        message = self.ledger.current(id)
        running = [
            entry.group.name
            for entry in (message.deliveries if message is not None else ())
            if entry.state is State.LEASED
        ]
        try:
            reply = self.bench.call(Cancel(ids=[id], terminate=terminate))
        except errors.UnknownMessage:
            assert id not in self.ledger.messages
            assert id not in self.ledger.results
            return
        for name in running:
            self.model.by_seq[message.seq].copies[name].asked = True
        assert (id in reply.asked) == (State.LEASED in waiting)
        if State.LEASED not in waiting:
            assert (id in reply.cancelled) == bool(waiting & WAITING)

    @rule(picked=st.lists(picks, min_size=1, max_size=4), wait=st.sampled_from([0.0, 5.0, 60.0]))
    def wait_for(self, picked: list[int], wait: float) -> None:
        add = {id for id in map(self.pick_id, picked) if id is not None}
        rid = self.bench.apply(Wait(watch=1, add=sorted(add), wait=wait), WAITER)
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

    @rule()
    def unwatch(self) -> None:
        self.bench.call(Unwatch(watch=1), WAITER)
        self.watched.clear()
        self.heard.clear()

    def _check_end(self, end: Finished) -> None:
        message = self.ledger.messages.get(end.id)
        result = self.ledger.results.get(end.id)
        if result is not None:
            assert end.state in (result.state.label, "forgotten")
        elif message is not None and message.deliveries[0].state is State.DEAD:
            assert end.state == "dead"
        else:
            assert end.state in ("unknown", "forgotten")
