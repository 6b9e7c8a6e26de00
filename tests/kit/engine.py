"""A bench to test the engine on: the engine, a clock that the test moves, and short commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from taskq import errors
from taskq.engine.capacity import UNBOUNDED
from taskq.engine.engine import Engine
from taskq.engine.tick import Tick
from taskq.journal.sqlite import SqliteJournal
from taskq.protocol.base import Failed, R, Reply, Request
from taskq.protocol.consuming import Begin, Claim, Heartbeat, HeartbeatReply, Reap, Register, Settle
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Enqueue, Inspect, Wait
from taskq.protocol.values import (
    Ack,
    Call,
    Delivered,
    ErrorInfo,
    Fail,
    Finished,
    JobInfo,
    Options,
    Outcome,
    QueueStats,
    Release,
    WorkerInfo,
)

MOMENT = 2.0**-10  # seconds; sums of it and of whole seconds are exact, unlike those of 0.001
PRODUCER = 1  # the session that commands come from unless a test names another
WORKER = 2  # the session that `register` uses unless a test names another


class EngineBench:
    """Drives an engine as a host does: apply, advance, commit, deliver the replies.

    `journal`: where each tick is committed, if anywhere. `jitter` is what the dice show.
    `last_rid`: the id of the latest request. `capacity`: of the engine that the next `restart` makes.
    `unanswered`: the sessions of the requests that still have no reply, by request id; a request of
    an open session gets exactly one.
    """

    def __init__(self, now: float = 1000.0, journal: SqliteJournal | None = None) -> None:
        self.capacity = UNBOUNDED
        self.engine = Engine()
        self.journal = journal
        self.now = now
        self.jitter = 0.0
        self.replies: dict[int, list[Reply]] = {}
        self.last_rid = 0
        self.unanswered: dict[int, int] = {}
        self._of_closed: set[int] = set()  # requests whose session has closed
        self._answers: dict[int, Reply] = {}

    # --- what a host does -------------------------------------------------------------------

    def tick(self, now: float | None = None) -> None:
        """Let the engine do what is due, commit, and deliver the replies."""
        if now is not None:
            self.now = now
        self.engine.advance(self.now)
        changes = self.engine.take_changes()
        if changes is not None and self.journal is not None:
            self.journal.commit(changes)
        self.deliver()

    def deliver(self) -> None:
        """Deliver the replies that are there."""
        for session, reply in self.engine.take_replies():
            asked_by = self.unanswered.pop(reply.rid, None)
            assert asked_by == session or reply.rid in self._of_closed, f"a second reply: {reply}"
            self.replies.setdefault(session, []).append(reply)
            self._answers[reply.rid] = reply

    def work_off(self) -> int:
        """Tick for as long as something is due at once; how often that was."""
        ticks = 0
        while (due := self.engine.next_deadline()) is not None and due <= self.now:
            self.tick()
            ticks += 1
        return ticks

    def after(self, seconds: float) -> None:
        """Move the clock forwards, and do what is due."""
        self.tick(self.now + seconds)
        self.work_off()

    def apply(self, request: Request[Any], session: int = PRODUCER) -> int:
        """Hand a request to the engine without a tick; its request id."""
        self.last_rid += 1
        request.rid = self.last_rid
        self.unanswered[request.rid] = session
        self.engine.apply(session, request, Tick(self.now, lambda: self.jitter))
        return self.last_rid

    def park(self, request: Request[Any], session: int = PRODUCER) -> int:
        """Hand over a request that is not to be answered yet; its request id."""
        rid = self.apply(request, session)
        self.tick()
        assert self.answer(rid) is None, f"answered at once: {self.answer(rid)}"
        return rid

    def answer(self, rid: int) -> Any:
        """The reply to that request, or `None`."""
        return self._answers.get(rid)

    def call(self, request: Request[R], session: int = PRODUCER) -> R:
        """The reply of a request that is answered in its tick; raises what a `Failed` names."""
        rid = self.apply(request, session)
        self.tick()
        if self.answer(rid) is None:
            self.work_off()
        reply = self.answer(rid)
        assert reply is not None, f"parked: {request}"
        if isinstance(reply, Failed):
            raise errors.by_name(reply.error)(reply.text)
        return reply

    def disconnect(self, session: int) -> None:
        """The connection of that session closes."""
        self.engine.disconnect(session, self.now)
        self._of_closed |= {rid for rid, by in self.unanswered.items() if by == session}
        self.unanswered = {rid: by for rid, by in self.unanswered.items() if by != session}
        self.tick()

    def reload(self, ticks: int = 1) -> Engine:
        """Another engine, filled from the journal, that has done what is due in so many ticks."""
        assert self.journal is not None
        engine = Engine(self.capacity)
        self.journal.load(engine, self.now)
        for _ in range(ticks):
            engine.advance(self.now)
        return engine

    def restart(self) -> None:
        """The broker dies and comes back: only the journal is left."""
        self.engine = self.reload()
        self.unanswered.clear()
        self.tick()

    # --- short commands -----------------------------------------------------------------------

    def enqueue(
        self,
        *ids: str,
        queue: str = "q",
        task: str = "t",
        payload: bytes = b"payload",
        delay: float = 0.0,
        eta_at: float | None = None,
        expires_at: float | None = None,
        expires: float | None = None,
        **options: Any,
    ) -> list[str]:
        """Enqueue messages; the ids that were known before."""
        calls = [Call(id, payload) for id in ids]
        request = Enqueue(
            queue=queue,
            task=task,
            options=Options(**options),
            calls=calls,
            delay=delay,
            eta_at=eta_at,
            expires_at=expires_at,
            expires=expires,
        )
        return self.call(request).existing

    def register(
        self,
        session: int = WORKER,
        worker: str = "w",
        consumer: str = "c",
        group: str = "default",
        queues: Sequence[str] = ("q",),
        tasks: Iterable[str] | None = None,
        holding: Iterable[int] = (),
    ) -> int:
        """Make a session a consumer; how many lost messages came back."""
        request = Register(
            worker=worker,
            consumer=consumer,
            group=group,
            queues=list(queues),
            tasks=None if tasks is None else list(tasks),
            holding=list(holding),
        )
        return len(self.call(request, session).released)

    def claim(
        self, n: int = 100, session: int = WORKER, queues: Sequence[str] = ("q",)
    ) -> list[Delivered]:
        """What is ready, at once; what is to be announced has begun."""
        messages = self.call(Claim(queues=list(queues), n=n, wait=0), session).messages
        for message in messages:
            if message.announce:
                self.call(Begin(receipt=message.receipt, id=message.id), session)
        return messages

    def claim_one(self, session: int = WORKER, queues: Sequence[str] = ("q",)) -> Delivered:
        """The one message that is next."""
        (message,) = self.claim(1, session, queues)
        return message

    def park_claim(
        self, session: int = WORKER, n: int = 100, queues: Sequence[str] = ("q",), wait: float = 60
    ) -> int:
        """A claim that finds nothing; its request id."""
        return self.park(Claim(queues=list(queues), n=n, wait=wait), session)

    def settle(self, *outcomes: Outcome) -> list[int]:
        """Settle; the receipts that were stale."""
        return self.call(Settle(outcomes=list(outcomes)), WORKER).rejected

    def ack(self, message: Delivered, value: bytes = b"value") -> list[int]:
        """The task has returned."""
        return self.settle(Ack(message.receipt, message.id, value))

    def fail(self, message: Delivered, **how: Any) -> list[int]:
        """The task has raised."""
        return self.settle(failure(message, **how))

    def release(self, message: Delivered, unknown: bool = False) -> list[int]:
        """The task has not begun."""
        return self.settle(Release(message.receipt, message.id, unknown))

    def bury(self, *ids: str, **options: Any) -> None:
        """Have messages end in the dead-letter queue; needs a registered consumer."""
        self.enqueue(*ids, **options)
        for message in self.claim(len(ids)):
            self.fail(message, final=True)

    def heartbeat(
        self,
        worker: str = "w",
        wait: float = 0.0,
        session: int = WORKER + 100,
        running: Iterable[int] = (),
    ) -> HeartbeatReply:
        """Renew a worker's leases; what is told to it at once."""
        beat = Heartbeat(worker=worker, info=WorkerInfo(), wait=wait, running=list(running))
        return self.call(beat, session)

    def reap(self, consumer: str = "c", running: Iterable[int] = (), **how: Any) -> int:
        """A consumer has died."""
        request = Reap(
            worker="w", consumer=consumer, running=list(running), reason="signal 9", **how
        )
        return self.call(request, WORKER + 100).count

    # --- what there is ------------------------------------------------------------------------

    def job(self, id: str, group: str = "default") -> JobInfo:
        """All that is known of a message in one group."""
        (job,) = (each for each in self.jobs(id) if each.group == group)
        return job

    def jobs(self, id: str) -> list[JobInfo]:
        """All that is known of a message, by group."""
        return self.call(Inspect(id=id)).jobs

    def state(self, id: str, group: str = "default") -> str:
        """Where a message stands; `"unknown"` if nowhere."""
        try:
            return self.job(id, group).state
        except errors.UnknownMessage:
            return "unknown"

    def end(self, id: str) -> Finished:
        """How a message has ended, as a waiter is told."""
        (finished,) = self.call(Wait(watch=999, add=[id], wait=0)).finished
        return finished

    def stats(self, queue: str = "q", group: str = "default") -> QueueStats:
        """The counters of one group."""
        (found,) = (
            entry
            for entry in self.call(GetStats()).queues
            if (entry.queue, entry.group) == (queue, group)
        )
        return found


def failure(message: Delivered, **how: Any) -> Fail:
    """The outcome of an attempt that raised."""
    return Fail(message.receipt, message.id, ErrorInfo("ValueError", "no"), **how)


def ids(messages: Iterable[Delivered]) -> list[str]:
    """Their ids, in order."""
    return [message.id for message in messages]
