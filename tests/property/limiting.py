"""Limits: operators set them, producers wait for room, and the model learns what got in."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from taskq.engine import commands as c
from tests.property.room import check_nobody_waits_in_vain, fits_broker, fits_queue, must_refuse
from tests.property.stage import QUEUES, TASKS, Stage, picks, task_options

PRODUCERS = 700  # sessions of producers that wait, from here on


@dataclass
class Waiting:
    """One enqueue that waits. `taken` and `existing`: what the model knows of it."""

    rid: int
    session: int
    request: c.Enqueue
    deadline: float
    taken: int = 0
    existing: int = 0


class Limiting(Stage):
    """Rules of limits."""

    @rule(
        queue=st.sampled_from(QUEUES),
        messages=st.sampled_from([None, 0, 0, 0, 1, 3, 8]),
        size=st.sampled_from([None, 0, 0, 25, 40, 100]),
    )
    def limit(self, queue: str, messages: int | None, size: int | None) -> None:
        old = self.ledger.queue(queue).capacity if queue in self.ledger.queues else (0, 0)
        self.bench.apply(c.Limit(queue, messages, size))
        new = self.ledger.queues[queue].capacity
        asked = [
            now if now is not None else was for now, was in zip((messages, size), old, strict=True)
        ]
        assert list(new) == asked
        self.bench.tick()

    @precondition(lambda self: len(self.offers) < 4)
    @rule(
        names=st.lists(st.integers(0, 60), max_size=6),
        queue=st.sampled_from(QUEUES),
        task=st.sampled_from(TASKS),
        options=task_options,
        payload=st.sampled_from([b"", b"p", b"large" * 4]),
        wait=st.sampled_from([1.0, 50.0, 500.0]),
        same=st.booleans(),
    )
    def enqueue_with_patience(
        self,
        names: list[int],
        queue: str,
        task: str,
        options: c.Options,
        payload: bytes,
        wait: float,
        same: bool,
    ) -> None:
        """`same`: the producer asks on a connection on which it waits already."""
        calls = [c.Call(f"m{name}", payload) for name in names]
        request = c.Enqueue(queue, task, options, calls, wait=wait)
        self.sessions += not same
        session = PRODUCERS + self.sessions
        self.offers.append(Waiting(0, session, request, self.bench.now + wait))
        self.offers[-1].rid = self.bench.apply(request, session)
        self.bench.deliver()
        self.learn()
        self.bench.tick()

    @precondition(lambda self: self.offers)
    @rule(pick=picks)
    def a_producer_goes(self, pick: int) -> None:
        session = self.offers[pick % len(self.offers)].session
        self.learn()
        self.offers = [each for each in self.offers if each.session != session]
        self.bench.disconnect(session)

    def try_to_enqueue(self, request: c.Enqueue) -> c.Enqueued | None:
        """Without patience: the reply, or `None` for `QueueFull`, which is given when it must be."""
        full = must_refuse(self.bench.engine, request)
        rid = self.bench.apply(request)
        self.bench.deliver()
        reply = self.bench.answer(rid)
        if full:
            assert isinstance(reply, c.Failed), "53: accepted above a limit"
            assert reply.error == "QueueFull", reply
            return None
        assert isinstance(reply, c.Enqueued), reply
        return reply

    def learn(self) -> None:
        """Tell the model which calls of those that wait have been accepted meanwhile."""
        live = {
            offer.request.rid: (offer.taken, offer.existing)
            for queue in self.ledger.queues.values()
            for offer in queue.offers
        }
        passed: set[str] = set()
        for waiting in list(self.offers):
            calls = waiting.request.calls
            reply = self.bench.answer(waiting.rid)
            if reply is None:
                taken, existing = live[waiting.rid]
            elif isinstance(reply, c.Failed):
                assert reply.error == "QueueFull", reply
                taken, existing = 0, []
            else:
                assert reply.rest < len(calls) or not calls
                taken, existing = len(calls) - reply.rest, reply.existing
            in_order = taken == waiting.taken or waiting.request.queue not in passed
            assert in_order, "11: a producer has overtaken one that came first"
            self._accepted(waiting, taken, existing)
            if reply is not None:
                self.offers.remove(waiting)
            else:
                passed.add(waiting.request.queue)

    def _accepted(self, waiting: Waiting, taken: int, existing: list[str]) -> None:
        assert taken >= waiting.taken, "2: acknowledged, and then not"
        request, engine = waiting.request, self.bench.engine
        part = c.Enqueue(
            request.queue, request.task, request.options, request.calls[waiting.taken : taken]
        )
        known = existing[waiting.existing :]
        self.model.enqueued(part, c.Enqueued(known), self.bench.now, engine)
        if len(part.calls) > len(known):
            assert fits_queue(engine, request.queue, 0, 0), "53: above the limit of the queue"
            assert fits_broker(engine, 0, 0), "53: above the limit of the broker"
        waiting.taken, waiting.existing = taken, len(existing)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        check_nobody_waits_in_vain(self.bench.engine)
        assert all(each.deadline > self.bench.now for each in self.offers), "13: waits too long"
        assert {each.rid for each in self.offers} >= {
            offer.request.rid for queue in self.ledger.queues.values() for offer in queue.offers
        }
