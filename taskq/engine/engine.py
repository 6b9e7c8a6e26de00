"""The engine: requests in, replies and changes out. No I/O, no threads, no clock, no randomness.

The host hands every request to `apply`, calls `advance` once a tick, writes what `take_changes`
gives, and only then sends what `take_replies` gives. The time and the dice are arguments (`Tick`), so
a run can be repeated to the letter.

Each subject has a module with its requests' `HANDLERS`. One whose requests may be parked has `PARKED`:
for each kind what is done at the deadline, and when the session closes.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any

from taskq.engine import (
    beginnings,
    claims,
    deadletters,
    departing,
    heartbeats,
    inspecting,
    leases,
    limiting,
    operating,
    producing,
    statistics,
    waiting,
    workers,
)
from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.changes import MARKS, Changes, HighWaterMarks
from taskq.engine.handlers import Handlers, ParkedKinds
from taskq.engine.ledger import Ledger
from taskq.engine.results import ON_DISK, Retention
from taskq.engine.sessions import Session
from taskq.engine.tick import Tick
from taskq.engine.timers import MovableTimer
from taskq.errors import TaskqError
from taskq.protocol.base import Failed, Reply, Request

HANDLERS: Handlers = {
    **producing.HANDLERS,
    **limiting.HANDLERS,
    **waiting.HANDLERS,
    **inspecting.HANDLERS,
    **workers.HANDLERS,
    **heartbeats.HANDLERS,
    **departing.HANDLERS,
    **claims.HANDLERS,
    **beginnings.HANDLERS,
    **leases.HANDLERS,
    **operating.HANDLERS,
    **deadletters.HANDLERS,
    **statistics.HANDLERS,
}
PARKED: ParkedKinds = {
    **limiting.PARKED,
    **waiting.PARKED,
    **heartbeats.PARKED,
    **claims.PARKED,
}
ON_DISCONNECT = (waiting.disconnect, workers.disconnect)

AHEAD = 2**16  # numbers that are reserved in the journal at once
RECEIPTS = 1_000_000  # a second, more than are ever given


class Engine:
    """All queues of one broker.

    Args:
        capacity: bounds of all messages together. Its bytes bound the results, too, which make way.
        retention: bounds of all results together.
    """

    def __init__(self, capacity: Capacity = UNBOUNDED, retention: Retention = ON_DISK) -> None:
        self.ledger = Ledger(capacity.checked(), retention.checked())
        self._sessions: dict[int, Session] = {}
        self._now = 0.0

    @property
    def is_new(self) -> bool:
        """Whether no message was ever accepted or leased here."""
        return not (self.ledger.fence or self.ledger.seq)

    def begin_epoch(self, now: float) -> None:
        """Begin a new epoch: its receipts are above those of all epochs before.

        What a worker holds from an epoch that is lost is stale in this one, also for a message with
        the same id. Consumers get the name of the epoch when they register (docs/decisions/0023).

        Args:
            now: by a clock that was not set back since the older epochs began.
        """
        self.ledger.fence = int(now * RECEIPTS)
        self.ledger.epoch = str(self.ledger.fence)

    # --- what a host calls ------------------------------------------------------------------

    def apply(self, session: int, request: Request[Any], tick: Tick) -> None:
        """Carry out one request of a session; a session begins with its first request.

        A refusal is a `Failed` reply, never an exception. A request that parks is answered by a
        later `advance`.
        """
        try:
            reply = HANDLERS[type(request)](self.ledger, self._session(session), request, tick)
        except TaskqError as error:
            reply = Failed(error=type(error).__name__, text=str(error))
        if reply is not None:
            reply.rid = request.rid
            self.ledger.replies.append((session, reply))

    def advance(self, now: float) -> None:
        """Do what is due, and answer the parked requests that can be answered."""
        self._now = now
        ledger = self.ledger
        if ledger.groups_to_serve_next:
            ledger.groups_to_serve.update(ledger.groups_to_serve_next)
            ledger.groups_to_serve_next.clear()
        if ledger.alarms.next <= now:
            ledger.alarms.fire(now)
        if ledger.timers.next <= now:
            ledger.timers.fire(now)
        if ledger.operations.running:
            ledger.operations.run(now)
        if ledger.queues_with_parked:
            limiting.serve(ledger, now)
        while ledger.groups_to_serve:
            group, _ = ledger.groups_to_serve.popitem()
            if group in ledger.groups_to_serve_next:
                continue  # enough for one tick
            claims.serve_parked(ledger, group, now)
            if ledger.queues_with_parked and not ledger.groups_to_serve:
                limiting.serve(ledger, now)  # an early ack has made room
        if ledger.watchers.answerable:
            waiting.answer_watches(ledger, now)
        if ledger.heartbeats_due:
            heartbeats.answer_heartbeats(ledger)
        results = ledger.results
        if results.next_due <= now:
            results.expire(now)
        if results.may_be_over or ledger.capacity.bytes:
            results.evict(ledger.capacity.bytes_left(ledger.bytes))

    def disconnect(self, session: int, now: float) -> None:
        """Forget a session whose connection has closed."""
        closed = self._sessions.pop(session, None)
        if closed is None:
            return
        waited = bool(self.ledger.queues_with_parked)
        for parked in closed.parked:
            _, withdraw = PARKED[type(parked)]
            withdraw(self.ledger, parked)
        closed.parked.clear()
        closed.timer.set(inf)
        for forget in ON_DISCONNECT:
            forget(self.ledger, closed, now)
        if waited:
            # those behind may fit; the connection may have been lost in sending, after `advance`
            self.ledger.alarms.at(now, _look_again, None)

    def next_deadline(self) -> float | None:
        """Engine time at which `advance` has something to do; `None`: not before a request."""
        ledger = self.ledger
        results = ledger.results
        if ledger.operations.running or ledger.groups_to_serve_next or results.may_be_over:
            return self._now
        due, alarm = ledger.timers.next, ledger.alarms.next  # compared: `min` is slow
        if alarm < due:
            due = alarm
        if results.next_due < due:
            due = results.next_due
        return None if due == inf else due

    def take_replies(self) -> list[tuple[int, Reply]]:
        """The replies made since the last call, in order: (session, reply)."""
        replies, self.ledger.replies = self.ledger.replies, []
        return replies

    def take_changes(self) -> Changes | None:
        """What has changed since the last call, or `None`."""
        ledger = self.ledger
        changes = ledger.changes.take()
        if changes is None:
            return None
        if ledger.seq > ledger.marks.seq or ledger.fence > ledger.marks.fence:
            ledger.marks = HighWaterMarks(
                ledger.seq + AHEAD,
                ledger.fence + AHEAD,
                self._now,
                ledger.epoch,
                ledger.marks.dropped,
            )
            changes.put[MARKS][ledger.marks] = None
        ledger.results.committed()
        return changes

    def extend_for_pause(self, seconds: float) -> None:
        """Extend all leases by a time in which the host did not listen.

        Renewals may wait in the sockets: no worker loses a lease because the broker was stopped.
        """
        self.ledger.paused += seconds

    @property
    def has_parked_enqueues(self) -> bool:
        """Whether a producer waits for room."""
        return bool(self.ledger.queues_with_parked)

    def refuse_parked(self, error: str, text: str) -> None:
        """Refuse the parked enqueues, since the host cannot take new messages."""
        limiting.refuse_parked(self.ledger, error, text)

    def empty(self) -> bool:
        """Whether there is nothing that a restart would lose."""
        return not self.ledger.messages and not len(self.ledger.results)

    # --- sessions ---------------------------------------------------------------------------

    def _session(self, number: int) -> Session:
        session = self._sessions.get(number)
        if session is None:
            timer = MovableTimer(self.ledger.alarms)
            session = self._sessions[number] = Session(number, timer)
            timer.action = partial(self._expire_parked, session)
        return session

    def _expire_parked(self, session: Session, now: float) -> None:
        """End the parked requests of a session whose deadline has come; called by its timer."""
        again = inf
        for parked in list(session.parked):
            if parked.deadline <= now:
                expire, _ = PARKED[type(parked)]
                expire(self.ledger, parked, now)
            else:
                again = min(again, parked.deadline)
        if again < inf:
            session.timer.set(again)


def _look_again(subject: None, now: float) -> None:
    """Only a deadline: `advance` does the rest."""
