"""The engine: requests in, replies and changes out. No I/O, no threads, no clock, no randomness.

The host hands every request to `apply`, calls `advance` once a tick, writes what `take_changes`
gives, and only then sends what `take_replies` gives. `now` and the random `draw` are arguments, so
a run can be repeated to the letter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from taskq.engine import consume, enqueue, operate, produce
from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.changes import Changes, HighWaterMarks
from taskq.engine.consumers import Session
from taskq.engine.ledger import Ledger
from taskq.engine.timers import Alarm
from taskq.errors import TaskqError
from taskq.protocol.base import Failed, Reply, Request
from taskq.protocol.consuming import (
    Claim,
    Claimed,
    Extend,
    Heartbeat,
    Leave,
    Reap,
    Register,
    Report,
    Settle,
)
from taskq.protocol.operating import Control, GetStats, Limit, ListDead, Peek, PurgeDead, Replay
from taskq.protocol.producing import Cancel, Enqueue, Inspect, Unwatch, Wait

Handler = Callable[[Ledger, Session, Any, float, float], Reply | None]

HANDLERS: dict[type[Request[Any]], Handler] = {
    Enqueue: enqueue.enqueue,
    Cancel: produce.cancel,
    Wait: produce.wait,
    Unwatch: produce.unwatch,
    Inspect: produce.inspect,
    Register: consume.register,
    Claim: consume.claim,
    Settle: consume.settle,
    Heartbeat: consume.heartbeat,
    Reap: consume.reap,
    Leave: consume.leave,
    Extend: consume.extend,
    Report: consume.report,
    Control: operate.control,
    Limit: operate.limit,
    Peek: operate.peek,
    ListDead: operate.list_dead,
    Replay: operate.replay,
    PurgeDead: operate.purge_dead,
    GetStats: operate.stats,
}


AHEAD = 2**16  # numbers that are reserved in the journal at once


def _look_again(subject: None, now: float) -> None:
    """Only a deadline: `advance` does the rest."""


class Engine:
    """All queues of one broker.

    Args:
        capacity: bounds of all messages together.
    """

    def __init__(self, capacity: Capacity = UNBOUNDED) -> None:
        self.ledger = Ledger(capacity.checked())
        self._sessions: dict[int, Session] = {}
        self._now = 0.0

    # --- what a host calls ------------------------------------------------------------------

    def apply(self, session: int, request: Request[Any], now: float, draw: float) -> None:
        """Carry out one request of a session; a session begins with its first request.

        A refusal is a `Failed` reply, never an exception. A request that parks is answered by a
        later `advance`.
        """
        try:
            reply = HANDLERS[type(request)](self.ledger, self._session(session), request, now, draw)
        except TaskqError as error:
            reply = Failed(error=type(error).__name__, text=str(error))
        if reply is not None:
            reply.rid = request.rid
            self.ledger.replies.append((session, reply))

    def advance(self, now: float) -> None:
        """Do what is due, and answer the parked requests that can be answered."""
        self._now = now
        ledger = self.ledger
        ledger.timers.fire(now)
        if ledger.offering:
            enqueue.serve(ledger, now)
        while ledger.awake:
            group, _ = ledger.awake.popitem()
            for parked, claimed in consume.serve_parked(ledger, group, now):
                claimed.rid = parked.rid
                self.ledger.replies.append((parked.session.number, claimed))
            if ledger.offering and not ledger.awake:
                enqueue.serve(ledger, now)  # an early ack has made room
        if ledger.watchers.answerable:
            self._answer_watches(now)
        while ledger.newsworthy:
            worker, _ = ledger.newsworthy.popitem()
            if worker.heartbeat is not None:
                number = worker.heartbeat.session.number
                self.ledger.replies.append((number, consume.attend(worker)))

    def disconnect(self, session: int, now: float) -> None:
        """The session's connection has closed."""
        closed = self._sessions.pop(session, None)
        if closed is None:
            return
        for watch in closed.watches.values():
            self.ledger.watchers.drop(watch)
        closed.watches.clear()
        if closed.offers:
            enqueue.withdraw(self.ledger, closed)
            # those behind may fit; the connection may have been lost in sending, after `advance`
            self.ledger.timers.at(now, _look_again, None)
        consume.disconnect(closed, now)
        closed.alarm.when = inf

    def next_deadline(self) -> float | None:
        """Engine time at which `advance` has something to do; `None`: not before a request."""
        return self.ledger.timers.next()

    def take_replies(self) -> list[tuple[int, Reply]]:
        """The replies made since the last call, in order: (session, reply)."""
        replies, self.ledger.replies = self.ledger.replies, []
        return replies

    def take_changes(self) -> Changes | None:
        """What has changed since the last call, or `None`."""
        ledger = self.ledger
        changes = ledger.changes
        if not changes:
            return None
        if ledger.seq > ledger.marks.seq or ledger.fence > ledger.marks.fence:
            ahead = HighWaterMarks(ledger.seq + AHEAD, ledger.fence + AHEAD, self._now)
            changes.marks = ledger.marks = ahead
        ledger.changes = Changes()
        ledger.results.use(ledger.changes)
        return changes

    def forgive(self, seconds: float) -> None:
        """The host did not listen for that long: leases are longer by as much.

        Renewals may wait in the sockets; nobody shall lose a lease because the broker was stopped.
        """
        for worker in self.ledger.workers.values():
            worker.forgive(seconds)

    @property
    def has_offers(self) -> bool:
        """Whether a producer waits for room."""
        return bool(self.ledger.offering)

    def turn_away(self, error: str, text: str) -> None:
        """The host cannot take new messages: refuse the producers that wait."""
        enqueue.turn_away(self.ledger, error, text)

    def empty(self) -> bool:
        """Whether there is nothing that a restart would lose."""
        return not self.ledger.messages and not len(self.ledger.results)

    # --- parked requests --------------------------------------------------------------------

    def _session(self, number: int) -> Session:
        session = self._sessions.get(number)
        if session is None:
            session = self._sessions[number] = Session(number, self.ledger.timers)
            session.alarm = Alarm(self.ledger.timers, partial(self._overdue, session))
        return session

    def _overdue(self, session: Session, now: float) -> None:
        """Answer what the session has parked for too long; its alarm rings here."""
        ledger = self.ledger
        parked, again = consume.overdue(session, now)
        if parked is not None:
            drained = all(group.is_drained for group in parked.groups)
            self.ledger.replies.append(
                (session.number, Claimed(messages=[], drained=drained, rid=parked.rid))
            )
        worker = session.worker
        if worker is not None and worker.heartbeat is not None:
            if worker.heartbeat.deadline <= now:
                ledger.newsworthy[worker] = None
            else:
                again = min(again, worker.heartbeat.deadline)
        enqueue.overdue(ledger, session, now)
        again = min(again, min((offer.deadline for offer in session.offers), default=inf))
        for watch in session.watches.values():
            if watch.rid and watch.deadline <= now:
                ledger.watchers.answerable.append(watch)
            elif watch.rid:
                again = min(again, watch.deadline)
        if again < inf:
            session.alarm.set(again)

    def _answer_watches(self, now: float) -> None:
        watchers = self.ledger.watchers
        answerable, watchers.answerable = watchers.answerable, []
        for watch in answerable:
            if not watch.rid:
                continue  # dropped, or answered a moment ago
            self.ledger.replies.append(
                (watch.session.number, produce.answer_watch(self.ledger, watch, now))
            )
            if not watch.pending:
                watch.session.watches.pop(watch.number, None)
