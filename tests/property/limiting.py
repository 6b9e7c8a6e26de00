"""Limits: operators set them, producers wait for room, and the model learns what got in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from taskq.protocol.base import Failed
from taskq.protocol.operating import Limit
from taskq.protocol.producing import Enqueue, Enqueued
from taskq.protocol.values import Call, Options
from tests.property.room import check_nobody_waits_in_vain, fits_broker, fits_queue, must_refuse
from tests.property.stage import QUEUES, TASKS, Stage, picks, task_options

LARGE = b"large" * 4
PRODUCERS = 700  # sessions of producers that wait, from here on


class Part(NamedTuple):
    """One call that was taken; `known` has its id if that was known."""

    request: Enqueue
    known: list[str]


@dataclass
class Waiting:
    """One enqueue that waits. `taken` and `existing`: what the model knows of it."""

    rid: int
    session: int
    request: Enqueue
    deadline: float
    taken: int = 0
    existing: int = 0

    def progress(self, taken: int, existing: list[str]) -> Iterator[Part]:
        """The calls that were taken since the last time, one by one."""
        assert taken >= self.taken, "2: acknowledged, and then not"
        request = self.request
        ids = [call.id for call in request.calls[self.taken : taken]]
        known = existing[self.existing :]
        for position, call in enumerate(request.calls[self.taken : taken]):
            # of two calls with one id in a request, the first may be new
            again = known[:1] == [call.id] and ids[position:].count(call.id) == known.count(call.id)
            yield Part(
                Enqueue(
                    queue=request.queue, task=request.task, options=request.options, calls=[call]
                ),
                [known.pop(0)] if again else [],
            )
        assert not known, f"9: {known} were said to be known"
        self.taken, self.existing = taken, len(existing)


class Limiting(Stage):
    """Rules of limits."""

    @rule(
        queue=st.sampled_from(QUEUES),
        messages=st.sampled_from([None, 0, 0, 0, 1, 3, 8]),
        size=st.sampled_from([None, 0, 0, 30, 45, 100]),
    )
    def limit(self, queue: str, messages: int | None, size: int | None) -> None:
        old = self.ledger.queue(queue).capacity if queue in self.ledger.queues else (0, 0)
        self.bench.apply(Limit(queue=queue, max_messages=messages, max_bytes=size))
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
        payload=st.sampled_from([b"", b"p", LARGE]),
        wait=st.sampled_from([1.0, 50.0, 500.0]),
        same=st.booleans(),
    )
    def enqueue_with_patience(
        self,
        names: list[int],
        queue: str,
        task: str,
        options: Options,
        payload: bytes,
        wait: float,
        same: bool,
    ) -> None:
        """`same`: the producer asks on a connection on which it waits already."""
        calls = [Call(f"m{name}", payload) for name in names]
        request = Enqueue(queue=queue, task=task, options=options, calls=calls, wait=wait)
        self.sessions += not same
        session = PRODUCERS + self.sessions
        self.offers.append(Waiting(0, session, request, self.bench.now + wait))
        self.offers[-1].rid = self.bench.apply(request, session)
        self.bench.deliver()
        self.learn()
        self.bench.tick()

    @precondition(lambda self: len(self.offers) < 4)
    @rule(
        names=st.lists(st.integers(0, 60), min_size=4, max_size=6, unique=True),
        queue=st.sampled_from(QUEUES),
        most=st.sampled_from([(1, 0), (3, 0), (0, 30), (0, 30), (2, 45), None]),
        wait=st.sampled_from([1.0, 50.0, 500.0]),
        options=task_options,
    )
    def a_queue_fills_up(
        self,
        names: list[int],
        queue: str,
        most: tuple[int, int] | None,
        wait: float,
        options: Options,
    ) -> None:
        """The way to what is rare by chance: large calls that wait, and small ones behind them."""
        if most is not None:
            self.limit(queue, *most)
        for part, payload in ((names[:-1], LARGE), (names[-1:], b"p")):
            self.enqueue_with_patience(part, queue, "known", options, payload, wait, same=False)

    @precondition(lambda self: self.offers)
    @rule(pick=picks)
    def a_producer_goes(self, pick: int) -> None:
        session = self.offers[pick % len(self.offers)].session
        self.learn()
        self.offers = [each for each in self.offers if each.session != session]
        self.bench.disconnect(session)

    def try_to_enqueue(self, request: Enqueue) -> Enqueued | None:
        """Without patience: the reply, or `None` for `QueueFull`, which is given when it must be."""
        full = must_refuse(self.bench.engine, request)
        rid = self.bench.apply(request)
        self.bench.deliver()
        reply = self.bench.answer(rid)
        if full:
            assert isinstance(reply, Failed), "53: accepted above a limit"
            assert reply.error == "QueueFull", reply
            return None
        assert isinstance(reply, Enqueued), reply
        return reply

    def learn(self) -> None:
        """Tell the model which calls of those that wait have been accepted meanwhile."""
        live = {
            offer.request.rid: (offer.taken, offer.existing)
            for queue in self.ledger.queues.values()
            for offer in queue.parked
        }
        passed: set[str] = set()
        parts: dict[str, deque[Part]] = {}
        for waiting in list(self.offers):
            calls = waiting.request.calls
            reply = self.bench.answer(waiting.rid)
            if reply is None:
                taken, existing = live[waiting.rid]
            elif isinstance(reply, Failed):
                assert reply.error == "QueueFull", reply
                taken, existing = 0, []
            else:
                assert reply.rest < len(calls) or not calls
                taken, existing = len(calls) - reply.rest, reply.existing
            queue = waiting.request.queue
            in_order = taken == waiting.taken or queue not in passed
            assert in_order, "11: a producer has overtaken one that came first"
            parts.setdefault(queue, deque()).extend(waiting.progress(taken, existing))
            if reply is not None:
                self.offers.remove(waiting)
            else:
                passed.add(queue)
        self._accepted(parts)

    def _accepted(self, parts: dict[str, deque[Part]]) -> None:
        """In order within a queue; an id that is known from another queue comes after that one."""
        engine = self.bench.engine
        while waiting := [queue for queue in parts.values() if queue]:
            ripe = (q for q in waiting if all(map(self._is_known, q[0].known)))
            part = next(ripe, waiting[0]).popleft()
            self.model.enqueued(part.request, Enqueued(existing=part.known), self.bench.now, engine)
            if not part.known:
                name = part.request.queue
                assert fits_queue(engine, name, 0, 0), "53: above the limit of the queue"
                assert fits_broker(engine, 0, 0), "53: above the limit of the broker"

    def _is_known(self, id: str) -> bool:
        message = self.model.messages.get(id)
        return message is not None and not self.model.forgotten(message, self.bench.now)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        check_nobody_waits_in_vain(self.bench.engine)
        assert all(each.deadline > self.bench.now for each in self.offers), "13: waits too long"
        assert {each.rid for each in self.offers} >= {
            offer.request.rid for queue in self.ledger.queues.values() for offer in queue.parked
        }
